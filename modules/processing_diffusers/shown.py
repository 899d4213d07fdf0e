"""A denoiser that is shown other latents or words, or told another noise level, than the sampler goes by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from modules.processing_diffusers.multiplexer.call import count_samples
from modules.processing_diffusers.multiplexer.stand_in import Wider
from modules.processing_diffusers.tail import ScheduleTail

Words = dict[str, torch.Tensor]
"""What text encoders said, by name: `embeds` (rows, tokens, width), and `pooled` (rows, width) where there is one."""
Show = Callable[[torch.Tensor, torch.Tensor, Words | None], tuple[torch.Tensor, torch.Tensor, Words | None]]
_EMBEDS, _FURTHER, _POOLED = "encoder_hidden_states", "added_cond_kwargs", "text_embeds"


class Shown:
    """Changes each call of a denoiser whose latents are `sample` and whose time is `timestep`.

    The answer stays one about the sampler's own latents: it means the same finished latents as what the denoiser said
    of those that it saw, at the level that it was told.
    """

    def __init__(
        self,
        show: Show,
        tail: ScheduleTail,
        latents: Callable[[], torch.Tensor],
        inner: Wider | None,
        *,
        worded: bool = True,
    ) -> None:
        """`show` gets latents before they are scaled, noise levels and words, a row each, and gives all three;
        `latents` are those of the coming call, which all rows are about in turn; `inner` asks for further rows, if
        anyone does.
        With `worded` false somebody else has the words of each call, and `show` gets None."""
        self._show, self._tail, self._latents, self._inner = show, tail, latents, inner
        self._worded = worded

    def ask(self, call: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]) -> Any:
        """The answer to `arguments` with what is to be seen in them."""
        latents, rows = self._latents(), count_samples(arguments)
        whole = latents.float().repeat(rows // latents.shape[0], *[1] * (latents.ndim - 1))
        before = torch.full((rows,), self._tail.level)
        words = _words_of(arguments) if self._worded else None
        seen, levels, told = self._show(whole, before, words)
        if told is not None and told is not words:
            arguments = _with_words(arguments, told)
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


def _words_of(arguments: dict[str, Any]) -> Words | None:
    """Of a call that has them in one tensor."""
    embeds, further = arguments.get(_EMBEDS), arguments.get(_FURTHER)
    if not isinstance(embeds, torch.Tensor) or embeds.ndim != 3:
        return None
    pooled = further.get(_POOLED) if isinstance(further, dict) else None
    return {"embeds": embeds} if pooled is None else {"embeds": embeds, "pooled": pooled}


def _with_words(arguments: dict[str, Any], words: Words) -> dict[str, Any]:
    found = {**arguments, _EMBEDS: words["embeds"]}
    if "pooled" in words:
        found[_FURTHER] = {**arguments[_FURTHER], _POOLED: words["pooled"]}
    return found
