"""The table of model families and of the rules by which a file is told to be of one, read from `configs/families.json`.

A rule is data. It holds for a set of weights when every pattern of `has_all` matches a name, no pattern of `has_none`
does, and every name that matches a pattern of `shapes` has the sizes given there by axis. `says` is for models that
differ by their training alone: words of which one has to be in what the model says of itself. Patterns are shell globs
over names relative to the denoiser. A size is a number, a list of allowed numbers, or `{"not": [...]}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from modules.contracts.catalog import Family

RuleLayout = Literal["ldm", "diffusers", "folder"]
LAYOUTS: tuple[RuleLayout, ...] = ("ldm", "diffusers", "folder")


@dataclass(frozen=True, slots=True)
class Size:
    """What the size of one axis may be."""

    values: frozenset[int]
    forbidden: bool = False

    def allows(self, size: int) -> bool:
        """Whether an axis of that size is as the rule wants it."""
        return (size in self.values) != self.forbidden

    def __str__(self) -> str:
        words = " or ".join(str(value) for value in sorted(self.values))
        return f"not {words}" if self.forbidden else words


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a family's weights look."""

    family: str
    layout: RuleLayout
    """`ldm` and `diffusers` are naming schemes; `folder` is for diffusers folders, whose configs tell more."""
    has_all: tuple[str, ...]
    has_none: tuple[str, ...] = ()
    shapes: Mapping[str, Mapping[int, Size]] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    """Small words of which the model has to say one of itself, where weights alone do not tell it from another."""

    def objection(self, names: Mapping[str, tuple[int, ...]], said: str = "") -> str | None:
        """Why weights with these names and shapes are not of the family; None when they are. `said` is what the model
        says of itself: its pipeline's class, its title, its architecture."""
        if self.says and not any(word in said.lower() for word in self.says):
            return f"nothing says that it is {' or '.join(self.says)}"
        for pattern in self.has_all:
            if not _matching(pattern, names):
                return f"{pattern} is missing"
        for pattern in self.has_none:
            if found := _matching(pattern, names):
                return f"{found[0]} should not be there"
        for pattern, axes in self.shapes.items():
            for name in _matching(pattern, names):
                for axis, size in axes.items():
                    shape = names[name]
                    if axis >= len(shape) or not size.allows(shape[axis]):
                        return f"{name} has the shape {list(shape)}, axis {axis} should be {size}"
        return None


def _matching(pattern: str, names: Mapping[str, Any]) -> list[str]:
    if "*" not in pattern:
        return [pattern] if pattern in names else []
    return [name for name in names if fnmatchcase(name, pattern)]


def load_families(path: Path) -> tuple[Family, ...]:
    """All families of the table, in its order. Raises `ValueError` naming the row and what is wrong with it."""
    return tuple(_family(row) for row in _rows(path))


def load_rules(path: Path) -> tuple[Rule, ...]:
    """All rules of the table, in its order; the first that holds decides."""
    return tuple(_rule(row["id"], rule) for row in _rows(path) for rule in row["detect"])


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = json.loads(path.read_text("utf-8"))["families"]
    ids = [row.get("id") for row in rows]
    if len(set(ids)) != len(ids) or None in ids:
        raise ValueError(f"{path.name}: every family needs an id of its own; given are {ids}.")
    return list(rows)


def _family(row: Mapping[str, Any]) -> Family:
    known = {item.name for item in fields(Family)}
    unknown = set(row) - known - {"detect"}
    if unknown:
        raise ValueError(f"Family {row['id']!r} has unknown fields {sorted(unknown)}; known are {sorted(known)}.")
    values = {key: value for key, value in row.items() if key != "detect"}
    values["text_encoders"] = tuple(row["text_encoders"])
    values["capabilities"] = frozenset(row.get("capabilities", ()))
    try:
        return Family(**values)
    except TypeError as error:
        raise ValueError(f"Family {row['id']!r} is not complete: {error}") from error


def _rule(family: str, row: Mapping[str, Any]) -> Rule:
    if row["layout"] not in LAYOUTS:
        raise ValueError(f"Family {family!r} has a rule of layout {row['layout']!r}; known are {', '.join(LAYOUTS)}.")
    shapes = {
        pattern: {int(axis): _size(size) for axis, size in axes.items()}
        for pattern, axes in row.get("shapes", {}).items()
    }
    return Rule(
        family, row["layout"], tuple(row["has_all"]), tuple(row.get("has_none", ())), shapes, tuple(row.get("says", ()))
    )


def _size(value: int | list[int] | Mapping[str, list[int]]) -> Size:
    if isinstance(value, Mapping):
        return Size(frozenset(value["not"]), forbidden=True)
    return Size(frozenset(value if isinstance(value, Iterable) else [value]))
