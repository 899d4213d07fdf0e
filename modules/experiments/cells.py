"""The cells of an experiment: which there are, in which order they are drawn, and what each is known by."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from modules.contracts.codec import encode
from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import MOST_CELLS, Axis, Cell, Experiment
from modules.contracts.request import MAX_SEED, GenerationRequest
from modules.contracts.validation import validate
from modules.experiments.changing import change_of
from modules.experiments.expressions import evaluate

_LETTERS = ("x", "y", "z")
_WORD = re.compile(r"\W+")


def expand(experiment: Experiment) -> list[Cell]:
    """All cells that are not left out, by position. Raises `InvalidRequest` for one that is out of bounds."""
    count = prod(len(axis.values) for axis in experiment.axes)
    if count > MOST_CELLS:
        raise InvalidRequest(f"The axes have {count} combinations; an experiment has at most {MOST_CELLS} cells.")
    cells = []
    for position, place in enumerate(_places(experiment.axes)):
        if not _excluded(experiment, place):
            cells.append(Cell(position, place, _request(experiment, position, place)))
    if not cells:
        raise InvalidRequest("Every cell of the experiment is left out; nothing would be drawn.")
    return cells


def draw_order(experiment: Experiment, cells: Sequence[Cell]) -> list[Cell]:
    """The cells so that the dearest change happens least: axes of higher cost outside, among equals the later ones."""
    numbers = range(len(experiment.axes))
    outside = sorted(numbers, key=lambda number: (-experiment.axes[number].cost, -number))
    return sorted(cells, key=lambda cell: tuple(cell.place[number] for number in outside))


def values_at(experiment: Experiment, place: Sequence[int]) -> dict[str, Any]:
    """The values of a cell by the names that expressions use.

    Those are the last part of an axis's key, the whole key with underscores, and x, y, z for the first three.
    """
    named: dict[str, Any] = {}
    for number, (axis, index) in enumerate(zip(experiment.axes, place, strict=True)):
        value = axis.values[index]
        for name in (axis.key.rpartition(".")[2], axis.key):
            named[_WORD.sub("_", name)] = value
        if number < len(_LETTERS):
            named[_LETTERS[number]] = value
    return named


def caption(axis: Axis, index: int) -> str:
    """What a sheet says of a value: a word says what it is by itself, of numbers the axis is told."""
    value = axis.values[index]
    if axis.captions:
        return axis.captions[index]
    if isinstance(value, bool):
        return f"{axis.label}: {'on' if value else 'off'}"
    if isinstance(value, int | float):
        return f"{axis.label}: {value:.10g}"
    if value is None:
        return f"{axis.label}: own"
    return str(value) or f"{axis.label}: none"


def digest_of(request: GenerationRequest, marks: Callable[[GenerationRequest], Mapping[str, Any]]) -> str:
    """What a cell is known by: the same for requests that draw the same.

    `marks` tells what a request leaves to files and settings, so that a changed checkpoint is another cell.
    """
    if request.seeds.subseed_strength == 0:  # a variation that is nothing may be of any seed, and is drawn if not said
        request = replace(request, seeds=replace(request.seeds, subseed=0))
    told = {"request": encode(request), "marks": marks(request)}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def _places(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """Every combination, the first axis fastest."""
    for reversed_place in product(*(range(len(axis.values)) for axis in reversed(axes))):
        yield reversed_place[::-1]


def _excluded(experiment: Experiment, place: tuple[int, ...]) -> bool:
    named = values_at(experiment, place) if experiment.exclude else {}
    return any(bool(evaluate(text, named)) for text in experiment.exclude)


def _request(experiment: Experiment, position: int, place: tuple[int, ...]) -> GenerationRequest:
    request = experiment.base
    for axis, index in zip(experiment.axes, place, strict=True):
        request = change_of(axis.key)(request, axis, axis.values[index])
    request = _seeded(experiment, request, position, place)
    request = replace(request, output=replace(request.output, save=True))  # a sheet is made of what the gallery has
    _check_seen(experiment, request)
    validate(request)
    return request


def _seeded(
    experiment: Experiment, request: GenerationRequest, position: int, place: tuple[int, ...]
) -> GenerationRequest:
    """The request with the seeds that it has where they vary beside the axes."""
    seeds = request.seeds
    if experiment.own_seeds and not any(axis.key == "seeds.seed" for axis in experiment.axes):
        seeds = replace(seeds, seed=random.Random(f"{experiment.base.seeds.seed}-{position}").randint(0, MAX_SEED))
    step, stride = 0, 1
    for number, (axis, index) in enumerate(zip(experiment.axes, place, strict=True)):
        if number in experiment.vary_seeds:
            step += index * stride
            stride *= len(axis.values)
    return replace(request, seeds=replace(seeds, seed=(seeds.seed + step) % (MAX_SEED + 1)))


def _check_seen(experiment: Experiment, request: GenerationRequest) -> None:
    """Raise `InvalidRequest` for an axis of a second pass that is nowhere drawn: all of its cells would be the same."""
    keys = [axis.key for axis in experiment.axes]
    if request.hires.enabled or "hires.enabled" in keys:
        return
    label = next((axis.label for axis in experiment.axes if axis.key.startswith("hires.")), None)
    if label is not None:
        raise InvalidRequest(f"{label} varies, but the second pass is off; switch hires.enabled on.")
