"""Every sampler with a model whose best answer is known: where it ends, and that pictures do not mix."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import SamplerPlan
from modules.sd_samplers.build import build_scheduler, shipped_table
from tests.sd_samplers.analytic import FLOW, MEAN, SD, exact, make, noise, seeds, walk

TABLE = shipped_table()
SAMPLERS = [row.name for row in TABLE.rows()]
FLOW_SAMPLERS = [row.name for row in TABLE.rows() if row.flow]
SCHEDULES = [entry.label for entry in TABLE.schedulers() if entry.label != "Automatic"]
FLOW_SCHEDULES = ["Automatic", "Simple", "SGM Uniform", "Beta", "Normal", "Karras"]
OPEN = ["DPM adaptive"]
"""Their error is what their tolerance allows, whatever the number of steps; test_single_steps.py looks at them."""
NOISY = [row.name for row in TABLE.rows() if "eta" in row.takes and row.default_eta] + ["DDPM", "Restart"]
ODE = [name for name in SAMPLERS if name not in (*NOISY, "LCM")]
FIRST_ORDER = {"Euler", "DDIM", "DDIM CFG++", "HeunPP2"}
"""Their error halves with twice the steps; the others' falls faster."""


def error(name, schedule, steps, *, flow=False, **numbers):
    scheduler = make(name, schedule, steps, flow=flow, **numbers)
    start = noise(seeds(1))
    return float((walk(scheduler, start, seeds(1)) - exact(scheduler, start)).abs().max())


@pytest.mark.parametrize("name", ODE)
def test_deterministic_samplers_converge_to_the_exact_solution(name):
    # The road ends at the model's smallest sigma, 0.029; the jump from there to zero leaves 0.004 whatever the sampler.
    coarse, fine = error(name, "Karras", 12), error(name, "Karras", 96)
    assert fine < (0.06 if name in FIRST_ORDER else 0.012)
    assert fine < max(coarse / 4, 0.006)


@pytest.mark.parametrize("name", [name for name in ODE if name in FLOW_SAMPLERS])
def test_they_converge_for_flow_models_too(name):
    coarse, fine = error(name, "Automatic", 12, flow=True), error(name, "Automatic", 96, flow=True)
    assert fine < (0.08 if name in FIRST_ORDER else 0.03)
    assert fine < coarse / 4


@pytest.mark.parametrize("name", [name for name in NOISY if name not in ("DDPM", "Restart", *OPEN)])
def test_without_eta_the_noisy_ones_are_deterministic_and_exact(name):
    assert error(name, "Karras", 96, eta=0.0) < (0.06 if name == "Euler a" else 0.012)


@pytest.mark.parametrize("name", [name for name in NOISY if name not in OPEN])
def test_noisy_samplers_converge_to_the_distribution(name):
    generators = seeds(3)
    found = walk(make(name, "Karras", 200), noise(generators, 64), generators)
    assert found.mean() == pytest.approx(MEAN, abs=0.02)
    assert found.std() == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "LCM"])  # LCM has its own test
def test_every_pair_ends_at_the_data(name, schedule):
    generators = seeds(3)
    found = walk(make(name, schedule, 40), noise(generators, 40), generators)
    assert found.mean() == pytest.approx(MEAN, abs=0.06)
    # Steps of this length end a little too narrow (first order) or too wide (extrapolating ones on uneven schedules).
    assert 0.37 < float(found.std()) < 0.75


@pytest.mark.parametrize("schedule", FLOW_SCHEDULES)
@pytest.mark.parametrize("name", [name for name in FLOW_SAMPLERS if name != "LCM"])
def test_every_pair_ends_at_the_data_for_flow_models(name, schedule):
    generators = seeds(3)
    found = walk(make(name, schedule, 60, flow=True), noise(generators, 48), generators)
    assert found.mean() == pytest.approx(MEAN, abs=0.05)
    assert 0.38 < float(found.std()) < 0.75


@pytest.mark.parametrize("steps", [1, 2, 3, 20])
@pytest.mark.parametrize("flow", [False, True], ids=["sd", "flow"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_becomes_nan(name, flow, steps):
    if flow and name not in FLOW_SAMPLERS:
        with pytest.raises(UnsupportedFeature, match="cannot drive"):
            make(name, "Automatic", steps, flow=True)
        return
    for schedule in FLOW_SCHEDULES if flow else ("Karras", "DDIM", "Simple", "Align Your Steps"):
        generators = seeds(4)
        scheduler = make(name, schedule, steps, flow=flow)
        found = walk(scheduler, noise(generators), generators)
        assert torch.isfinite(found).all()
        assert float(found.abs().max()) < 40


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", ["Euler", "DPM++ 2M", "Heun", "UniPC"])
def test_prediction_types_lead_to_the_same_picture(name, kind):
    start = noise(seeds(5))
    scheduler = make(name, "Karras", 20, config=SD | {"prediction_type": kind})
    reference = walk(make(name, "Karras", 20), start)
    assert torch.allclose(walk(scheduler, start, kind=kind), reference, atol=2e-4)


def test_unipc_by_itself_makes_its_last_step_as_long_as_the_others():
    # What A1111's own UniPC does. Uniform puts a call at the very end instead, and the leap there is too long for it.
    config = SD | {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
    own, uniform = (make("UniPC", schedule, 20, config=config) for schedule in ("Automatic", "Uniform"))
    strides = own.timesteps.diff().abs()
    assert float(strides.max() - strides.min()) < 0.01
    assert float(own.timesteps[-1]) == pytest.approx(float(strides[0]), rel=0.01)

    def leaps(scheduler):
        return scheduler.sigmas[:-1].log().diff().abs()

    assert float(leaps(uniform)[-1] / leaps(uniform)[-2]) > 3
    assert float(leaps(own)[-1] / leaps(own)[-2]) < 1.8


def test_zero_terminal_snr_begins_at_almost_pure_noise_and_ends_well():
    config = SD | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    scheduler = make("Euler", "SGM Uniform", 40, config=config)
    assert float(scheduler.sigmas[0]) > 4000
    found = walk(scheduler, noise(seeds(6), 48), kind="v_prediction")
    assert found.mean() == pytest.approx(MEAN, abs=0.05)
    assert 0.4 < float(found.std()) < 0.6


def test_lcm_with_a_consistency_model_is_done_in_one_step():
    start = noise(seeds(7), 32)
    scheduler = make("LCM", "SGM Uniform", 4)
    latents, generators = start * scheduler.init_noise_sigma, seeds(8)
    for timestep in scheduler.timesteps:
        scheduler.scale_model_input(latents, timestep)
        sigma = float(scheduler.sigmas[scheduler.step_index])
        finished = MEAN + 0.5 * (latents - MEAN) / (0.25 + sigma**2) ** 0.5
        latents = scheduler.step((latents - finished) / sigma, timestep, latents, generators, return_dict=False)[0]
    assert latents.mean() == pytest.approx(MEAN, abs=0.03)
    assert latents.std() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("name", "flow"), [(name, False) for name in SAMPLERS] + [(name, True) for name in FLOW_SAMPLERS]
)
def test_three_together_equal_three_alone_bit_for_bit(name, flow):
    numbers = {"s_churn": 5.0} if "s_churn" in TABLE.sampler(name).takes else {"eta": 0.8}

    def draw(*given):
        generators = seeds(*given)
        return walk(make(name, "Automatic", 6, flow=flow, **numbers), noise(generators), generators)

    together = draw(11, 12, 13)
    for index, number in enumerate((11, 12, 13)):
        assert torch.equal(together[index : index + 1], draw(number))
    assert torch.equal(together, draw(11, 12, 13))
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("name", NOISY)
def test_noise_needs_a_generator(name):
    with pytest.raises(ValueError, match="bind_generators"):
        walk(make(name, "Karras", 20), noise(seeds(1)))


def test_generators_can_be_bound_for_pipelines_that_pass_none():
    bound = make("Euler a", "Automatic", 5, flow=True)
    bound.bind_generators(seeds(21, 22))
    start = noise(seeds(1, 2))
    given = walk(make("Euler a", "Automatic", 5, flow=True), start, seeds(21, 22))
    assert torch.equal(walk(bound, start), given)


def test_too_few_generators_are_refused():
    with pytest.raises(ValueError, match="2 generators were given for 3 pictures"):
        walk(make("Euler a", "Karras", 3), noise(seeds(1, 2, 3)), seeds(1, 2))


@pytest.mark.parametrize("name", [row.name for row in TABLE.rows() if "s_churn" in row.takes])
def test_churn_adds_noise_where_it_is_asked_for(name):
    def draw(**numbers):
        generators = seeds(9)
        return walk(make(name, "Karras", 30, **numbers), noise(generators, 48), generators)

    plain, churned = draw(), draw(s_churn=10.0)
    assert not torch.equal(plain, churned)
    assert churned.mean() == pytest.approx(MEAN, abs=0.05)
    assert 0.42 < float(churned.std()) < 0.6
    assert torch.equal(draw(s_churn=10.0, s_tmin=20.0), plain)
    assert torch.equal(draw(s_churn=10.0, s_tmax=0.01), plain)
    assert torch.equal(draw(s_churn=10.0, s_tmax=0.0), churned)  # 0 is no limit
    assert not torch.equal(draw(s_churn=10.0, s_noise=1.1), churned)


def test_what_a_sampler_does_not_take_changes_nothing():
    start = noise(seeds(1))
    assert torch.equal(
        walk(make("DPM++ 2M", "Karras", 8, eta=0.3, s_churn=9.0), start), walk(make("DPM++ 2M", "Karras", 8), start)
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_beginning_in_the_middle_finishes_a_noised_picture(name):
    # As image-to-image pipelines do it: cut the time steps, say where, add the noise of the first one.
    # What makes its plan from where it begins is told so beforehand, as the engine tells all.
    scheduler = make(name, "Karras", 20)
    skipped = 12 * scheduler.order
    if scheduler.course.method.whole:
        scheduler.set_timesteps(20, skip=12)
        skipped = 0
    timesteps = scheduler.timesteps[skipped:]
    scheduler.set_begin_index(skipped)
    generators = seeds(15)
    picture = MEAN + 0.5 * noise(seeds(16), 32)
    latents = scheduler.add_noise(picture, noise(generators, 32), timesteps[:1])
    sigma = float(scheduler.sigmas[skipped])
    assert float((latents - picture).std()) == pytest.approx(sigma, rel=0.05)
    from tests.sd_samplers.analytic import answer

    for timestep in timesteps:
        latents = scheduler.step(answer(scheduler, latents, timestep, "epsilon"), timestep, latents, generators, False)[
            0
        ]
    assert torch.isfinite(latents).all()
    assert latents.mean() == pytest.approx(MEAN, abs=0.03)
    if name != "LCM":
        assert 0.42 < float(latents.std()) < 0.58
    assert scheduler.step_index == len(scheduler.timesteps)


@pytest.mark.parametrize("name", SAMPLERS)
def test_calls_are_counted_as_the_order_says(name):
    scheduler = make(name, "Karras", 10)
    calls = len(scheduler.timesteps)
    if name == "PLMS":
        assert (scheduler.order, calls) == (1, 11)
    elif name == "HeunPP2":
        assert (scheduler.order, calls) == (3, 28)
    elif name == "DPM adaptive":
        assert (scheduler.order, calls) == (1, 1)  # the others follow as it goes
    else:
        assert calls == 10 * scheduler.order - (scheduler.order - 1)
    assert len(scheduler.sigmas) == calls + 1
    method = scheduler.course.method
    assert method.whole or torch.all(scheduler.timesteps.diff() <= 0) or scheduler.order > 1 or name == "PLMS"


def test_what_comes_back_changed_is_what_is_gone_on_with():
    # Inpainting puts the original back after every step; the sampler must not bring its own version again.
    for name in SAMPLERS:
        scheduler = make(name, "Karras", 6)
        generators = seeds(2)
        latents = noise(generators) * scheduler.init_noise_sigma
        from tests.sd_samplers.analytic import answer

        for index, timestep in enumerate(scheduler.timesteps):
            output = answer(scheduler, latents, timestep, "epsilon")
            latents = scheduler.step(output, timestep, latents, generators, return_dict=False)[0]
            if index + 1 < len(scheduler.timesteps):
                latents = latents.clone()
                latents[..., :8] = 3.0
        kept, free = latents[..., :8], latents[..., 8:]
        assert float((kept - 3.0).abs().max()) < float((free - 3.0).abs().max()), name


def test_low_precision_goes_in_and_out():
    scheduler = make("Heun", "Karras", 5)
    latents = (noise(seeds(1)) * scheduler.init_noise_sigma).to(torch.bfloat16)
    for timestep in scheduler.timesteps:
        shown = scheduler.scale_model_input(latents, timestep)
        assert shown.dtype == torch.bfloat16
        latents = scheduler.step(shown * 0.5, timestep, latents, return_dict=False)[0]
        assert latents.dtype == torch.bfloat16


def test_a_scheduler_can_be_used_again():
    scheduler, start = make("DPM++ 2M", "Karras", 6), noise(seeds(1))
    first = walk(scheduler, start)
    scheduler.set_timesteps(6)
    assert torch.equal(walk(scheduler, start), first)


def test_each_call_builds_a_scheduler_of_its_own():
    plan = SamplerPlan("Euler", "Karras", 5, None)
    assert build_scheduler(plan, SD, flow=False) is not build_scheduler(plan, SD, flow=False)


def test_the_number_of_steps_is_all_that_a_pipelines_sigmas_say():
    scheduler = make("Euler", "Karras", 5)
    expected = scheduler.sigmas.clone()
    scheduler.set_timesteps(sigmas=[9.0, 5.0, 3.0, 2.0, 1.0], device="cpu")
    assert torch.equal(scheduler.sigmas, expected)


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_edm_models_are_refused_in_words(name):
    with pytest.raises(UnsupportedFeature, match="EDM"):
        build_scheduler(SamplerPlan("Euler", "Karras", 5, None), {"_class_name": name}, flow=False)


def test_dynamic_shifting_moves_every_schedule():
    config = FLOW | {"use_dynamic_shifting": True}
    plan = SamplerPlan("Euler", "Simple", 8, None)
    sigmas = []
    for mu in (0.5, 1.5):
        scheduler = build_scheduler(plan, config, flow=True)
        scheduler.set_timesteps(8, mu=mu)
        sigmas.append(scheduler.sigmas)
    assert torch.all(sigmas[1][1:-1] > sigmas[0][1:-1])


def test_a_shift_is_taken_by_either_name():
    """Sana's scheduler is one for other models, and calls it `flow_shift`."""
    plan, roads = SamplerPlan("Euler", "Automatic", 5, None), []
    for config in ({"shift": 3.0}, {"flow_shift": 3.0, "use_flow_sigmas": True}, {"shift": 1.0}):
        scheduler = build_scheduler(plan, config, flow=True)
        scheduler.set_timesteps(5)
        roads.append(scheduler.sigmas)
    assert torch.equal(roads[0], roads[1])
    assert not torch.equal(roads[0], roads[2])


def test_a_terminal_shift_stretches_all_but_a_single_step():
    """diffusers divides by nothing there."""
    scheduler = build_scheduler(
        SamplerPlan("Euler", "Automatic", 5, None), {"shift_terminal": 0.02, "shift": 1.0}, flow=True
    )
    scheduler.set_timesteps(5)
    assert float(scheduler.sigmas[4]) == pytest.approx(0.02)
    scheduler.set_timesteps(1)
    assert scheduler.sigmas.tolist() == [1.0, 0.0]
