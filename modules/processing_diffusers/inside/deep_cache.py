"""DeepCache (Ma, Fang and Wang, arXiv:2312.00858) for UNets.

What comes from far below changes slowly from step to step. A call that takes it over computes the last layers of the
way up alone, and of the way down what these need; everything between gives what it gave, or nothing where nobody looks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from modules.processing_diffusers.inside.step_cache import Forward, computed_by

Remembered = dict[int, Any]
"""By the order of the modules, what each gave: its tensors where they are looked at, else their shapes."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Stands for a tensor at whose numbers nobody looks."""

    size: torch.Size
    dtype: torch.dtype
    device: torch.device

    def made(self) -> torch.Tensor:
        """A tensor of that shape, of nothing, which may be written to."""
        return torch.zeros(self.size, dtype=self.dtype, device=self.device)


class DeepCache:
    """Computes the whole UNet in one of `interval` calls, and its last `depth` layers in all."""

    def __init__(self, interval: int, depth: int = 1) -> None:
        self._interval, self._depth = interval, depth

    def due(self, calls: int) -> bool:
        """Once an interval."""
        return calls >= self._interval

    def begin(self) -> Remembered:
        """Nothing yet."""
        return {}

    @contextlib.contextmanager
    def standing(self, module: Any, known: Remembered, *, whole: bool) -> Iterator[None]:
        """Round a call of a `UNet2DConditionModel`."""
        skipped, kept = find_skipped(module, self._depth)
        with contextlib.ExitStack() as stack:
            for place, part in enumerate((*skipped, kept)):
                stack.enter_context(computed_by(part, _remembering(known, place, whole=whole, kept=part is kept)))
            yield


def find_skipped(unet: Any, depth: int) -> tuple[list[Any], Any]:
    """Modules that a quick call does not compute, and the last of them, whose answer the next layer goes on from."""
    first, last = unet.down_blocks[0], unet.up_blocks[-1]
    layers = [_layer(last, place) for place in range(len(last.resnets))]
    depth = min(depth, len(layers))
    # The last layer sees what comes into the first block, the one before it what the first layer there gives, …
    needed = depth - 1
    skipped = [*unet.down_blocks[1:], unet.mid_block, *unet.up_blocks[:-1]]
    if needed:
        ways = [_layer(first, place) for place in range(needed, len(first.resnets))]
        skipped += [part for way in ways for part in way] + list(first.downsamplers or ())
    else:
        skipped.append(first)
    quick = [part for layer in layers[: len(layers) - depth] for part in layer]
    if quick:
        return [*skipped, *quick[:-1]], quick[-1]
    below = unet.up_blocks[-2]
    return [part for part in skipped if part is not below], below


def _layer(block: Any, place: int) -> list[Any]:
    """The modules of a layer of a block, in the order in which they are called."""
    attentions = getattr(block, "attentions", None)
    return [block.resnets[place], *([attentions[place]] if attentions is not None else [])]


def _remembering(known: Remembered, place: int, *, whole: bool, kept: bool) -> Any:
    """Makes the `forward` of one module."""

    def make(original: Forward) -> Forward:
        def forward(*given: Any, **named: Any) -> Any:
            if not whole:
                return _made(known[place])
            output = original(*given, **named)
            known[place] = output if kept else _shapes(output)
            return output

        return forward

    return make


def _shapes(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return _Shape(output.shape, output.dtype, output.device)
    return tuple(_shapes(part) for part in output)


def _made(known: Any) -> Any:
    if isinstance(known, _Shape):
        return known.made()
    return tuple(_made(part) for part in known) if isinstance(known, tuple) else known
