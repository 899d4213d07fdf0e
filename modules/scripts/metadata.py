"""`metadata.ini` of an extension, and the order that such files ask for.

    [Extension]
    Name = detail-colours
    Requires = colour-tools
    Priority = -5

    [scripts/paint.py]
    Requires = colour-tools/scripts/mix.py
    Before = other-extension
    After = third-extension/scripts/late.py

Names are those of extensions, or of files as EXTENSION/scripts/FILE. An extension comes after those that it requires.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FILE = "metadata.ini"
_SPLIT = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Order:
    """What one extension, or one of its files, says of its place."""

    requires: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metadata:
    """All of an extension's file; everything may be left out."""

    name: str = ""
    priority: int = 0
    """Lower ones come first where nothing else decides."""
    order: Order = Order()
    files: Mapping[str, Order] = field(default_factory=dict)
    """By `scripts/FILE`, lower case."""

    def among(self, own: str) -> Order:
        """What the extension called `own` and its files say of other extensions; one file decides for all of them."""
        orders = (self.order, *self.files.values())

        def heads(rows: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
            names = (name.partition("/")[0] for row in rows for name in row)
            return tuple(dict.fromkeys(name for name in names if name != own))

        return Order(
            heads(order.requires for order in orders),
            heads(order.before for order in orders),
            heads(order.after for order in orders),
        )

    @property
    def requires(self) -> tuple[str, ...]:
        """Extensions and files without which the extension does not work."""
        return tuple(name for order in (self.order, *self.files.values()) for name in order.requires)


def read_metadata(folder: Path) -> Metadata:
    """What the file says; nothing when there is none. Raises `ValueError` for one that cannot be read."""
    path = folder / FILE
    if not path.is_file():
        return Metadata()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{FILE} cannot be read: {str(error).splitlines()[0]}") from error
    own = parser["Extension"] if parser.has_section("Extension") else {}
    try:
        priority = int(own.get("Priority", "0"))
    except ValueError as error:
        raise ValueError(f"{FILE}: Priority has to be a whole number") from error
    files = {
        section.casefold(): _order(parser[section])
        for section in parser.sections()
        if section.casefold().startswith("scripts/")
    }
    return Metadata(own.get("Name", "").strip(), priority, _order(own), files)


def _order(section: Mapping[str, str]) -> Order:
    requires, before, after = (
        tuple(name.casefold() for name in _SPLIT.split(section.get(key, "")) if name)
        for key in ("Requires", "Before", "After")
    )
    return Order(requires, before, after)


class Cycle(ValueError):
    """Several want to come before each other."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"these want to come before each other: {' -> '.join([*self.names, self.names[0]])}")


def sort(items: Mapping[str, Order], rank: Mapping[str, tuple[int, str]]) -> tuple[list[str], list[Cycle]]:
    """Names in order, and the cycles that were found; those in one stand in the order of `rank`.

    What is not there is not waited for. A missing requirement is the caller's to find.
    """
    earlier: dict[str, set[str]] = {name: set() for name in items}
    for name, order in items.items():
        for other in (*order.requires, *order.after):
            earlier[name] |= {found for found in _matching(other, items) if found != name}
        for other in order.before:
            for found in _matching(other, items):
                if found != name:
                    earlier[found].add(name)
    done: list[str] = []
    cycles: list[Cycle] = []
    left = sorted(items, key=lambda name: rank[name])
    while left:
        free = next((name for name in left if not earlier[name] & set(left)), None)
        if free is None:
            cycle = _cycle(left, earlier)
            cycles.append(Cycle(cycle))
            free = min(cycle, key=lambda name: rank[name])
        left.remove(free)
        done.append(free)
    return done, cycles


def _matching(name: str, items: Mapping[str, Order]) -> list[str]:
    """The items that a name means: one, or all files of an extension."""
    return [item for item in items if item == name or item.startswith(f"{name}/")]


def _cycle(left: list[str], earlier: Mapping[str, set[str]]) -> list[str]:
    """One cycle among those that are left, each of which waits for another."""
    path = [left[0]]
    while True:
        following = min(earlier[path[-1]] & set(left))
        if following in path:
            return path[path.index(following) :]
        path.append(following)
