"""In which parts of a denoiser an IP-Adapter speaks, and how loudly. Light: no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from modules.contracts.errors import InvalidRequest

Blocks = tuple[tuple[str, float], ...]
"""Beginnings of paths with weights; parts that none of them names are silent. Empty is everywhere at 1."""
STYLE, LAYOUT = ("up_blocks.0.attentions.1", 1.0), ("down_blocks.2.attentions.1", 1.0)
NAMED: Mapping[str, Blocks] = {"style": (STYLE,), "layout": (LAYOUT,), "style and layout": (STYLE, LAYOUT)}
"""Of SDXL, by InstantStyle (Wang et al., arXiv:2404.02733)."""
SHORT = {"mid": "mid_block", "down": "down_blocks", "up": "up_blocks"}


def parse_blocks(text: str, base: str, label: str) -> Blocks:
    """What a unit says: nothing, a name of `NAMED`, or parts with weights such as `up.0.1=1, down=0.5, mid=0`.

    `base` is the family that is drawn with. Raises `InvalidRequest` for anything else.
    """
    words = " ".join(text.casefold().split())
    if words in NAMED:
        if base != "sdxl":
            raise InvalidRequest(
                f"{label}: the blocks of {text!r} are known for SDXL only; name parts, such as up.1=1."
            )
        return NAMED[words]
    return tuple(_part(piece.strip(), label) for piece in words.split(",") if piece.strip())


def _part(piece: str, label: str) -> tuple[str, float]:
    name, equals, number = (word.strip() for word in piece.partition("="))
    try:
        weight = float(number) if equals else 1.0
    except ValueError:
        weight = math.nan
    first, *rest = name.split(".")
    whole = all(word.isdecimal() for word in rest) and len(rest) <= 2
    if first not in SHORT or not whole or (first == "mid" and rest) or not -4 <= weight <= 4:
        raise InvalidRequest(
            f"{label}: {piece!r} names no part; allowed are {', '.join(NAMED)}, or mid, down.1, up.0.1 and so on with "
            "weights from -4 to 4, such as up.0.1=1, down=0.5."
        )
    path = ".".join((SHORT[first], *rest[:1], *(("attentions", rest[1]) if len(rest) == 2 else ())))
    return path, weight


def weight_at(path: str, blocks: Blocks) -> float:
    """What is said of a layer; the longest name that fits counts."""
    if not blocks:
        return 1.0
    fitting = [(len(name), weight) for name, weight in blocks if path == name or path.startswith(f"{name}.")]
    return max(fitting)[1] if fitting else 0.0
