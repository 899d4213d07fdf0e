"""Batches for the networks in SD 3's layout: cached latents of scenes and token numbers of freshly worded captions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.pocket.scenes.captions import caption
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.stages.focus import draw_rows
from modules.pocket.stages.pictures import SEED
from modules.training.feed import Feed
from modules.training.journal import load_checkpoint

Arrays = tuple[NDArray[np.generic], ...]
Make = Callable[[int], Arrays]
"""From the number of a batch to latents (n, 4, h, w) and token numbers (n, length)."""
COARSE = 0.5
"""Share of the training in which only the smallest side is seen: composition is learned there at a quarter of the
cost."""
LARGE = 0.75
"""Share of the larger sides in what is seen afterwards; the rest keeps the small one usable."""


@dataclass(frozen=True, slots=True)
class SceneBatches:
    """Makes batch number `step` from what the "latents" stage has left in `folder`. Picklable."""

    folder: Path
    sides: tuple[int, ...]
    """Widths in pixels; each batch has one of them."""
    shares: tuple[float, ...]
    """How often each comes."""
    batch: int
    """Pictures of the first of `sides`; of larger ones there are fewer, as many latent pixels in all."""
    drop: float
    """Share of captions that are left empty, for classifier-free guidance (arXiv:2207.12598)."""

    def __call__(self, step: int) -> Arrays:
        """Latents float16 and token numbers int64. Raises FileNotFoundError before the latents are there."""
        lot = np.random.default_rng([37, step])
        side = self.sides[int(lot.choice(len(self.sides), p=self.shares))]
        count = max(1, round(self.batch * (self.sides[0] / side) ** 2))
        store = open_store(self.folder, side)
        rows = draw_rows(lot, len(store), count)
        texts = [caption(draw_scene(SEED, int(row)), lot).text for row in rows]
        empty = lot.random(count) < self.drop
        ids = tokenize(self.folder, ["" if blank else text for text, blank in zip(texts, empty, strict=True)])
        return np.asarray(store[rows]), ids


@lru_cache(maxsize=8)
def open_store(folder: Path, side: int) -> Any:
    """The finished latents of a side, mapped. Raises FileNotFoundError before the first chunk is done."""
    state = load_checkpoint(folder / f"latents-{side}.pt")
    if state is None:
        raise FileNotFoundError(folder / f"latents-{side}.pt")
    return np.load(folder / f"latents-{side}.npy", mmap_mode="r")[: int(state["done"])]


@lru_cache(maxsize=2)
def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)


def tokenize(folder: Path, texts: list[str]) -> NDArray[np.int64]:
    """Token numbers (texts, length) by the tokenizer in `folder`, padded and cut as the pipeline does it."""
    tokenizer = _tokenizer(folder)
    made = tokenizer(texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True)
    return np.array(made.input_ids, np.int64)


def scene_batches(folder: Path, sides: tuple[int, ...], batch: int, drop: float) -> tuple[Make, Make]:
    """What is learned from before and after the share COARSE of the training."""
    few = len(sides) - 1
    shares = (1 - LARGE, *[LARGE / few] * few) if few else (1.0,)
    return (
        SceneBatches(folder, sides[:1], (1.0,), batch, drop),
        SceneBatches(folder, sides, shares, batch, drop),
    )


class Supply:
    """Batches of two makers, of the first until the share COARSE of the training is over. Begins at any step."""

    def __init__(self, makers: tuple[Make, Make], workers: int, stack: ExitStack) -> None:
        """Feeds are closed with `stack`."""
        self._makers, self._workers, self._stack = makers, workers, stack
        self._feed: Feed | None = None
        self._late = False

    def take(self, step: int, done: float) -> Arrays:
        """Batch number `step`, when the share `done` of the training is over."""
        late = done >= COARSE
        if self._feed is None or late != self._late:
            if self._feed is not None:
                self._feed.close()
            self._late = late
            feed = Feed(self._makers[int(late)], workers=self._workers, first=step)
            self._feed = self._stack.enter_context(feed)
        return self._feed.take(step)
