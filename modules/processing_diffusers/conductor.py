"""Words that a pipeline's one set of embeddings cannot say: other ones at each step, several for one picture.

A conductor stands before the denoiser. For each call it puts the words of the step into the rows, asks for as many rows
as the pictures have prompts, and mixes the answers into the rows that the pipeline expects.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from modules.processing_diffusers.areas import shares_of
from modules.processing_diffusers.families.base import Embedding, FamilyAdapter
from modules.processing_diffusers.guidance_methods import along_with
from modules.processing_diffusers.multiplexer.call import count_samples
from modules.processing_diffusers.multiplexer.picking import pick
from modules.processing_diffusers.multiplexer.stand_in import KINDS, UNSEEN
from modules.prompts.areas import Area
from modules.prompts.encoding import common_length
from modules.prompts.timeline import said_at


@dataclass(frozen=True, slots=True)
class Voice:
    """One prompt of a picture: embeddings in order, each with the last count at which it holds, and its weight."""

    entries: tuple[tuple[int, Embedding], ...]
    weight: float = 1.0
    area: Area | None = None
    """Where it counts, of prompts that have areas; None is the whole picture."""

    def at(self, count: int) -> Embedding:
        """What it says at that count of the pass; see `modules.prompts.timeline.Pace`."""
        return said_at(self.entries, count)


@dataclass(frozen=True, slots=True)
class Role:
    """All prompts of one picture."""

    voices: tuple[Voice, ...]
    negative: Voice | None
    """None where the model takes no negative prompt at all."""
    empty: Voice | None = None
    """The empty prompt, where the negative one is to act only across the prompt."""
    across: float = 0.0
    """How strongly it does then."""
    behind: float | None = None
    """How much a prompt for the whole picture counts within the areas of the others; None where no prompt has one."""

    @property
    def composed(self) -> bool:
        """Its prompts have to be mixed."""
        return len(self.voices) > 1 or self.voices[0].weight != 1.0 or self.behind is not None


@dataclass(frozen=True, slots=True)
class _Mixture:
    """How an answer for one of the pipeline's rows is made: places in the list of rows asked for."""

    bound: tuple[tuple[int, float], ...]
    """The prompts, with weights."""
    free: int | None = None
    """What they are mixed round."""
    against: int | None = None
    """What is kept off across them."""
    across: float = 0.0
    areas: tuple[Area | None, ...] = ()
    """Where each of the prompts counts; empty is everywhere."""
    behind: float = 0.0


@dataclass(frozen=True, slots=True)
class _Row:
    """One sample of a call: which of the pipeline's rows it is made from, and what words it gets."""

    source: int
    embedding: Embedding


class Conductor:
    """The words of the pictures of one batch through one pass. Used by one lane; `count` is set before each call."""

    def __init__(self, adapter: FamilyAdapter, roles: Sequence[Role], most: int) -> None:
        """`most` is how many rows one call may have."""
        self.count = 0
        self._adapter, self._roles, self._most = adapter, tuple(roles), max(most, 1)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The prompts of each picture."""
        return self._roles

    def only(self, place: int) -> Conductor:
        """A conductor for one picture of the batch, at the first call."""
        return Conductor(self._adapter, self._roles[place : place + 1], self._most)

    def conduct(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> tuple[torch.Tensor]:
        """Run the denoiser, called with `arguments` for the pipeline's rows, and give an answer for just these.

        The pipeline's rows are a multiple of the pictures: one set without guidance, else the unguided set first; then
        sets of other kinds, each with the words of the prompt, or of the negative one (`UNSEEN`). What `AND` joins is
        mixed round the unguided answer (Liu et al. 2022, equation 11), so that the guidance that comes after scales all
        of it; where there is no unguided answer, by the weights' share.
        """
        given, count = count_samples(arguments), len(self._roles)
        if given % count:
            raise ValueError(f"A call of {given} rows came for {count} pictures.")
        kinds = arguments.get(KINDS)
        ordinary = given if kinds is None else int((kinds == 0).sum())
        rows: list[_Row] = []
        wordless = set() if kinds is None else {place // count for place in range(given) if kinds[place] == UNSEEN}
        plan = list(self._plan(given // count, ordinary // count, rows, wordless))
        answers = self._ask(call, arguments, rows, given)
        return (torch.stack([_mix(answers, mixture) for mixture in plan]),)

    def _plan(self, blocks: int, ordinary: int, rows: list[_Row], wordless: Container[int]) -> Iterator[_Mixture]:
        """For each row of the pipeline how it is made of `rows`, which are added to. `ordinary` blocks come first; the
        `wordless` ones have the words of the negative prompt."""
        count, free = len(self._roles), dict[int, int]()

        def add(source: int, voice: Voice) -> int:
            rows.append(_Row(source, voice.at(self.count)))
            return len(rows) - 1

        for block in range(blocks):
            for place, role in enumerate(self._roles):
                source = block * count + place
                if block in wordless and role.negative is not None:
                    yield _Mixture(((add(source, role.empty or role.negative), 1.0),))
                    continue
                if block == 0 and ordinary > 1 and role.negative is not None:
                    free[place] = add(source, role.empty or role.negative)
                    yield _Mixture(((free[place], 1.0),))
                    continue
                if role.composed and role.negative is not None and place not in free:
                    free[place] = add(source, role.negative)
                voices = tuple((add(source, voice), voice.weight) for voice in role.voices)
                across = ordinary > 1 and role.empty is not None and role.negative is not None
                yield _Mixture(
                    voices,
                    free.get(place) if role.composed or across else None,
                    add(source, role.negative) if across and role.negative is not None else None,
                    role.across,
                    () if role.behind is None else tuple(voice.area for voice in role.voices),
                    role.behind or 0.0,
                )

    def _ask(
        self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any], rows: Sequence[_Row], given: int
    ) -> list[torch.Tensor]:
        answers: dict[int, torch.Tensor] = {}
        for places, length in self._groups(rows):
            for begin in range(0, len(places), self._most):
                portion = places[begin : begin + self._most]
                chosen = [rows[place] for place in portion]
                even = [self._adapter.lengthen(row.embedding, length) for row in chosen]
                words = self._adapter.words([one for one in even if one is not None])
                picked = pick(arguments, [row.source for row in chosen], given)
                answers.update(zip(portion, call(_joined(picked, words))[0], strict=True))
        return [answers[place] for place in range(len(rows))]

    def _groups(self, rows: Sequence[_Row]) -> Iterator[tuple[list[int], int]]:
        """Rows that go in one call, and the length that their texts get in it."""
        left = list(range(len(rows)))
        while left:
            length = _shared(self._adapter, [rows[place].embedding for place in left])
            fits = [place for place in left if self._adapter.lengthen(rows[place].embedding, length) is not None]
            yield fits, length
            left = [place for place in left if place not in fits]


def _mix(answers: Sequence[torch.Tensor], mixture: _Mixture) -> torch.Tensor:
    """One answer of several.

    What is kept off across the prompts is Perp-Neg's (Armandpour et al., arXiv:2304.04968): of what the negative prompt
    changes, only the part at right angles to what the prompts change.
    """
    bound: list[tuple[int, Any]] = list(mixture.bound)
    free = mixture.free
    if mixture.areas:
        shares = shares_of(mixture.areas, mixture.behind, answers[bound[0][0]])
        bound = [(place, share * weight) for (place, weight), share in zip(bound, shares, strict=True)]
    if free is not None:
        base = answers[free]
        push = sum(((answers[place] - base) * weight for place, weight in bound), torch.zeros_like(base))
        if mixture.against is None:
            return base + push
        pull = (answers[mixture.against] - base)[None]
        return base + push - mixture.across * (pull - along_with(pull, push[None]))[0]
    if mixture.areas:
        whole = torch.stack([weight for _, weight in bound]).sum(0)
        whole = torch.where(whole == 0, torch.ones_like(whole), whole)
        return sum((answers[place] * (weight / whole) for place, weight in bound), torch.zeros_like(answers[0]))
    if len(bound) == 1 and bound[0][1] == 1.0:
        return answers[bound[0][0]]
    whole = sum(weight for _, weight in bound) or 1.0
    return torch.stack([answers[place] * (weight / whole) for place, weight in bound]).sum(0)


def even_lengths(adapter: FamilyAdapter, embeddings: Sequence[Embedding]) -> list[Embedding] | None:
    """The embeddings brought to one length without changing what they say; None where that cannot be."""
    length = _shared(adapter, embeddings)
    even = [adapter.lengthen(embedding, length) for embedding in embeddings]
    found = [embedding for embedding in even if embedding is not None]
    return found if len(found) == len(even) else None


def _shared(adapter: FamilyAdapter, embeddings: Sequence[Embedding]) -> int:
    """The length that texts are brought to: that of the longest, or where they may be repeated what all of them fit."""
    lengths = {_length(embedding) for embedding in embeddings}
    return (common_length(lengths) if adapter.repeats else None) or max(lengths)


def _length(embedding: Embedding) -> int:
    return int(embedding["embeds"].shape[0])


def _joined(arguments: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` with the words in their place, also within a mapping of arguments."""
    found = dict(arguments)
    for name, value in words.items():
        inner = found.get(name)
        found[name] = {**inner, **value} if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return found
