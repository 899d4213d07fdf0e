"""ControlNet units in infotext, as the sd-webui-controlnet extension writes them.

    ControlNet 0: "Module: canny, Model: control_v11p_sd15_canny [d14c016b], Weight: 1, Resize Mode: …"

Pictures stay out, and so do numbers that are left to the preprocessor and what is empty. A name that holds a comma or a
colon, which the extension refuses, is written as a JSON string inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from modules.contracts.control import MOST_UNITS, ControlParams, ControlUnit, build_unit, unit_parameters, value_of
from modules.contracts.infotext_format import quote, read_pairs

KEY = re.compile(r"ControlNet (\d{1,2})")
OPEN = -1
"""A number that is left to the preprocessor."""
SILENT_PARTS = frozenset(
    {"Low Vram", "Save Detected Map", "Input Mode", "Batch Images", "Ipadapter Input", "Use Preview As Input"}
)
"""What the extension says of a unit besides, and what asks for nothing here."""


def key_of(number: int) -> str:
    """The label of a unit."""
    return f"ControlNet {number}"


def write_unit(unit: ControlUnit) -> str:
    """All that infotext says of a unit."""
    said = ((item.param.infotext, value_of(unit, item)) for item in unit_parameters() if item.param.infotext)
    return ", ".join(f"{label}: {quote(value)}" for label, value in said if value not in (OPEN, ""))


def read_unit(text: str, convert: Callable[[str, str], Any]) -> ControlUnit | None:
    """The unit that a text describes, switched on; None for a text that describes none.

    `convert` makes a value of a text and the name of its type, None where it is none of that type.
    """
    items = {item.param.infotext: item for item in unit_parameters() if item.param.infotext}
    values: dict[str, Any] = {"enabled": True}
    for label, raw in read_pairs(text):
        item = items.get(label)
        value = None if item is None else convert(raw, item.annotation)
        if item is not None and value is not None:
            values[item.path[-1]] = value
        elif label not in SILENT_PARTS:
            return None
    return build_unit(values) if len(values) > 1 else None


def read_units(
    values: Mapping[str, str], base: ControlParams, convert: Callable[[str, str], Any]
) -> tuple[ControlParams, frozenset[str]]:
    """The units of a parsed infotext, with the pictures that `base` has in their places, and the keys understood."""
    found = dict(_units(values, convert))
    if not found:
        return ControlParams(), frozenset()
    units = []
    for number in range(max(found) + 1):
        before = base.units[number] if number < len(base.units) else ControlUnit()
        unit = found.get(number)
        units.append(ControlUnit() if unit is None else replace(unit, image=before.image, mask=before.mask))
    return ControlParams(tuple(units)), frozenset(key_of(number) for number in found)


def _units(values: Mapping[str, str], convert: Callable[[str, str], Any]) -> Iterator[tuple[int, ControlUnit]]:
    for key, text in values.items():
        match = KEY.fullmatch(key)
        unit = read_unit(text, convert) if match is not None and int(match[1]) < MOST_UNITS else None
        if match is not None and unit is not None:
            yield int(match[1]), unit
