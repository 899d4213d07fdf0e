"""A denoiser that is shown other latents, or told another noise level, than the sampler goes by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from modules.processing_diffusers.multiplexer.call import count_samples
from modules.processing_diffusers.multiplexer.stand_in import Wider
from modules.processing_diffusers.tail import ScheduleTail

Show = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Shown:
    """Changes each call of a denoiser whose latents are `sample` and whose time is `timestep`.

    The answer stays one about the sampler's own latents: it means the same finished latents as what the denoiser said
    of those that it saw, at the level that it was told.
    """

    def __init__(
        self, show: Show, tail: ScheduleTail, latents: Callable[[], torch.Tensor], inner: Wider | None
    ) -> None:
        """`show` gets latents before they are scaled, and noise levels, a row each, and gives both; `latents` are those
        of the coming call, which all rows are about in turn; `inner` asks for further rows, if anyone does."""
        self._show, self._tail, self._latents, self._inner = show, tail, latents, inner

    def ask(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        """The answer to `arguments` with what is to be seen in them."""
        latents, rows = self._latents(), count_samples(arguments)
        whole = latents.float().repeat(rows // latents.shape[0], *[1] * (latents.ndim - 1))
        before = torch.full((rows,), self._tail.level)
        seen, levels = self._show(whole, before)
        if seen is whole and levels is before:
            return self._ask(call, arguments)
        given = [self._tail.show(one, float(level)) for one, level in zip(seen, levels, strict=True)]
        sample = torch.stack([one for one, _ in given])
        times = torch.tensor([time for _, time in given], dtype=torch.float32, device=sample.device)
        output = self._ask(call, {**arguments, "sample": sample, "timestep": times})
        clean = [
            self._tail.denoise(answer, one, float(level))
            for answer, one, level in zip(output[0], seen, levels, strict=True)
        ]
        return (self._tail.answer(torch.stack(clean), whole), *output[1:])

    def _ask(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        return call(arguments) if self._inner is None else self._inner.ask(call, arguments)
