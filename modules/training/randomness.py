"""The state of all random generators of the process, taken and put back, for checkpoints and for work on the side."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def take_state() -> dict[str, Any]:
    """State of Python's, NumPy's and torch's generators, of every CUDA card in use too; tensors and plain values."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state(legacy=True)
    kind, keys, place, has_gauss, cached = numpy
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), int(place), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def put_state(state: dict[str, Any]) -> None:
    """Back to what `take_state` gave. CUDA's part is left out where the number of cards is another one."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, place, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), place, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    cards = state.get("cuda", [])
    if cards and torch.cuda.is_available() and torch.cuda.device_count() == len(cards):
        torch.cuda.set_rng_state_all(cards)


@contextmanager
def undisturbed() -> Iterator[None]:
    """While inside, random numbers may be drawn at will: what follows outside is as if none had been."""
    before = take_state()
    try:
        yield
    finally:
        put_state(before)
