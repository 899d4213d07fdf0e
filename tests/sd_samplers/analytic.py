"""A model whose best answer is known: data that is Gaussian in every value. And a loop like a pipeline's."""

from __future__ import annotations

import math
from typing import Any

import torch

from modules.contracts.plan import SamplerPlan
from modules.sd_samplers.build import build_scheduler

MEAN, VARIANCE = 0.7, 0.25
SD = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "skip_prk_steps": True,
    "clip_sample": False,
}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}


def make(sampler: str, schedule: str, steps: int, *, flow: bool = False, config: Any = None, **numbers: Any) -> Any:
    """A scheduler that is ready to run."""
    plan = SamplerPlan(sampler, schedule, steps, numbers.pop("eta", None), **numbers)
    scheduler = build_scheduler(plan, config or (FLOW if flow else SD), flow=flow)
    scheduler.set_timesteps(steps)
    return scheduler


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def noise(generators: list[torch.Generator], side: int = 16) -> torch.Tensor:
    return torch.cat([torch.randn(1, 4, side, side, generator=generator) for generator in generators])


def answer(scheduler: Any, latents: torch.Tensor, timestep: Any, kind: str) -> torch.Tensor:
    """What a perfect model of that kind says. It sees what a pipeline shows it: the scaled input."""
    if kind == "flow":
        sigma = float(timestep) / 1000
        alpha = 1 - sigma
        gain = alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2)
        return (latents - MEAN - gain * (latents - alpha * MEAN)) / sigma
    shown = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)[: len(latents)]
    sigma = float(scheduler.sigmas[scheduler.step_index])
    x = shown * math.sqrt(sigma**2 + 1)
    denoised = (VARIANCE * x + sigma**2 * MEAN) / (VARIANCE + sigma**2)
    if kind == "sample":
        return denoised
    if kind == "v_prediction":
        return (x / (sigma**2 + 1) - denoised) * math.sqrt(sigma**2 + 1) / sigma
    return (x - denoised) / sigma


def walk(scheduler: Any, start: torch.Tensor, generators: Any = None, kind: str = "epsilon") -> torch.Tensor:
    """The loop of a pipeline: from unit noise to the finished latents; one by one where the sampler needs that."""
    if scheduler.course.method.open and len(start) > 1:
        found = []
        for place in range(len(start)):
            scheduler.set_timesteps(scheduler.num_inference_steps)
            row = slice(place, place + 1)
            found.append(walk(scheduler, start[row], generators and generators[row], kind))
        return torch.cat(found)
    kind = "flow" if scheduler.flow else kind
    latents = start if kind == "flow" else start * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        output = answer(scheduler, latents, timestep, kind)
        latents = scheduler.step(output, timestep, latents, generator=generators, return_dict=False)[0]
    return latents


def exact(scheduler: Any, start: torch.Tensor) -> torch.Tensor:
    """Where the probability-flow ODE takes that noise: it scales the distance from the mean by the deviations."""
    if scheduler.flow:
        return MEAN + math.sqrt(VARIANCE) * start
    sigma = float(scheduler.sigmas[0])
    return MEAN + math.sqrt(VARIANCE / (VARIANCE + sigma**2)) * (start * sigma - MEAN)
