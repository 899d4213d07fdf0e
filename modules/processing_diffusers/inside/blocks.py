"""Transformer blocks that some samples of a call pass by."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from modules.processing_diffusers.inside.attention import rows_of


@contextlib.contextmanager
def leave_out(block: Any, places: Sequence[int], count: int) -> Iterator[None]:
    """For the samples at `places` of `count`, what comes into the block goes out of it, picture and words alike.

    Skip-layer guidance as Stability AI does it for Stable Diffusion 3.5.
    """
    names = list(inspect.signature(type(block).forward).parameters)[1:]

    def pass_by(block: Any, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        came = {**dict(zip(names, given, strict=False)), **named}
        words, cells = output
        return (
            words if words is None else _kept(words, came["encoder_hidden_states"], places, count),
            _kept(cells, came["hidden_states"], places, count),
        )

    handle = block.register_forward_hook(pass_by, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _kept(output: torch.Tensor, came: torch.Tensor, places: Sequence[int], count: int) -> torch.Tensor:
    mixed = output.clone()
    where = rows_of(places, count, mixed)
    mixed[where] = came[where].to(mixed.dtype)
    return mixed
