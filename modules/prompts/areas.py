"""Areas of a picture that have prompts of their own: columns, rows, or rectangles.

At each step noise is predicted for each prompt over the whole picture, and the answers are laid together by where each
counts (Bar-Tal et al., MultiDiffusion, arXiv:2302.08113, region-based generation).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from modules.contracts.errors import InvalidRequest

MOST = 32
"""Areas of one picture."""
BEHIND = 0.2
"""How much a prompt for the whole picture counts within areas where nothing is said."""
_BASE = re.compile(r"(.*\S)\s+base\s+(\S+)\s*", re.IGNORECASE | re.DOTALL)
_BANDS = re.compile(r"(columns|rows)\s+(.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle, in shares of the picture's width and height from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


def parse_areas(text: str) -> tuple[tuple[Area, ...], float]:
    """The areas of `columns 1:2:1`, `rows 1:1`, or `0 0 0.5 1, 0.5 0 1 1` (left, top, right, bottom); none of no text.

    With them goes what a prompt for the whole picture counts within them: 0 to 1, said as `base 0.3` at the end. Raises
    `InvalidRequest`.
    """
    based = _BASE.fullmatch(text)
    if based is None:
        return _areas(text), BEHIND
    (behind,) = _numbers([based[2]], text)
    if not 0 <= behind <= 1:
        raise InvalidRequest(f"Prompt areas {text[:80]!r}: base is a share from 0 to 1.")
    return _areas(based[1]), behind


def _areas(text: str) -> tuple[Area, ...]:
    found = _BANDS.fullmatch(text.strip())
    if found is not None:
        return _bands(found[1].casefold() == "columns", _numbers(found[2].replace(",", ":").split(":"), text), text)
    areas = tuple(_rectangle(part, text) for part in text.split(",")) if text.strip() else ()
    _check_count(len(areas))
    return areas


def _bands(upright: bool, shares: list[float], text: str) -> tuple[Area, ...]:
    _check_count(len(shares))
    if min(shares) <= 0 or not math.isfinite(sum(shares)):
        raise InvalidRequest(f"Prompt areas {text[:80]!r}: shares have to be above 0, and together a number.")
    ends = [sum(shares[: number + 1]) / sum(shares) for number in range(len(shares))]
    pairs = zip([0.0, *ends], ends, strict=False)
    return tuple(Area(begin, 0, end, 1) if upright else Area(0, begin, 1, end) for begin, end in pairs)


def _rectangle(part: str, text: str) -> Area:
    numbers = _numbers(part.split(), text)
    if len(numbers) != 4:
        raise InvalidRequest(f"Prompt areas {text[:80]!r}: a rectangle has four numbers: left, top, right and bottom.")
    area = Area(*numbers)
    if not (0 <= area.left < area.right <= 1 and 0 <= area.top < area.bottom <= 1):
        raise InvalidRequest(f"Prompt areas {text[:80]!r}: edges are shares from 0 to 1, and left and top come first.")
    return area


def _numbers(words: list[str], text: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InvalidRequest(
            f"Prompt areas {text[:80]!r} are not understood; write columns 1:2:1, rows 1:1, or 0 0 0.5 1, 0.5 0 1 1."
        )
    return numbers


def _check_count(count: int) -> None:
    if count > MOST:
        raise InvalidRequest(f"{count} prompt areas are too many; {MOST} are allowed.")


def lay_out(areas: tuple[Area, ...], prompts: int) -> tuple[Area | None, ...]:
    """Which area each of so many prompts has; None is the whole picture, behind all others.

    One prompt more than areas is that, the first one. Raises `InvalidRequest` for any other number.
    """
    if prompts == len(areas):
        return areas
    if prompts == len(areas) + 1:
        return (None, *areas)
    raise InvalidRequest(
        f"There are {len(areas)} prompt areas and {prompts} prompts joined by AND; as many are needed, or one more,"
        " which then comes first and is for the whole picture."
    )
