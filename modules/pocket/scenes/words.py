"""The words that captions are made of. The first of several is the usual one and is taken most often."""

from __future__ import annotations

KIND_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc", "round shape"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star", "five-pointed star"),
    "heart": ("heart", "heart shape"),
    "cross": ("cross", "plus sign"),
    "diamond": ("diamond", "rhombus"),
    "ring": ("ring", "hoop"),
    "sun": ("sun",),
    "moon": ("moon", "crescent moon", "crescent"),
    "cloud": ("cloud",),
    "tree": ("tree",),
    "flower": ("flower", "blossom"),
    "house": ("house", "cottage"),
    "boat": ("boat", "sailing boat", "sailboat"),
    "car": ("car", "automobile"),
    "fish": ("fish",),
    "cat": ("cat", "kitten"),
    "bird": ("bird",),
    "mountain": ("mountain",),
    "balloon": ("balloon", "toy balloon"),
    "mushroom": ("mushroom", "toadstool"),
    "cup": ("cup", "mug"),
    "rocket": ("rocket", "spaceship"),
    "umbrella": ("umbrella", "parasol"),
    "apple": ("apple",),
}

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "green": ("green",),
    "blue": ("blue",),
    "yellow": ("yellow",),
    "orange": ("orange",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "cyan": ("cyan", "turquoise"),
    "brown": ("brown",),
    "grey": ("grey", "gray"),
    "black": ("black",),
    "white": ("white",),
}

SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "big", "huge"),
}

COUNT_WORDS: dict[int, tuple[str, ...]] = {
    2: ("two", "2", "a pair of"),
    3: ("three", "3"),
    4: ("four", "4"),
    5: ("five", "5"),
}

VAGUE_COUNTS = ("several", "some", "a few")

PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "middle": ("in the middle", "in the center", "in the centre", "at the center"),
    "left": ("on the left", "on the left side", "at the left", "to the left", "at the left edge"),
    "right": ("on the right", "on the right side", "at the right", "to the right", "at the right edge"),
    "top": ("at the top", "on top", "in the upper part", "near the top"),
    "bottom": ("at the bottom", "in the lower part", "near the bottom", "down at the bottom"),
    "top left": ("in the top left corner", "in the upper left", "at the top left", "in the upper left corner"),
    "top right": ("in the top right corner", "in the upper right", "at the top right", "in the upper right corner"),
    "bottom left": ("in the bottom left corner", "in the lower left", "at the bottom left"),
    "bottom right": ("in the bottom right corner", "in the lower right", "at the bottom right"),
}

RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "left of": ("to the left of", "left of", "on the left of"),
    "right of": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
    "inside": ("inside", "within", "in"),
}

LOOSE_RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("beside", "next to", "and"),
    "right of": ("beside", "next to", "and"),
    "above": ("and",),
    "below": ("and",),
    "inside": ("and",),
}
"""Words that hold a pair together and leave open how it stands."""

PLAIN_WORDS = (
    "on a {0} background",
    "on {0}",
    "against a {0} background",
    "with a {0} background",
    "on plain {0}",
    "before a {0} backdrop",
)
"""{0} is the ground's colour; the article before it is set right afterwards."""

GRADIENT_WORDS = (
    "on a {0} to {1} gradient",
    "on a gradient from {0} to {1}",
    "on a background fading from {0} to {1}",
    "on a {0} and {1} gradient",
)

GROUND_WORDS: dict[str, tuple[str, ...]] = {
    "sky": ("in the sky", "under a blue sky", "in a blue sky with clouds", "before a cloudy sky", "in daylight"),
    "sunset": ("at sunset", "in the sunset", "against an evening sky", "at dusk", "under a sunset sky"),
    "night": ("at night", "under the stars", "in a starry night", "in the night sky", "on a starry night"),
    "sea": ("in the sea", "under water", "in the ocean", "underwater", "in an aquarium", "in the water"),
    "meadow": ("in a meadow", "on a green meadow", "on the grass", "in a green field", "on grassy hills"),
    "desert": ("in the desert", "on sand dunes", "in a sandy desert", "among dunes"),
    "snow": ("in the snow", "in a snowy landscape", "on snow", "in winter", "on a snowy day"),
    "checkerboard": (
        "on a checkerboard",
        "on a checkered floor",
        "on a chequered background",
        "on a chessboard pattern",
    ),
}

GROUND_KEYWORDS: dict[str, tuple[str, ...]] = {
    "sky": ("blue sky", "sky", "clouds"),
    "sunset": ("sunset", "dusk"),
    "night": ("night", "starry night", "night sky"),
    "sea": ("sea", "ocean", "underwater"),
    "meadow": ("meadow", "grass"),
    "desert": ("desert", "dunes"),
    "snow": ("snow", "winter"),
    "checkerboard": ("checkerboard", "chequered background"),
}

STYLE_FRONTS: dict[str, tuple[str, ...]] = {
    "flat": ("a flat picture of", "a flat drawing of", "flat art of"),
    "outlined": ("an outlined drawing of", "a cartoon of", "an outlined picture of"),
    "pencil": ("a pencil drawing of", "a pencil sketch of", "a coloured pencil drawing of"),
    "watercolour": ("a watercolour painting of", "a watercolour of", "a watercolor painting of", "a watercolor of"),
    "pixel art": ("pixel art of", "a pixel art picture of", "pixel art showing"),
    "neon": ("a neon sign of", "neon art of", "a glowing neon picture of"),
}

STYLE_ENDS: dict[str, tuple[str, ...]] = {
    "flat": ("flat style", "in flat style", "flat design"),
    "outlined": ("outlined", "with dark outlines", "in outlined style", "cartoon style"),
    "pencil": ("in pencil", "drawn in pencil", "pencil sketch", "in pencil style"),
    "watercolour": ("in watercolour", "in watercolour style", "watercolor", "painted in watercolour"),
    "pixel art": ("pixel art", "in pixel art style", "as pixel art", "pixelated"),
    "neon": ("in neon", "neon style", "in neon lights", "glowing neon"),
}

FRONTS = ("a picture of", "an image of", "a drawing of", "an illustration of", "there is", "this is")
"""Say nothing of the picture; the last two only before one thing."""
