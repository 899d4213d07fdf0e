"""Extra networks: what a prompt asks for with tags such as `<lora:name:0.8:te=0.5>`, and which there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from modules.contracts.errors import UnknownModel

NetworkKind = Literal["lora", "embedding"]
"""`lora` is LoRA and all its kin, which change layers; `embedding` is textual inversion, which is a new word."""
SHORT_HASH = 12
"""Digits of a network's hash in infotext, as A1111 writes it."""


@dataclass(frozen=True, slots=True)
class NetworkTag:
    """One tag of a picture's prompt, as it was written; what its arguments mean is the network's affair."""

    kind: str
    """The word before the first colon in lower case: `lora`, `lyco`, `hypernet` …"""
    name: str
    """Which network: an alias or a file name."""
    positional: tuple[str, ...] = ()
    """Arguments without a name, in order; an empty one was left open and means the default."""
    named: tuple[tuple[str, str], ...] = ()
    """Arguments written as `key=value`, in order. Keys are in lower case; of equal keys the last one holds."""

    def argument(self, key: str, place: int | None = None) -> str | None:
        """The argument of that name, else the positional one at `place`; None where it was not given."""
        named = dict(self.named).get(key)
        if named is not None or place is None or place >= len(self.positional):
            return named
        return self.positional[place] or None


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What a network's header says of it."""

    methods: tuple[str, ...] = ()
    """Such as `LoRA` or `LoKr`, with `DoRA` beside the one it goes with."""
    base: str | None = None
    """Id of the family that it was most likely made for, such as `sdxl`; None when nothing tells."""
    size: int | None = None
    """Rank of a LoRA, number of vectors of an embedding."""
    width: int | None = None
    """Of an embedding's vectors, or of its first set where it has one for each encoder."""
    words: tuple[tuple[str, int], ...] = ()
    """Words of its captions and how often each was seen, the most frequent first."""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The header's own words, unread."""


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """One network in the catalogue. `problem` is None when it can be used."""

    name: str
    """The file name without its ending. Unique among networks of its kind."""
    kind: NetworkKind
    path: Path
    alias: str
    """What its maker called it (`ss_output_name`), or the name; not unique."""
    facts: NetworkFacts = NetworkFacts()
    sha256: str | None = None
    """Of the whole file, once known; its first ten digits are what sites call AutoV2."""
    data_hash: str | None = None
    """SHA-256 of what follows the header, once known, which stays when metadata is edited (`sshs_model_hash`)."""
    size_bytes: int = 0
    problem: str | None = None

    @property
    def short_hash(self) -> str | None:
        """What infotext says: of a LoRA from the data, of an embedding from the file, as in A1111."""
        full = self.data_hash if self.kind == "lora" else self.sha256
        return full[:SHORT_HASH] if full else None


@dataclass(frozen=True, slots=True)
class Curve:
    """A weight over the steps of a pass: constant, or points with straight lines between them."""

    points: tuple[tuple[float, float], ...]
    """Where and how much, in order of where: up to 1 it is a share of the pass, above 1 a number of steps."""
    start: float = 0.0
    stop: float | None = None
    """Outside these the weight is 0; both are counted as `points` are, None has no end."""

    def at(self, step: float, steps: int) -> float:
        """The weight after `step` of `steps` steps."""
        total = max(steps, 1)
        if step < _steps(self.start, total) or (self.stop is not None and step >= _steps(self.stop, total)):
            return 0.0
        before = None
        for place, weight in self.points:
            here = _steps(place, total)
            if step <= here:
                if before is None or here == before[0]:
                    return weight
                return before[1] + (weight - before[1]) * (step - before[0]) / (here - before[0])
            before = (here, weight)
        return self.points[-1][1]

    @property
    def always_zero(self) -> bool:
        """Whether it never has an effect."""
        return all(weight == 0 for _, weight in self.points)


def _steps(place: float, total: int) -> float:
    return place * total if place <= 1 else place


@dataclass(frozen=True, slots=True)
class NetworkUse:
    """A network as one picture uses it: nothing left open."""

    entry: NetworkEntry
    text: float
    """Weight in the text encoders."""
    denoiser: Curve
    """Weight in the denoiser."""
    rank: int | None = None
    """Of each low-rank pair only so many components are used (`dyn`)."""
    blocks: tuple[float, ...] = ()
    """Further factors by block of the denoiser, the text encoders' first (`lbw`); empty is 1 everywhere."""
    parts: tuple[tuple[str, float], ...] = ()
    """Further factors for whole parts of a UNet: `in`, `mid`, `out`."""


class Networks(Protocol):
    """Which networks there are. Reading never imports torch."""

    def list(self, kind: NetworkKind) -> tuple[NetworkEntry, ...]:
        """All of one kind, usable ones first, each group by name. Hashes appear once they are known."""

    def find(self, kind: NetworkKind, name: str) -> NetworkEntry:
        """The network of that name, alias or hash. Raises `UnknownModel` with near names, or `BrokenModel`."""

    def wait(self, entry: NetworkEntry, timeout: float | None = None) -> NetworkEntry:
        """The entry with its hashes, waiting for them up to `timeout` seconds; without them when that is not enough."""

    def refresh(self) -> None:
        """Look at the folders again."""


class NoNetworks:
    """A catalogue without any."""

    def list(self, kind: NetworkKind) -> tuple[NetworkEntry, ...]:
        """None."""
        return ()

    def find(self, kind: NetworkKind, name: str) -> NetworkEntry:
        """Raises `UnknownModel`."""
        raise UnknownModel(f"There is no network {name!r}; known are none.")

    def wait(self, entry: NetworkEntry, timeout: float | None = None) -> NetworkEntry:
        """The entry as it is."""
        return entry

    def refresh(self) -> None:
        """Nothing to look at."""
