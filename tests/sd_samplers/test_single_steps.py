"""Samplers with a plan of their own: DPM fast, DPM adaptive, Restart; and CFG++, which is told more than the others."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from modules.sd_samplers.itinerary import OpenTimesteps
from modules.sd_samplers.schedules import karras_between
from modules.sd_samplers.solvers_ode import ddim_cfgpp, euler
from modules.sd_samplers.solvers_restart import plan_restart, restart
from modules.sd_samplers.solvers_single import (
    Leap,
    StepControl,
    dpm_adaptive,
    dpm_fast,
    leap_both,
    leap_once,
    orders_of,
)
from modules.sd_samplers.walk import Stochasticity, Walk
from tests.sd_samplers.analytic import MEAN, VARIANCE, answer, exact, make, noise, seeds, walk

ROAD = (*karras_between(14.6, 0.03, 20), 0.0)
STILL = Stochasticity(eta=0.0)


def best(x, sigma):
    """The best answer about data that is Gaussian in every value."""
    return (VARIANCE * x + sigma**2 * MEAN) / (VARIANCE + sigma**2)


def solution(x, start, end):
    """Where the probability-flow ODE takes x from one sigma to another."""
    return MEAN + (x - MEAN) * math.sqrt((VARIANCE + end**2) / (VARIANCE + start**2))


def drive(solver, first, model=best):
    """Run a solver against a model; gives what it returns and the sigmas that it asked at."""
    asked = []
    try:
        x, sigma = next(solver)
        while True:
            asked.append(sigma)
            x = first if x is None else x
            x, sigma = solver.send((x, model(x, sigma)))
    except StopIteration as finished:
        return finished.value, asked


def start_at(sigma, side=8, seed=1):
    return torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(seed)).double() * sigma


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_step_is_of_the_order_it_claims(order):
    x = start_at(2.0)
    slope = (x - best(x, 2.0)) / 2.0

    def error(length):
        leap = Leap(2.0, 2.0 * math.exp(-length))
        (found, _), asked = drive(leap_once(x, slope, leap, order), x)
        assert len(asked) == order - 1
        return float((found - solution(x, 2.0, leap.end)).abs().max())

    # A method of order k errs by the (k + 1)th power of a single step's length.
    fall = math.log2(error(0.2) / error(0.1))
    assert fall == pytest.approx(order + 1, abs=0.25)


def test_the_step_within_the_adaptive_one_is_of_second_order():
    x = start_at(2.0)
    slope = (x - best(x, 2.0)) / 2.0

    def error(length):
        leap = Leap(2.0, 2.0 * math.exp(-length))
        (low, _, _), _ = drive(leap_both(x, slope, leap), x)
        return float((low - solution(x, 2.0, leap.end)).abs().max())

    assert math.log2(error(0.2) / error(0.1)) == pytest.approx(3, abs=0.25)


def test_fast_spends_exactly_the_calls_it_is_given():
    assert [orders_of(calls) for calls in (2, 3, 4, 5, 6)] == [[2], [2, 1], [3, 1], [3, 2], [3, 2, 1]]
    for calls in range(1, 40):
        assert sum(orders_of(calls)) == calls
        way = (*karras_between(14.6, 0.03, calls), 0.0)
        _, asked = drive(dpm_fast(Walk(way, lambda: 0.0, amounts=STILL)), start_at(14.6))
        assert len(asked) == calls
        assert min(asked) >= way[-2] * 0.999


def smallest_gap(solver, x):
    """How far a solver that goes straight along to zero is from the solution there."""
    found, _ = drive(solver, x)
    return float((found - solution(x, 14.6, 0.0)).abs().max())


def test_fast_converges_to_the_solution_and_beats_euler():
    x = start_at(14.6)
    road = [(*karras_between(14.6, 0.001, calls), 0.0) for calls in (12, 24, 48)]
    errors = [smallest_gap(dpm_fast(Walk(way, lambda: 0.0, amounts=STILL)), x) for way in road]
    # Nearly all of its steps are of order 3: twice the calls leave an eighth of the error, give or take its end.
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < smallest_gap(euler(Walk(road[2], lambda: 0.0)), x) / 50


@pytest.mark.parametrize("name", ["DPM fast", "DPM adaptive"])
def test_they_agree_with_a_fine_run_of_euler(name):
    start = noise(seeds(1))
    fine = walk(make("Euler", "Karras", 600), start)
    found = walk(make(name, "Karras", 30, eta=0.0), start)
    assert float((found - fine).abs().max()) < 0.06
    assert float((found - fine).abs().mean()) < 0.015


def test_adaptive_errs_by_what_it_is_allowed():
    x = start_at(14.6)
    road = (*karras_between(14.6, 0.001, 5), 0.0)
    errors, counts = [], []
    for scale in (1.0, 0.1, 0.01):
        control = StepControl(relative=0.05 * scale, absolute=0.0078 * scale)
        found, asked = drive(dpm_adaptive(Walk(road, lambda: 0.0, amounts=STILL), control), x)
        errors.append(float((found - solution(x, 14.6, 0.0)).abs().max()))
        counts.append(len(asked))
    assert errors[0] < 0.08
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.004
    assert counts[0] < counts[1] < counts[2]


def abrupt(x, sigma):
    """A model that changes its mind within a short stretch of sigma."""
    return best(x, sigma) + 3.0 / (1.0 + math.exp(40 * (math.log(sigma) - 0.5)))


def test_adaptive_goes_slowly_where_the_model_turns_and_makes_bad_steps_again():
    smooth, sharp = (
        drive(dpm_adaptive(Walk(ROAD, lambda: 0.0, amounts=STILL)), start_at(14.6), model)[1]
        for model in (best, abrupt)
    )
    assert len(sharp) > len(smooth) + 10
    turn = [sigma for sigma in sharp if 1.2 < sigma < 2.2]
    assert len(turn) > 2 * len([sigma for sigma in smooth if 1.2 < sigma < 2.2])
    # A step made again asks at higher noise than the one it replaces, and not at its beginning.
    assert any(later > before for before, later in itertools.pairwise(sharp))


def test_adaptive_tells_how_far_it_is_for_good():
    reached = []
    drive(dpm_adaptive(Walk(ROAD, lambda: 0.0, amounts=STILL, reached=reached.append)), start_at(14.6), abrupt)
    assert reached == sorted(reached, reverse=True)
    assert reached[-1] == ROAD[-2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_adaptive_comes_to_an_end_whatever_the_model_says(value):
    def mad(x, sigma):
        return torch.full_like(x, value if sigma < 3 else 0.0)

    _, asked = drive(dpm_adaptive(Walk(ROAD, lambda: 0.0, amounts=STILL)), start_at(14.6), mad)
    assert len(asked) < 3 * 800


def test_adaptive_draws_noise_only_for_steps_that_hold():
    draws = []

    def fresh():
        draws.append(1)
        return torch.zeros(1, 4, 8, 8)

    reached = []
    drive(dpm_adaptive(Walk(ROAD, fresh, reached=reached.append)), start_at(14.6), abrupt)
    assert len(draws) == len(reached) - 1  # the last step goes to the end without noise


def test_adaptive_as_a_scheduler_grows_and_says_how_far_it_is():
    scheduler = make("DPM adaptive", "Karras", 12, eta=0.0)
    latents = noise(seeds(1)) * scheduler.init_noise_sigma
    begin, shares = latents / scheduler.init_noise_sigma, []
    for number, timestep in enumerate(scheduler.timesteps):
        said = answer(scheduler, latents, timestep, "epsilon")
        latents = scheduler.step(said, timestep, latents, return_dict=False)[0]
        shares.append(scheduler.share_done(number + 1))
    assert len(scheduler.timesteps) == len(shares) == len(scheduler.sigmas) - 1 > 12
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert 0 < shares[len(shares) // 2] < 1
    assert shares[-1] == 1.0
    assert float((latents - exact(scheduler, begin)).abs().max()) < 0.06


def test_adaptive_refuses_pictures_that_would_share_its_steps():
    scheduler = make("DPM adaptive", "Karras", 12)
    latents = torch.zeros(2, 4, 8, 8)
    with pytest.raises(ValueError, match="2 pictures.*one by one"):
        scheduler.step(latents, scheduler.timesteps[0], latents, seeds(1, 2))


@pytest.mark.parametrize("name", ["DPM fast", "DPM adaptive", "Restart"])
def test_a_plan_of_its_own_cannot_be_entered_in_the_middle(name):
    scheduler = make(name, "Karras", 24)
    scheduler.set_begin_index(4)
    latents = torch.zeros(1, 4, 8, 8)
    with pytest.raises(ValueError, match="skip"):
        scheduler.sigmas = torch.ones(9)
        scheduler.step(latents, torch.tensor(500.0), latents, seeds(1))


def test_a_growing_row_can_be_had_whole_only():
    row = OpenTimesteps()
    row.append(999.0)
    assert row[0:] is row
    assert row[:1].tolist() == [999.0]
    with pytest.raises(ValueError, match="from its beginning"):
        row[1:]
    seen = []
    for place, time in enumerate(row):
        seen.append(float(time))
        if place < 3:
            row.append(500.0 - place)
    assert seen == [999.0, 500.0, 499.0, 498.0]
    assert row.to("cpu").tolist() == seen


@pytest.mark.parametrize("steps", [1, 2, 19, 20, 21, 35, 36, 60])
def test_restart_makes_as_many_steps_as_were_asked_for(steps):
    road = (*karras_between(14.6, 0.03, steps), 0.0)
    plan = plan_restart(road)
    assert len(plan) == steps
    assert plan[0][0] == pytest.approx(road[0])
    assert plan[-1][1] == 0.0
    back = [(before[1], after[0]) for before, after in itertools.pairwise(plan) if after[0] > before[1] * 1.0001]
    assert len(back) == (0 if steps < 20 else 1 if steps < 36 else 2)
    for low, high in back:
        assert low == pytest.approx(0.1, abs=0.08)
        assert high == pytest.approx(2.0, abs=0.9)


def test_restart_without_returns_is_heun():
    start = noise(seeds(1))
    assert torch.equal(
        walk(make("Restart", "Karras", 12), start, seeds(2)), walk(make("Heun", "Karras", 12), start, seeds(2))
    )


def test_a_road_that_begins_low_has_no_room_to_go_back():
    road = (*karras_between(0.09, 0.03, 24), 0.0)
    assert plan_restart(road) == list(itertools.pairwise(road))


def test_restart_adds_the_noise_that_the_way_back_takes():
    drawn = []

    def fresh():
        drawn.append(1)
        return torch.ones(1, 4, 8, 8)

    heard = []

    def listening(x, sigma):
        heard.append((sigma, float(x.mean())))
        return torch.zeros_like(x)

    drive(restart(Walk(ROAD, fresh)), torch.zeros(1, 4, 8, 8), listening)
    assert len(drawn) == 1
    # x is zero until the noise of ones comes: what then stands at sigma says how much of it was added.
    sigma, value = next((sigma, value) for sigma, value in heard if value > 0)
    low = next(one[1] for one, two in itertools.pairwise(plan_restart(ROAD)) if two[0] > one[1])
    assert value == pytest.approx(math.sqrt(sigma**2 - low**2))


def test_restart_takes_away_some_of_the_error_of_the_way_down():
    # A model that is a little too sure of itself narrows what it draws; going back over it again widens it.
    def sure(x, sigma):
        return best(x, sigma) * (1.0 if sigma < 2 else 0.97)

    generator = torch.Generator().manual_seed(3)
    road = (*karras_between(14.6, 0.03, 30), 0.0)
    x = start_at(14.6, side=64)
    plain, _ = drive(restart(Walk(road[:10] + road[-2:], lambda: 0.0)), x, sure)
    with_returns, _ = drive(restart(Walk(road, lambda: torch.randn(x.shape, generator=generator).double())), x, sure)
    assert abs(float(with_returns.mean()) - MEAN) < abs(float(plain.mean()) - MEAN)


def test_cfg_plus_denoises_with_guidance_and_noises_without():
    road, x = (4.0, 1.5, 0.0), start_at(4.0)
    said = {4.0: (torch.full_like(x, 0.5), torch.full_like(x, -0.25)), 1.5: (torch.ones_like(x), torch.zeros_like(x))}
    now = []

    def model(state, sigma):
        now[:] = [said[sigma][1]]
        return said[sigma][0]

    found = []
    solver = ddim_cfgpp(Walk(road, lambda: 0.0, unguided=lambda denoised: now[0]))
    end, _ = drive(solver, x, lambda state, sigma: (found.append(state), model(state, sigma))[1])
    guided, free = said[4.0]
    assert torch.allclose(found[1], guided + 1.5 * (x - free) / 4.0)
    assert torch.equal(end, said[1.5][0])
    plain, _ = drive(ddim_cfgpp(Walk(ROAD, lambda: 0.0)), start_at(14.6))
    assert torch.allclose(plain, drive(euler(Walk(ROAD, lambda: 0.0)), start_at(14.6))[0])


def test_a_scheduler_hears_the_unguided_answer_once():
    scheduler, start = make("DDIM CFG++", "Karras", 6), noise(seeds(1))
    latents = start * scheduler.init_noise_sigma
    timestep = scheduler.timesteps[0]
    scheduler.scale_model_input(latents, timestep)
    scheduler.unguided = latents * 0.1
    told = scheduler.step(latents * 0.3, timestep, latents, return_dict=False)[0]
    first, second = (float(sigma) for sigma in scheduler.sigmas[:2])
    assert torch.allclose(told, latents - latents * 0.3 * first + latents * 0.1 * second, atol=1e-4)
    assert scheduler.unguided is None
