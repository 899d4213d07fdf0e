"""Sizes: native where none is given, brought to what the family can draw, and those of the hires pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modules.contracts.catalog import Family
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import HiresParams

Size = tuple[int, int]
"""Width and height in pixels."""


def fit_size(wanted: Size, family: Family, notes: list[str], what: str = "The size") -> Size:
    """The nearest size the family can draw; a change is noted."""
    step = family.size_multiple
    legal = (max(round(wanted[0] / step), 1) * step, max(round(wanted[1] / step), 1) * step)
    if legal != wanted:
        notes.append(
            f"{what} {wanted[0]}x{wanted[1]} was brought to {legal[0]}x{legal[1]}, "
            f"as {family.label} draws multiples of {step} pixels."
        )
    return legal


def fit_encoded(given: Size, factor: int, limit: float, notes: list[str], what: str) -> Size:
    """The size of whole latent cells at which the VAE sees a given picture: its own, or near its ratio within `limit`.

    `factor` is pixels per cell, `limit` is in megapixels. A picture that had to shrink is noted.
    """
    width, height = (max(round(side / factor), 1) * factor for side in given)
    most = limit * 1e6
    if width * height <= most:
        return width, height
    ratio = math.sqrt(most / (width * height))
    short = max(int(min(width, height) * ratio / factor), 1) * factor
    long = max(int(min(max(width, height) * ratio, most / short) / factor), 1) * factor
    fitted = (long, short) if width >= height else (short, long)
    notes.append(
        f"{what} {given[0]}x{given[1]} was shrunk to {fitted[0]}x{fitted[1]} before it was encoded, "
        f"as the setting max_megapixels allows {limit:g}."
    )
    return fitted


def check_megapixels(size: Size, limit: float, what: str = "The size") -> None:
    """Raise `InvalidRequest` for a picture above `limit` megapixels."""
    megapixels = size[0] * size[1] / 1e6
    if megapixels > limit:
        raise InvalidRequest(
            f"{what} {size[0]}x{size[1]} has {megapixels:.1f} megapixels; the setting max_megapixels allows {limit:g}."
        )


def check_enlarged(size: Size, limit: float, what: str) -> None:
    """Raise `InvalidRequest` for an enlarged picture above `limit` megapixels."""
    megapixels = size[0] * size[1] / 1e6
    if megapixels > limit:
        raise InvalidRequest(
            f"{what} would be {size[0]} × {size[1]}, which is {megapixels:.1f} megapixels; the setting "
            f"upscale_max_megapixels allows {limit:g}."
        )


@dataclass(frozen=True, slots=True)
class HiresSize:
    """`enlarged` is what the first pass is brought to, `final` what is cut out of its middle and drawn."""

    enlarged: Size
    final: Size


def plan_hires(first: Size, hires: HiresParams, family: Family, notes: list[str]) -> HiresSize:
    """Sizes of the second pass: by factor when no side is given, by one side with the ratio kept, or to both sides.

    With both sides the picture is enlarged to cover them and cut, so nothing is distorted.
    """
    width, height = first
    wide, high = hires.resize_width, hires.resize_height
    if wide == 0 and high == 0:
        wanted = (int(width * hires.scale), int(height * hires.scale))
    elif high == 0:
        wanted = (wide, int(height * wide / width))
    elif wide == 0:
        wanted = (int(width * high / height), high)
    else:
        wanted = (wide, high)
    final = fit_size(wanted, family, notes, "The hires size")
    if wide and high:
        ratio = max(final[0] / width, final[1] / height)
        step = family.latent_factor
        enlarged = tuple(max(round(side * ratio / step) * step, goal) for side, goal in zip(first, final, strict=True))
        return HiresSize((enlarged[0], enlarged[1]), final)
    return HiresSize(final, final)


def check_second_pass(first: Size, hires: HiresParams, family: Family, limit: float, notes: list[str]) -> HiresSize:
    """The sizes of the second pass. Raises `InvalidRequest` where one of them is above `limit` megapixels."""
    size = plan_hires(first, hires, family, notes)
    check_megapixels(size.final, limit, "The hires size")
    # Two sides far from the first pass's ratio make what is cut much larger than what is kept.
    check_megapixels(size.enlarged, limit, "To be cut to the hires size, the picture enlarged to")
    return size
