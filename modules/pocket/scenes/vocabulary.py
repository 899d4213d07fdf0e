"""The words of the pocket world: things, colours, grounds, styles, sizes, places, relations and counts."""

from __future__ import annotations

FIGURES = ("circle", "square", "triangle", "star", "heart", "cross", "diamond", "ring")
"""The plane figures, which classical image analysis can tell apart."""

OBJECTS = (
    "sun",
    "moon",
    "cloud",
    "tree",
    "flower",
    "house",
    "boat",
    "car",
    "fish",
    "cat",
    "bird",
    "mountain",
    "balloon",
    "mushroom",
    "cup",
    "rocket",
    "umbrella",
    "apple",
)

KINDS = FIGURES + OBJECTS
"""Everything a scene can show; each thing has one main colour."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 36, 40),
    "green": (40, 158, 62),
    "blue": (36, 84, 214),
    "yellow": (250, 218, 42),
    "orange": (250, 132, 20),
    "purple": (128, 52, 172),
    "pink": (250, 152, 192),
    "cyan": (48, 204, 214),
    "brown": (124, 76, 40),
    "grey": (136, 136, 140),
    "black": (18, 18, 22),
    "white": (248, 248, 248),
}

GROUNDS = ("plain", "gradient", "sky", "sunset", "night", "sea", "meadow", "desert", "snow", "checkerboard")
"""Kinds of background. "plain" has one colour of COLOURS and "gradient" two, the upper one first."""

STYLES = ("flat", "outlined", "pencil", "watercolour", "pixel art", "neon")

SIZES = ("small", "medium", "large")

PLACES = ("middle", "left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right")

RELATIONS = ("left of", "right of", "above", "below", "inside")
"""Where the first thing of a pair stands to the second; captions also say "beside" for the first two."""

COUNTS = (1, 2, 3, 4, 5)
