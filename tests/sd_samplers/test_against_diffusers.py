"""Where diffusers has the same method, it gives the same latents on the same sigmas."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import torch

from modules.sd_samplers.build import shipped_table
from tests.sd_samplers.analytic import FLOW, SD, make, noise, seeds

TABLE = shipped_table()
# Diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def learned(shown: torch.Tensor, timestep: Any) -> torch.Tensor:
    """Some smooth function of input and time, unlike any ideal model: wrong coefficients show."""
    time = float(timestep) / 1000
    return 0.6 * shown + 0.4 * torch.sin(2 * shown + 3 * time) + 0.1 * time


def theirs(name: str, ours: Any, start: torch.Tensor, config: Any = None) -> torch.Tensor:
    """The latents that the diffusers class named in the table ends with, on the sigmas of our scheduler."""
    said = TABLE.sampler(name).diffusers
    module, _, kind = said["class"].partition(":")
    cls = getattr(importlib.import_module(module), kind)
    known = inspect.signature(cls.__init__).parameters
    chosen = {key: value for key, value in {**SD, **said["config"], **(config or {})}.items() if key in known}
    scheduler = cls(**chosen)
    scheduler.set_timesteps(len(ours.sigmas) - 1)
    scheduler.sigmas, scheduler.timesteps = ours.sigmas.clone(), ours.timesteps.clone()
    scheduler.is_scale_input_called = True
    sigma = float(ours.sigmas[0])
    scaled = "init_noise_sigma" in vars(cls) or cls.__name__.startswith(("Euler", "LMS"))
    latents = start * (sigma if scaled else sigma / (sigma**2 + 1) ** 0.5)
    generators = seeds(5)
    takes = inspect.signature(scheduler.step).parameters
    named = {"generator": generators} if "generator" in takes else {}
    for timestep in scheduler.timesteps:
        output = learned(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, return_dict=False, **named)[0]
    return latents


def mine(scheduler: Any, start: torch.Tensor) -> torch.Tensor:
    latents = start * scheduler.init_noise_sigma
    generators = seeds(5)
    for timestep in scheduler.timesteps:
        output = learned(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, generators, return_dict=False)[0]
    return latents


@pytest.mark.parametrize("schedule", ["Karras", "Uniform"])
@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("name", ["Euler", "Euler a", "DPM++ 2M", "UniPC", "DPM++ 2M SDE", "DPM++ 2M SDE Heun"])
def test_one_call_samplers(name, steps, schedule):
    start = noise(seeds(1))
    ours = make(name, schedule, steps)
    assert torch.allclose(mine(ours, start), theirs(name, ours, start), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("schedule", ["Karras", "Uniform"])
def test_the_third_order_multistep_without_its_noise(schedule):
    # Diffusers' form with noise adds the third-order term with a constant of the wrong sign: it does not vanish with
    # the step. Its form without noise is the same method at eta 0. Below 15 steps diffusers lowers the last orders.
    start = noise(seeds(1))
    ours = make("DPM++ 3M SDE", schedule, 40, eta=0.0)
    found = theirs("DPM++ 3M SDE", ours, start, config={"algorithm_type": "dpmsolver++"})
    assert torch.allclose(mine(ours, start), found, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["DDIM", "DDPM"])
def test_samplers_over_whole_time_steps(name):
    start = noise(seeds(1))
    ours = make(name, "DDIM", 20)
    assert torch.equal(ours.timesteps, ours.timesteps.round())
    said = TABLE.sampler(name).diffusers
    module, _, kind = said["class"].partition(":")
    cls = getattr(importlib.import_module(module), kind)
    scheduler = cls(
        **{
            key: SD[key]
            for key in ("beta_start", "beta_end", "beta_schedule", "steps_offset", "clip_sample")
            if key in inspect.signature(cls.__init__).parameters
        },
        timestep_spacing="leading",
    )
    scheduler.set_timesteps(20)
    assert scheduler.timesteps.tolist() == ours.timesteps.tolist() or name == "DDPM"
    sigma = float(ours.sigmas[0])
    latents, generators = start * sigma / (sigma**2 + 1) ** 0.5, seeds(5)
    for timestep in ours.timesteps.long():
        output = learned(latents, timestep)
        latents = scheduler.step(output, timestep, latents, generator=generators, return_dict=False)[0]
    assert torch.allclose(mine(ours, start), latents, atol=5e-4)


def test_ddim_with_eta():
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    start = noise(seeds(1))
    ours = make("DDIM", "DDIM", 10, eta=0.6)
    scheduler = DDIMScheduler(
        beta_start=SD["beta_start"],
        beta_end=SD["beta_end"],
        beta_schedule=SD["beta_schedule"],
        steps_offset=1,
        clip_sample=False,
    )
    scheduler.set_timesteps(10)
    sigma = float(ours.sigmas[0])
    latents, generators = start * sigma / (sigma**2 + 1) ** 0.5, seeds(5)
    for timestep in scheduler.timesteps:
        output = learned(latents, timestep)
        latents = scheduler.step(output, timestep, latents, eta=0.6, generator=generators, return_dict=False)[0]
    assert torch.allclose(mine(ours, start), latents, atol=5e-4)


def test_heun():
    from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler

    start = noise(seeds(1))
    ours = make("Heun", "Karras", 12)
    names = ("beta_start", "beta_end", "beta_schedule")
    scheduler = HeunDiscreteScheduler(**{name: SD[name] for name in names})
    scheduler.set_timesteps(12)
    # Diffusers names the two calls of a step by the sigmas it goes between: 0 1 1 2 2 … n n.
    first = ours.sigmas[:-1:2]
    scheduler.sigmas = torch.cat([first[:1], first[1:].repeat_interleave(2), torch.zeros(1)])
    scheduler.timesteps = ours.timesteps.clone()
    scheduler._begin_index = 0
    latents = start * float(ours.sigmas[0])
    for timestep in scheduler.timesteps:
        output = learned(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
    assert torch.allclose(mine(ours, start), latents, atol=2e-4)


@pytest.mark.parametrize("steps", [1, 4, 20])
@pytest.mark.parametrize("config", [FLOW, FLOW | {"shift": 1.0, "use_dynamic_shifting": True}], ids=["sd3", "flux"])
def test_euler_for_flow_models_is_diffusers_own(config, steps):
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    from modules.contracts.plan import SamplerPlan
    from modules.sd_samplers.build import build_scheduler

    kept = {key: value for key, value in config.items() if not key.startswith("_")}
    scheduler = FlowMatchEulerDiscreteScheduler(**kept)
    ours = build_scheduler(SamplerPlan("Euler", "Automatic", steps, None), config, flow=True)
    mu = 1.1 if config.get("use_dynamic_shifting") else None
    start = noise(seeds(2))
    results = []
    for candidate in (scheduler, ours):
        candidate.set_timesteps(steps, mu=mu)
        latents = start
        for timestep in candidate.timesteps:
            latents = candidate.step(learned(latents, timestep), timestep, latents, return_dict=False)[0]
        results.append(latents)
    assert torch.equal(scheduler.timesteps, ours.timesteps)
    assert torch.allclose(*results, atol=1e-6)
