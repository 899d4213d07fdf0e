"""Colours as the eye sees them: distances between them, shades of a main colour, and the fixed colours of details."""

from __future__ import annotations

from functools import lru_cache

from modules.pocket.scenes.vocabulary import COLOURS

Rgb = tuple[int, int, int]

INK: Rgb = (34, 32, 40)
"""Of outlines."""

PAPER: Rgb = (250, 247, 240)
"""Of what is drawn with a pencil or a brush."""

CONTRAST = 0.18
"""Least distance in Oklab between a thing and what it stands before; yellow on white has 0.20, blue on purple 0.16."""

NEON_DARK: Rgb = (10, 9, 22)
"""What every ground is mixed with in neon."""

NEON_SHARE = 0.72
"""How much of it."""

NEON_COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan", "white")
"""The colours that a tube can shine in."""

DETAILS: dict[str, Rgb] = {
    "wood": (118, 78, 46),
    "leaf": (70, 150, 66),
    "pane": (196, 228, 244),
    "tyre": (44, 44, 50),
    "metal": (188, 192, 200),
    "cream": (248, 236, 212),
    "snow": (242, 246, 252),
    "beak": (246, 158, 44),
    "flame": (252, 150, 34),
    "spark": (254, 224, 96),
    "pollen": (246, 200, 60),
    "blush": (240, 150, 160),
    "coffee": (92, 58, 38),
    "eye": (250, 250, 250),
    "pupil": (24, 24, 30),
}
"""What small parts are painted with, whatever the thing's own colour."""


def mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    """The colour that has `share` (0 to 1) of the other in it."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


@lru_cache(maxsize=4096)
def measure_oklab(colour: Rgb) -> tuple[float, float, float]:
    """Lightness and the two opponent axes of an sRGB colour (Ottosson 2020, "A perceptual color space")."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in colour)
    )
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def measure_distance(one: Rgb, other: Rgb) -> float:
    """Distance in Oklab; black and white are 0.89 apart."""
    first, second = measure_oklab(one), measure_oklab(other)
    return float(sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5)


@lru_cache(maxsize=1024)
def list_contrasting(grounds: tuple[Rgb, ...], least: float = CONTRAST) -> tuple[str, ...]:
    """Names of the colours that stand out from every one of the given colours."""
    return tuple(
        name for name, value in COLOURS.items() if all(measure_distance(value, ground) >= least for ground in grounds)
    )


def dim(colour: Rgb) -> Rgb:
    """A ground's colour as it looks in neon."""
    return mix(colour, NEON_DARK, NEON_SHARE)


def darken(colour: Rgb) -> Rgb:
    """A shade of it that is plainly seen upon it; black has none darker and stays."""
    if colour[0] > 200 and colour[1] > 180 and colour[2] < 120:
        return mix(colour, (168, 84, 8), 0.36)  # yellow that is mixed with black looks green
    return mix(colour, (16, 14, 30), 0.22 if sum(colour) > 600 else 0.30)


def lighten(colour: Rgb) -> Rgb:
    """A tint of it that is plainly seen upon it; white has none lighter and stays."""
    return mix(colour, (255, 255, 255), 0.24 if sum(colour) < 120 else 0.38)


def find_paint(role: str, main: Rgb) -> Rgb:
    """The colour of a part: "main", "dark", "light", "ink" (seen upon the main colour) or a name of DETAILS.

    A detail that would be lost upon its main colour is darkened. Raises KeyError for another role.
    """
    if role == "main":
        return main
    if role == "dark":
        return darken(main)
    if role == "light":
        return lighten(main)
    if role == "ink":
        return INK if measure_oklab(main)[0] > 0.42 else mix(main, (255, 255, 255), 0.72)
    detail = DETAILS[role]
    return detail if measure_distance(detail, main) > 0.07 else darken(detail)
