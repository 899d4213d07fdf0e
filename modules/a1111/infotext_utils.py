"""A1111's `modules.infotext_utils`: infotext read by extensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modules.contracts.infotext import parse


@dataclass(slots=True)
class PasteField:
    """An input that infotext fills; the studio's own form is filled by the parameters' declarations."""

    component: Any
    label: Any
    api: str | None = None


def parse_generation_parameters(x: str, skip_fields: list[str] | None = None) -> dict[str, Any]:
    """The labels and values of an infotext."""
    found = parse(x)
    return {key: value for key, value in found.items() if key not in (skip_fields or ())}
