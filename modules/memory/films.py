"""What a film needs: the denoiser sees all its latent frames at once, the VAE as many frames as it has in hand.

Either is told as a canvas that is so many times as wide, which has as many tokens and pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modules.contracts.plan import MemoryPlan
from modules.memory.cost import VAE_LIVE, ModelFacts
from modules.memory.planner import join_plans

COLOURS = 3
"""Values of a pixel."""
Fit = Callable[[tuple[int, int], ModelFacts], MemoryPlan]
"""Plans one canvas of that width and height."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a film is."""

    latent_frames: int
    frames: int
    in_hand: int
    """Frames that the VAE computes at once."""


def frames_in_hand(vae: Any, frames: int) -> int:
    """How many of the film's frames the autoencoder computes at once: those of one latent frame where it keeps what it
    has to remember of those before, else all."""
    if not hasattr(vae, "clear_cache"):
        return frames
    return min(frames, int(getattr(vae.config, "scale_factor_temporal", None) or 4))


def plan_film_memory(
    fit: Fit, seen: tuple[int, int], whole: tuple[int, int], facts: ModelFacts, length: Length
) -> MemoryPlan:
    """The plan under which the denoiser, which sees canvases of `seen` pixels, and the VAE, which sees the `whole` one,
    run in turn."""
    drawing, seeing = facts.apart
    # The film itself, three values a pixel, lies beside what is computed of the frames in hand.
    held = math.ceil(length.frames * COLOURS / max(facts.vae_width * VAE_LIVE, 1))
    times = length.in_hand + (held if length.frames > 1 else 0)
    seeing = replace(seeing, vae_tile=math.ceil(facts.vae_tile * math.sqrt(times)))
    drawn, decoded = (seen[0] * length.latent_frames, seen[1]), (whole[0] * times, whole[1])
    return join_plans(fit(drawn, drawing), fit(decoded, seeing))
