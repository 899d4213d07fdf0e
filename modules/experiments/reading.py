"""From what somebody says of an axis to an `Axis` whose values can be drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from math import factorial
from typing import Any

from modules.contracts.catalog import Catalog
from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import MOST_AXES, MOST_CELLS, Axis, Experiment
from modules.contracts.extending import AxisEntry
from modules.contracts.request import MAX_SEED, GenerationRequest
from modules.contracts.scripts import NoScripts, Scripts
from modules.experiments.changing import BETWEEN, LORA, ORDER, PAIR, REPLACE, STYLES
from modules.experiments.grammar import boolean, booleans_of, floats_of, integers_of, number, whole, words_of
from modules.experiments.kinds import COSTS, Kind, find_script_kind
from modules.experiments.legacy import Tab, kind_named
from modules.support.names import (
    SAME,
    find_checkpoint,
    find_sampler,
    find_scheduler,
    find_text_encoder,
    find_upscaler,
    find_vae,
)
from modules.support.word_lists import write_words

FILE = "@"
"""The first character of values that stand in a file."""
_RANDOM = frozenset({"seeds.seed", "seeds.subseed"})
_TAG = "<lora:"


def no_files(name: str) -> str:
    """Of a front whose callers have no files here."""
    raise InvalidRequest(f"The values of an axis are {name[:80]!r}; files are read by the terminal alone.")


class AxisReader:
    """Reads axes with the names of one catalogue."""

    def __init__(
        self,
        catalog: Catalog,
        read_file: Callable[[str], str] = no_files,
        scripts: Scripts | None = None,
        base: GenerationRequest | None = None,
    ) -> None:
        """`read_file` gives the text of a file by its name, for values such as `@prompts.txt`, a line each.

        What `scripts` are told may vary as well; `base` is the request that does.
        """
        self._catalog = catalog
        self._read_file = read_file
        self._scripts: Scripts = scripts or NoScripts()
        self._base = base

    def axis(self, name: str, values: str | Sequence[Any], tab: Tab = "txt2img") -> Axis:
        """The axis of that key or label, A1111's included. Raises `InvalidRequest` with one sentence.

        `values` are a text in the grammar of `modules.experiments.grammar`, or a list of single values.
        """
        return self.of(self.kind(name, tab), values, tab)

    def kind(self, name: str, tab: Tab) -> Kind:
        """The kind of that key or label: the studio's own, A1111's, then those of scripts. Raises `InvalidRequest`."""
        try:
            return kind_named(name, tab)
        except InvalidRequest:
            found = find_script_kind(self._scripts, name, tab)
            if found is None:
                raise
            return found

    def of(self, kind: Kind, values: str | Sequence[Any], tab: Tab = "txt2img") -> Axis:
        """The axis of a known kind."""
        if kind.entry is not None:
            return self._told(kind, kind.entry, values, tab)
        if kind.key == LORA:
            raise InvalidRequest("LoRA weight: say of which network, as prompt.lora.NAME.")
        given = self._spread(kind, values)
        if not given:
            raise InvalidRequest(f"{kind.label}: no values were given.")
        if len(given) > MOST_CELLS:
            raise InvalidRequest(f"{kind.label}: {len(given)} values are too many; at most {MOST_CELLS} are allowed.")
        checked = tuple(self._check(kind, value) for value in given)
        if kind.key == ORDER:
            checked = _orders(kind, checked)
        networks = kind.key == REPLACE and any(_TAG in str(value).casefold() for value in checked)
        return Axis(kind.key, kind.label, checked, COSTS[LORA] if networks else kind.cost)

    def _told(self, kind: Kind, entry: AxisEntry, values: str | Sequence[Any], tab: Tab) -> Axis:
        """The axis of what a script is told; the script checks its values."""
        owner = self._base.scripts.run if self._base is not None else None
        if not entry.always_on and (owner is None or owner.name.strip().casefold() != entry.script.casefold()):
            raise InvalidRequest(f"{kind.label} varies, but the request does not have {entry.script} own its run.")
        given = self._plain(values) if entry.reads_text and isinstance(values, str) else self._spread(kind, values)
        if isinstance(given, list):
            given = [boolean(one, kind.label) for one in given] if kind.type == "bool" else given
            given = [whole(one, kind.label) for one in given] if kind.type == "int" else given
            given = [number(one, kind.label) for one in given] if kind.type == "float" else given
        found = self._scripts.read_axis(entry, given, tab, self._base)
        if not found.values:
            raise InvalidRequest(f"{kind.label}: no values were given.")
        if len(found.values) > MOST_CELLS:
            raise InvalidRequest(f"{kind.label}: {len(found.values)} values are too many; {MOST_CELLS} are allowed.")
        return Axis(kind.key, kind.label, found.values, kind.cost, found.captions, entry.form)

    def _plain(self, values: str) -> str | list[Any]:
        """A text that a script takes apart itself; lines of a file are values as they stand."""
        if not values.strip().startswith(FILE):
            return values
        return [line.strip() for line in self._read_file(values.strip()[1:].strip()).splitlines() if line.strip()]

    def _spread(self, kind: Kind, values: str | Sequence[Any]) -> list[Any]:
        if not isinstance(values, str):
            return list(values)
        if values.strip().startswith(FILE):
            lines = self._read_file(values.strip()[1:].strip()).splitlines()
            return [line.strip() for line in lines if line.strip()]
        if kind.type == "int":
            return list(integers_of(values, kind.label))
        if kind.type == "float":
            return list(floats_of(values, kind.label))
        if kind.type == "bool":
            return list(booleans_of(values, kind.label))
        words = words_of(values)
        return words if kind.key in (REPLACE, STYLES) else [word for word in words if word]

    def _check(self, kind: Kind, value: Any) -> Any:
        if kind.type == "bool":
            return boolean(value, kind.label)
        if kind.optional and (value is None or (isinstance(value, str) and value.strip().casefold() in SAME)):
            return find_vae(self._catalog, value) if kind.choices == "vaes" and value else None
        if kind.type == "int":
            return _drawn(kind, whole(value, kind.label))
        if kind.type == "float":
            return number(value, kind.label)
        if not isinstance(value, str):
            if value is None or isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidRequest(f"{kind.label}: {value!r:.80} is no word.")
            value = str(value)
        return self._name(kind, value)

    def _name(self, kind: Kind, value: str) -> str | None:
        catalog = self._catalog
        if kind.key == PAIR:
            return self._pair(value)
        if kind.choices == "samplers":
            name, label = find_sampler(catalog, value)
            if label is not None:
                raise InvalidRequest(f"{kind.label}: {value!r} names a schedule too; use the axis {PAIR} for pairs.")
            return name
        if kind.choices == "schedulers":
            return find_scheduler(catalog, value)
        if kind.choices == "models":
            return find_checkpoint(catalog, value)
        if kind.choices == "vaes":
            return find_vae(catalog, value)
        if kind.choices == "text_encoders":
            return find_text_encoder(catalog, value)
        if kind.choices == "upscalers":
            return find_upscaler(catalog, value)
        return value

    def _pair(self, value: str) -> str:
        head, between, tail = value.partition(BETWEEN.strip())
        name, label = find_sampler(self._catalog, head)
        if between and tail.strip():
            label = find_scheduler(self._catalog, tail)
        return name if label is None else f"{name}{BETWEEN}{label}"


def make_experiment(
    base: GenerationRequest, axes: Sequence[Axis], *, exclude: Sequence[str] = (), name: str = "", **more: Any
) -> Experiment:
    """An experiment whose base has its seeds drawn. Raises `InvalidRequest`.

    Bounds of the cells are checked when they are made.
    """
    if len(axes) > MOST_AXES:
        raise InvalidRequest(f"{len(axes)} axes were given; at most {MOST_AXES} are allowed.")
    keys = [axis.key for axis in axes]
    twice = next((axis.label for axis in axes if keys.count(axis.key) > 1 and axis.key != REPLACE), None)
    if twice is not None:
        raise InvalidRequest(f"{twice} is given as an axis twice; one of them would never be seen.")
    seeds = base.seeds
    drawn = {part: _random() for part in ("seed", "subseed") if getattr(seeds, part) == -1}
    canvas = replace(base.canvas, batch_count=1)
    fixed = replace(base, seeds=replace(seeds, **drawn), canvas=canvas)
    return Experiment(fixed, tuple(axes), tuple(exclude), name, **more)


def _drawn(kind: Kind, value: int) -> int:
    """A seed of -1 is drawn once, so that its row or column is the same throughout."""
    return _random() if kind.key in _RANDOM and value == -1 else value


def _random() -> int:
    return random.SystemRandom().randint(0, MAX_SEED)


def _orders(kind: Kind, words: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(words) > 7 or factorial(len(words)) > MOST_CELLS:
        raise InvalidRequest(f"{kind.label}: {len(words)} words have too many orders; at most 7 are allowed.")
    return tuple(write_words(order) for order in permutations(map(str, words)))
