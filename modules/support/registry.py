"""A registry that refuses: no duplicates, no unknown neighbours, no cycles, and a failed add changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Generic, TypeVar

T = TypeVar("T")


class RegistryError(ValueError):
    """The entry was refused; the registry is as before."""


class Registry(Generic[T]):
    """Named entries in an order that respects each entry's `before`."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._entries: dict[str, T] = {}
        self._before: dict[str, frozenset[str]] = {}
        self._order: tuple[str, ...] = ()

    def add(self, name: str, entry: T, *, before: Iterable[str] = ()) -> None:
        """Register `entry`. Raises `RegistryError` for a duplicate name or when `before` would close a circle."""
        if name in self._entries:
            raise RegistryError(f"{self._noun} {name!r} is registered already.")
        wanted = {**self._before, name: frozenset(before)}
        order = self._sorted([*self._entries, name], wanted)
        self._entries[name] = entry
        self._before, self._order = wanted, order

    def _sorted(self, names: list[str], before: dict[str, frozenset[str]]) -> tuple[str, ...]:
        sorter: TopologicalSorter[str] = TopologicalSorter({name: set() for name in names})
        for name, followers in before.items():
            for follower in followers & set(names):
                sorter.add(follower, name)
        try:
            return tuple(sorter.static_order())
        except CycleError as error:
            circle = " → ".join(error.args[1])
            raise RegistryError(f"The order of {self._noun} entries runs in a circle: {circle}.") from error

    def __getitem__(self, name: str) -> T:
        """The entry of that name; `KeyError` lists the known ones."""
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(self._order) or "none"
            raise KeyError(f"No {self._noun} {name!r}; known are: {known}.") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def items(self) -> Iterator[tuple[str, T]]:
        """Names and entries in order."""
        for name in self._order:
            yield name, self._entries[name]

    def copy(self) -> Registry[T]:
        """A private registry with the same entries; adding to it leaves this one alone."""
        twin: Registry[T] = Registry(self._noun)
        twin._entries, twin._before, twin._order = dict(self._entries), dict(self._before), self._order
        return twin
