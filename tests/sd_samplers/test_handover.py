"""A sampler that goes on where another one left off."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

from modules.sd_samplers.handover import rest_of
from modules.sd_samplers.solvers import SOLVERS
from tests.sd_samplers.analytic import SD, make, noise, seeds

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def learned(shown, timestep):
    time = float(timestep) / 1000
    return 0.6 * shown + 0.4 * torch.sin(2 * shown + 3 * time) + 0.1 * time


def walk(scheduler, latents, generators=None):
    for timestep in scheduler.timesteps:
        output = learned(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, generators, return_dict=False)[0]
    return latents


def halves(first, second, total, stop, schedules=("DDIM", "DDIM"), **numbers):
    """Schedulers for the first `stop` steps of `total` and for the others."""
    one, other = (
        make(name, schedule, total, **numbers) for name, schedule in zip((first, second), schedules, strict=True)
    )
    one.leave_at(stop)
    other.set_timesteps(total, skip=stop)
    other.come_in(one.ends_at)
    return one, other


def test_ddim_30_then_dpmpp_20_is_what_diffusers_gives_by_hand():
    start = noise(seeds(1))
    one, other = halves("DDIM", "DPM++ 2M", 50, 30)
    sigmas = make("DDIM", "DDIM", 50).sigmas
    shared = {key: SD[key] for key in ("beta_start", "beta_end", "beta_schedule")}
    ddim = DDIMScheduler(**shared, steps_offset=1, clip_sample=False, timestep_spacing="leading")
    ddim.set_timesteps(50)
    latents = start * sigmas[0] / (sigmas[0] ** 2 + 1) ** 0.5
    for timestep in ddim.timesteps[:30]:
        latents = ddim.step(learned(latents, timestep), timestep, latents, return_dict=False)[0]
    dpm = DPMSolverMultistepScheduler(**shared, steps_offset=1, timestep_spacing="leading", final_sigmas_type="zero")
    dpm.set_timesteps(50)
    dpm.sigmas, dpm.timesteps = sigmas.clone(), ddim.timesteps.clone()
    dpm.set_begin_index(30)
    for timestep in ddim.timesteps[30:]:
        latents = dpm.step(learned(latents, timestep), timestep, latents, return_dict=False)[0]
    ours = walk(other, walk(one, start * one.init_noise_sigma))
    assert [*one.timesteps.tolist(), *other.timesteps.tolist()] == ddim.timesteps.tolist()
    assert torch.allclose(ours, latents, atol=5e-4)


@pytest.mark.parametrize("name", ["Euler", "Heun", "Euler a", "DPM++ SDE", "DPM2"])
def test_a_sampler_without_memory_that_takes_over_from_itself_changes_nothing(name):
    start = noise(seeds(1))
    whole = make(name, "Karras", 9)
    one, other = halves(name, name, 9, 5, ("Karras", "Karras"))
    generators = seeds(4)
    found = walk(other, walk(one, start * one.init_noise_sigma, generators), generators)
    assert torch.equal(found, walk(whole, start * whole.init_noise_sigma, seeds(4)))
    assert len(one.timesteps) + len(other.timesteps) == len(whole.timesteps)


@pytest.mark.parametrize("first", ["Heun", "DPM++ 3M SDE", "PLMS", "UniPC", "HeunPP2", "DPM++ 2S a"])
@pytest.mark.parametrize("schedule", ["Karras", "Exponential", "Beta"])
def test_another_schedule_goes_on_at_the_level_it_finds(first, schedule):
    one, other = halves(first, "Euler", 12, 7, ("Uniform", schedule))
    assert len(other.timesteps) == 5
    assert float(other.sigmas[0]) == pytest.approx(one.ends_at)
    assert (other.sigmas[1:] < other.sigmas[:-1]).all()
    assert other.ends_at == 0
    generators = seeds(4)
    found = walk(other, walk(one, noise(seeds(1)) * one.init_noise_sigma, generators), generators)
    assert found.isfinite().all()


def test_churn_leaves_the_seam_alone():
    one, other = halves("Euler", "Euler", 6, 3, ("Karras", "Karras"), s_churn=5.0)
    assert one.ends_at == pytest.approx(float(other.sigmas[0]))
    assert float(other.sigmas[1]) > make("Euler", "Karras", 6).sigmas[4]  # elsewhere it is as ever


def test_a_sampler_that_finds_its_way_cannot_be_left():
    scheduler = make("DPM adaptive", "Karras", 6)
    with pytest.raises(ValueError, match="half-way"):
        scheduler.leave_at(3)


def test_the_solvers_that_draw_a_part_are_known():
    from modules.processing_diffusers.sampling import NO_SECOND, WHOLE

    assert {name for name, method in SOLVERS.items() if method.whole or method.open} == WHOLE
    assert set(SOLVERS) >= NO_SECOND


@pytest.mark.parametrize("seed", range(20))
def test_the_rest_of_a_road_always_falls(seed):
    chance = random.Random(seed)
    road = (*sorted({round(chance.uniform(0.01, 50), 3) for _ in range(chance.randint(1, 30))}, reverse=True), 0.0)
    sigma, steps = chance.uniform(0.005, 100), chance.randint(1, 40)
    rest = rest_of(road, sigma, steps)
    assert len(rest) == steps + 1
    assert (rest[0], rest[-1]) == (sigma, 0.0)
    assert all(low < high for high, low in itertools.pairwise(rest))
    place = chance.randrange(len(road) - 1)
    assert rest_of(road, road[place], len(road) - 1 - place) == pytest.approx(road[place:])
