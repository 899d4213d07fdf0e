"""Flow matching in the form of Stable Diffusion 3 (arXiv:2403.03206): noise, velocity, times, and walking back.

Time t runs from 0 (the picture) to 1 (noise); latents at t are (1 - t) picture + t noise, and the network says their
velocity, noise - picture. It is told t times TICKS, as diffusers does it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

TICKS = 1000
SHIFT = 2.0
"""Times are moved towards noise by t -> SHIFT t / (1 + (SHIFT - 1) t), in training and in sampling alike."""
END_SHARE, END = 0.1, 0.85
"""A share of the times is drawn evenly above END: a picture's mean colour shows through all but the last of the noise,
and the logit-normal distribution hardly ever gets there, although every sampling begins there."""

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From latents (n, c, h, w) and times (n,) to the velocity at that place."""


def shifted(times: torch.Tensor) -> torch.Tensor:
    """The times moved towards noise."""
    return SHIFT * times / (1 + (SHIFT - 1) * times)


def draw_times(lot: np.random.Generator, batch: int) -> torch.Tensor:
    """Times (batch,) from the shifted logit-normal distribution and its added end, spread evenly over both."""
    spread = torch.from_numpy((lot.permutation(batch) + lot.random(batch)) / batch).float().clamp(1e-4, 1 - 1e-4)
    inner = ((spread - END_SHARE) / (1 - END_SHARE)).clamp(1e-4, 1 - 1e-4)
    times = shifted(torch.sigmoid(torch.special.ndtri(inner)))
    return torch.where(spread < END_SHARE, END + (1 - END) * spread / END_SHARE, times)


def mix(clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Latents at `times` (n,) between picture and noise."""
    share = times[:, None, None, None]
    return (1 - share) * clean + share * noise


def walk(velocity: Velocity, latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Euler's steps along falling `times`, of shape (steps + 1,) or (steps + 1, n) where each picture has its own.

    `latents` lie at the first of them, the answer lies at the last.
    """
    for now, after in itertools.pairwise(times):
        here, there = now.expand(len(latents)), after.expand(len(latents))
        latents = latents + (there - here)[:, None, None, None] * velocity(latents, here)
    return latents


def even_times(steps: int) -> torch.Tensor:
    """`steps` + 1 falling times from 1 to 0, evenly spread before they are shifted."""
    return shifted(torch.linspace(1, 0, steps + 1))


class CountedAttention:
    """Joint attention of SD 3 in which the last token of the text stands for `count` equal ones.

    Where the third text encoder is missing or silent, there are 256 zero vectors behind the words. Tokens of the text
    have no position, so equal ones stay equal through all layers, and attention to `count` of them is attention to one
    with log(count) added to its score: the same numbers, without 255 tokens to carry along. Written with plain matrix
    products, whose backward pass is faster than the fused one's on a CPU.
    """

    def __init__(self, count: int) -> None:
        """`count` 1 is ordinary attention."""
        self._bonus = math.log(count)

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures' and texts' tokens after attention to both; a mask is not supported and must be None."""
        picture = (attn.to_q, attn.to_k, attn.to_v), (attn.norm_q, attn.norm_k, None)
        text = (
            (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj),
            (attn.norm_added_q, attn.norm_added_k, None),
        )
        ours = _heads(hidden_states, *picture, attn.heads)
        theirs = _heads(encoder_hidden_states, *text, attn.heads)
        query, key, value = (torch.cat(pair, dim=2) for pair in zip(ours, theirs, strict=True))
        scores = (query @ key.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
        bonus = torch.zeros(scores.shape[-1], device=scores.device)
        bonus[-1] = self._bonus
        weights = torch.softmax(scores + bonus, dim=-1).to(value.dtype)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        cut = hidden_states.shape[1]
        words = mixed[:, cut:] if attn.context_pre_only else attn.to_add_out(mixed[:, cut:])
        return attn.to_out[0](mixed[:, :cut]), words


def _heads(
    tokens: torch.Tensor, projections: Sequence[Any], norms: Sequence[Any], heads: int
) -> tuple[torch.Tensor, ...]:
    """Query, key and value of shape (n, heads, tokens, width of a head)."""
    made = []
    for project, norm in zip(projections, norms, strict=True):
        each = project(tokens).unflatten(-1, (heads, -1)).transpose(1, 2)
        made.append(each if norm is None else norm(each))
    return tuple(made)
