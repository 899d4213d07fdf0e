"""Euler's method on the levels of a flow model's published pipeline, whatever scheduler its files name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler


class EvenEuler(FlowMatchEulerDiscreteScheduler):
    """Even levels from 1 down to that of the last step, where the pipeline gives none."""

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | None = None,
    ) -> None:
        if sigmas is None:
            assert num_inference_steps is not None
            sigmas = [1 - step / num_inference_steps for step in range(num_inference_steps)]
        super().set_timesteps(device=device, sigmas=list(sigmas), mu=mu)


def even_euler(config: Mapping[str, Any]) -> EvenEuler:
    """That with the shift of a scheduler's config, also of one for other kinds of models."""
    shift = config.get("flow_shift", config.get("shift", 1.0))
    scheduler: EvenEuler = EvenEuler.from_config(dict(config) | {"shift": shift})
    return scheduler
