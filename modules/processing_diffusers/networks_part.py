"""The networks of a job: leased from a pool, put beside the denoiser row by row, and into how its words are read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.contracts.networks import NetworkEntry, Networks, NetworkUse
from modules.contracts.plan import GenerationPlan, PicturePlan
from modules.memory.residency import ModelPool
from modules.networks.fittings import Fittings
from modules.networks.loading import LoadedNetwork, load_network, state_of
from modules.networks.rows import RowNetworks, Sample, Share
from modules.networks.vector_files import read_vectors, vectors_by_encoder
from modules.networks.words import Word, WordTokenizer, WordVectors, pattern_of
from modules.support.settings import Settings

T = TypeVar("T")
POOL_BYTES = 4 << 30
"""Networks that no job uses go when all together are larger."""
HASH_SECONDS = 20.0
"""How long a finished picture waits for the hash of a network, which is computed once."""


@dataclass(slots=True)
class Clock:
    """How far a pass has come; its watcher sets it, and what weighs networks reads it."""

    steps: int
    done: float = 0.0


class NetworkShelf:
    """Leases networks that are fitted to models. Safe from several lanes."""

    def __init__(self, networks: Networks, settings: Settings) -> None:
        self.networks = networks
        self._pool: ModelPool[object, LoadedNetwork] = ModelPool(
            budget=POOL_BYTES,
            limit=lambda: int(settings["lora_in_memory_limit"]),
            size_of=lambda network: network.size_bytes,
        )

    @contextlib.contextmanager
    def lease(self, plan: GenerationPlan, fittings: Fittings) -> Iterator[JobNetworks]:
        """All networks of a plan, until the block ends. Raises `BrokenModel` or `UnsupportedFeature`."""
        uses = {use for picture in plan.worded for use in (*picture.uses, *picture.hires_uses)}
        with contextlib.ExitStack() as stack:
            loaded: dict[Hashable, LoadedNetwork] = {}
            for use in uses:
                if use.blocks and (blocks := fittings.shelves[fittings.denoiser].blocks) is not None:
                    blocks.check(use.blocks)
                if (key := _key(use)) not in loaded:
                    loaded[key] = stack.enter_context(self._lease_one(use, fittings, plan.model.name))
            yield JobNetworks(self.networks, fittings, loaded)

    def _lease_one(
        self, use: NetworkUse, fittings: Fittings, model: str
    ) -> contextlib.AbstractContextManager[LoadedNetwork]:
        entry = use.entry

        def load() -> LoadedNetwork:
            return load_network(entry, fittings.denoiser, fittings.parts, rank=use.rank, model=model)

        key = (*state_of(entry.path), use.rank, fittings.identity)
        return self._pool.lease(key, load, expected=2 * entry.size_bytes)

    def empty(self) -> None:
        """Let go of all networks that no job uses."""
        self._pool.evict_all()


class JobNetworks:
    """The networks of one job. May be used by the threads of all its batches."""

    def __init__(self, networks: Networks, fittings: Fittings, loaded: Mapping[Hashable, LoadedNetwork]) -> None:
        self._networks, self._fittings, self._loaded = networks, fittings, loaded
        self._lock = threading.Lock()
        self._words: dict[Hashable, tuple[Word, ...]] = {}
        self._misfits: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on embeddings that a prompt names and this model cannot read."""
        with self._lock:
            return tuple(self._misfits.values())

    def weights(self) -> tuple[int, int]:
        """Bytes of all networks beside the model's layers, and those of them that are there already."""
        found = [network.weights_beside() for network in self._loaded.values()]
        return sum(whole for whole, _ in found), sum(there for _, there in found)

    def beside_denoiser(self, pictures: Sequence[PicturePlan], clock: Clock, *, hires: bool) -> RowNetworks:
        """The patch that every call of the denoiser carries, for these pictures in this order."""

        def samples() -> list[Sample]:
            return [self._denoising(picture.hires_uses if hires else picture.uses, clock) for picture in pictures]

        return RowNetworks(self._fittings.shelves[self._fittings.denoiser], self._fittings.denoiser, samples)

    def _denoising(self, uses: Sequence[NetworkUse], clock: Clock) -> Sample:
        return tuple(
            Share(self._loaded[_key(use)], use.denoiser.at(clock.done, clock.steps), use.blocks, use.parts)
            for use in uses
        )

    def _reading(self, uses: Sequence[NetworkUse]) -> Sample:
        shares = (Share(self._loaded[_key(use)], use.text * (use.blocks[0] if use.blocks else 1.0)) for use in uses)
        return tuple(share for share in shares if share.weight != 0 and _reads(share.network, self._fittings))

    def groups(self, texts: Sequence[T], words_of: Callable[[T], str], uses: Sequence[NetworkUse]) -> list[list[T]]:
        """The texts apart by the new words that they have, so that each group may be read in one way; `uses` are the
        networks that stand beside them."""
        found: dict[Hashable, list[T]] = {}
        for text in texts:
            found.setdefault(self.words_in(words_of(text), uses), []).append(text)
        return list(found.values())

    @contextlib.contextmanager
    def reading(self, pipeline: Any, texts: Sequence[str], uses: Sequence[NetworkUse]) -> Iterator[None]:
        """Until the block ends, the pipeline's tokenizers know the new words of `texts`, and its text encoders have
        the networks of `uses`."""
        words = tuple(dict.fromkeys(word for text in texts for word in self.words_in(text, uses)))
        sample = self._reading(uses)
        with contextlib.ExitStack() as stack:
            for name, shelf in self._fittings.shelves.items():
                encoder = getattr(pipeline, name, None)
                if name == self._fittings.denoiser or encoder is None:
                    continue
                patches = (
                    *((WordVectors(name, self._fittings.vocabulary, words),) if name in self._fittings.widths else ()),
                    RowNetworks(shelf, name, lambda: (sample,)),
                )
                stack.enter_context(encoder.carrying(patches))
                if words and name in self._fittings.widths:
                    stack.enter_context(_speaking(pipeline, name.replace("text_encoder", "tokenizer"), words))
            yield

    def words_in(self, text: str, uses: Sequence[NetworkUse]) -> tuple[Word, ...]:
        """The embeddings that a text names, each learnt by the model's encoders. Those that do not fit are noted.

        Those that come with a network are known where that is used, and go before others of their name.
        """
        loaded = tuple(dict.fromkeys(self._loaded[_key(use)] for use in uses))
        key = (text, tuple(network.identity for network in loaded if network.words))
        with self._lock:
            if key not in self._words:
                bundled = tuple(self._find_bundled(text, loaded))
                taken = {spelling.casefold() for word in bundled for spelling in word.spellings}
                self._words[key] = (*bundled, *self._find_words(text, taken))
            return self._words[key]

    def _find_bundled(self, text: str, loaded: Sequence[LoadedNetwork]) -> Iterator[Word]:
        found: set[str] = set()
        for network in loaded if text and self._fittings.widths else ():
            for name, tensors in network.words.items():
                if name.casefold() in found or pattern_of((name,)).search(text) is None:
                    continue
                found.add(name.casefold())
                key, vocabulary = (network.identity, name), self._fittings.vocabulary
                try:
                    vectors = vectors_by_encoder(name, tensors, self._fittings.widths)
                except UnsupportedFeature as error:
                    self._misfits[f"{network.entry.name}/{name}"] = (
                        f"{error.message.rstrip('.')}; its name was read as plain words."
                    )
                    continue
                entry = replace(network.entry, name=name, alias=name, kind="embedding")
                yield vocabulary.knows(key) or vocabulary.learn(key, entry, vectors, network.entry.name)

    def _find_words(self, text: str, taken: Collection[str]) -> Iterator[Word]:
        folded = text.casefold()
        for entry in self._networks.list("embedding") if folded and self._fittings.widths else ():
            spellings = (entry.name, entry.alias)
            if entry.problem is not None or not any(one.casefold() in folded for one in spellings):
                continue
            if any(one.casefold() in taken for one in spellings):
                continue
            if pattern_of(spellings).search(text) is None or entry.name in self._misfits:
                continue
            try:
                key = state_of(entry.path)
                known = self._fittings.vocabulary.knows(key)
                yield known or self._fittings.vocabulary.learn(key, entry, read_vectors(entry, self._fittings.widths))
            except (UnsupportedFeature, BrokenModel) as error:
                self._misfits[entry.name] = f"{error.message.rstrip('.')}; its name was read as plain words."

    def hashes(self, picture: PicturePlan, texts: Sequence[str]) -> dict[str, str]:
        """`Lora hashes` and `TI hashes` of a picture, as A1111 writes them; `texts` is all that was read for it."""
        uses = (*picture.uses, *picture.hires_uses)
        networks = [use.entry for use in uses]
        # What comes with a network is told by that one's hash.
        words = [word.entry for text in texts for word in self.words_in(text, uses) if not word.bundle]
        found = {"Lora hashes": self._list(networks), "TI hashes": self._list(words)}
        return {key: value for key, value in found.items() if value}

    def _list(self, entries: Sequence[NetworkEntry]) -> str:
        unique = {entry.name: entry for entry in entries}
        known = (self._networks.wait(entry, HASH_SECONDS) for entry in unique.values())
        return ", ".join(f"{entry.name}: {entry.short_hash}" for entry in known if entry.short_hash)

    def describe(self, picture: PicturePlan, texts: Sequence[str]) -> list[dict[str, Any]]:
        """For the recipe: every network of a picture with all that it was used with."""
        rows: list[dict[str, Any]] = []
        for use in dict.fromkeys((*picture.uses, *picture.hires_uses)):
            curve = use.denoiser
            rows.append(
                {
                    "name": use.entry.name,
                    "kind": use.entry.kind,
                    "sha256": self._networks.wait(use.entry, HASH_SECONDS).sha256,
                    "text": use.text,
                    "denoiser": [list(point) for point in curve.points],
                    "start": curve.start,
                    "stop": curve.stop,
                    "rank": use.rank,
                    "blocks": list(use.blocks),
                    "parts": dict(use.parts),
                    "passes": [
                        name for name, uses in (("first", picture.uses), ("hires", picture.hires_uses)) if use in uses
                    ],
                }
            )
        uses = (*picture.uses, *picture.hires_uses)
        for word in dict.fromkeys(word for text in texts for word in self.words_in(text, uses)):
            if word.bundle:
                rows.append({"name": word.entry.name, "kind": word.entry.kind, "bundled_in": word.bundle})
                continue
            sha256 = self._networks.wait(word.entry, HASH_SECONDS).sha256
            rows.append({"name": word.entry.name, "kind": word.entry.kind, "sha256": sha256})
        return rows


@contextlib.contextmanager
def _speaking(pipeline: Any, tokenizer: str, words: Sequence[Word]) -> Iterator[None]:
    plain = getattr(pipeline, tokenizer)
    setattr(pipeline, tokenizer, WordTokenizer(plain, words))
    try:
        yield
    finally:
        setattr(pipeline, tokenizer, plain)


def _reads(network: LoadedNetwork, fittings: Fittings) -> bool:
    """Whether it changes any text encoder."""
    return any(part != fittings.denoiser for part in network.changes)


def _key(use: NetworkUse) -> Hashable:
    return use.entry.path, use.rank
