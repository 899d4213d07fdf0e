"""Details beyond the first in infotext, as ADetailer writes them: the labels of the first with a number behind them.

    ADetailer model: Contrast, ADetailer prompt: a face, ADetailer model 2nd: Colour, ADetailer model classes 2nd: red

Masks stay out, as pictures do everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from modules.contracts.detailer import MOST_DETAILS, Detail, build_detail, detail_parameters, value_of

MODEL = "ADetailer model"
SILENT = frozenset({"ADetailer version", "ADetailer tab enable"} | {f"ADetailer use separate {word}" for word in (
    "steps", "CFG scale", "sampler", "checkpoint", "VAE", "CLIP skip", "noise multiplier")}
    | {"ADetailer use inpaint width height"})  # fmt: skip
"""What ADetailer says besides, and what asks for nothing here."""


def suffix_of(number: int) -> str:
    """What stands behind the labels of that detail, counted from 1."""
    return "" if number == 1 else " " + {2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def write_details(further: tuple[Detail, ...]) -> dict[str, object]:
    """Labels and values of the details beyond the first; one that is off is left out."""
    found: dict[str, object] = {}
    acting = (detail for detail in further if detail.regions.acts)
    for number, detail in enumerate(acting, 2):
        for item in detail_parameters():
            value = value_of(detail, item)
            if value is not None and value != item.default:
                found[f"{item.param.infotext}{suffix_of(number)}"] = value
    return found


def text_labels() -> Iterator[str]:
    """Labels whose values are texts, of every detail."""
    for number in range(1, MOST_DETAILS + 1):
        for item in detail_parameters():
            if item.annotation.startswith("str") and not isinstance(item.param.choices, tuple):
                yield f"{item.param.infotext}{suffix_of(number)}"


def silent_labels() -> Iterator[str]:
    """Labels of ADetailer that ask for nothing, of every detail."""
    for number in range(1, MOST_DETAILS + 1):
        yield from (f"{label}{suffix_of(number)}" for label in SILENT)


def read_details(
    values: Mapping[str, str], base: tuple[Detail, ...], convert: Callable[[str, str], Any]
) -> tuple[tuple[Detail, ...], frozenset[str]]:
    """The details beyond the first of a parsed infotext, with the masks that `base` has in their places, and the keys
    understood.

    `convert` makes a value of a text and the name of its type, None where it is none of that type.
    """
    found, used = [], set[str]()
    for number in range(2, MOST_DETAILS + 1):
        suffix = suffix_of(number)
        if f"{MODEL}{suffix}" not in values:
            break
        given: dict[str, Any] = {}
        for item in detail_parameters():
            label = f"{item.param.infotext}{suffix}"
            value = convert(values[label], item.annotation.split("|")[0].strip()) if label in values else None
            if value is not None:
                given[item.path[1]] = value
                used.add(label)
        detail = build_detail(given)
        mask = base[number - 2].regions.mask if number - 2 < len(base) else b""
        found.append(replace(detail, regions=replace(detail.regions, mask=mask)))
    return tuple(found), frozenset(used)
