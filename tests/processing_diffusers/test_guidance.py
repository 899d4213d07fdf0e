"""Guidance beyond one scale, drawn through the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from modules.contracts.guidance import GuidanceParams
from modules.contracts.plan import SamplerPlan
from modules.contracts.request import HiresParams, PromptParams, SamplingParams
from modules.processing_diffusers.conductor import Conductor, Role, Voice
from modules.processing_diffusers.families.sd import SdAdapter
from modules.processing_diffusers.guidance_course import GuidanceCourse, GuidedPass, fitting
from modules.processing_diffusers.tail import ScheduleTail
from modules.sd_samplers.build import build_scheduler
from tests.processing_diffusers.conftest import CLOSE, ask, in_threads

CONFIG = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SHAPE = (2, 4, 4, 4)
ALL = GuidanceParams(end=0.7, schedule="cosine down", mimic_scale=2.0, threshold_percentile=95.0, apg=True)


def guided(steps=4, *, cfg=5.0, sampler="Euler", seed=1, batch=1, words=None, model=None, rescale=0.0, **wishes):
    return ask(
        seed=seed,
        batch=batch,
        model=model,
        sampling=SamplingParams(steps, sampler, cfg_scale=cfg, cfg_rescale=rescale),
        guidance=GuidanceParams(**wishes),
        **({} if words is None else {"prompt": words}),
    )


def far(one, other):
    return float((one - other).abs().max())


def tail_of(kind, steps=4):
    flow = kind == "flow"
    config = {"shift": 3.0} if flow else {**CONFIG, "prediction_type": kind}
    scheduler = build_scheduler(SamplerPlan("Euler", "Automatic", steps, None), config, flow=flow)
    return ScheduleTail(scheduler, steps, steps, device=torch.device("cpu"), arguments={})


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample", "flow"])
def test_an_answer_is_found_again_from_the_clean_latents_it_means(kind):
    tail, generator = tail_of(kind), torch.Generator().manual_seed(1)
    x = torch.randn(SHAPE, generator=generator) * tail.level
    for _ in range(4):
        output = torch.randn(SHAPE, generator=generator)
        clean = tail.denoise(output, x)
        torch.testing.assert_close(tail.answer(clean, x), output, rtol=1e-3, atol=1e-4)
        x, denoised = tail.step(output, tail.timesteps[tail._scheduler.step_index or 0], x, return_dict=False)
        torch.testing.assert_close(denoised, clean)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_the_course_mixes_clean_latents_whatever_the_model_predicts(kind):
    """With nothing taken away and no limit, the way over clean latents ends where the plain formula does."""
    tail, generator = tail_of(kind), torch.Generator().manual_seed(2)
    wishes = GuidanceParams(apg=True, apg_parallel=1.0, apg_threshold=0.0, apg_momentum=0.0)
    course = GuidanceCourse(wishes, GuidedPass(5.0, 4, 2), tail)
    free, bound, x = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    assert not course.spare()
    course.hear(torch.cat([free, bound]))
    torch.testing.assert_close(course.mix(free, x), free + 5 * (bound - free), rtol=1e-3, atol=1e-4)


def test_zero_star_scales_the_unguided_answer_and_holds_the_first_steps():
    tail, generator = tail_of("flow"), torch.Generator().manual_seed(3)
    free, bound, x = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    course = GuidanceCourse(GuidanceParams(zero_star=True, zero_steps=1), GuidedPass(4.0, 4, 2), tail)
    found = []
    for _ in range(2):
        course.spare()
        course.hear(torch.cat([free, bound]))
        found.append(course.mix(bound, x))
    assert not found[0].any()
    for place in range(2):
        v, u = bound[place], free[place]
        star = float((v * u).sum() / (u * u).sum()) * u
        torch.testing.assert_close(found[1][place], star + 4 * (v - star))
    late = GuidanceCourse(GuidanceParams(zero_steps=1), GuidedPass(4.0, 4, 2, noise=False), tail)
    late.spare()
    assert torch.equal(late.mix(bound, x), bound)


def test_wishes_are_met_as_far_as_they_can_be():
    whole = replace(ALL, zero_star=True, zero_steps=2)
    assert fitting(whole, flow=True, plus=False) == whole
    assert fitting(whole, flow=False, plus=False) == ALL
    assert not fitting(whole, flow=True, plus=True).mixing
    assert fitting(whole, flow=True, plus=True).scheduled


def test_what_is_asked_for_as_declared_changes_nothing_and_a_window_of_all_steps_neither(bench, exact):
    plain = exact(bench.draw(ask(steps=4)))
    assert far(exact(bench.draw(guided())), plain) == 0
    # The same formula by the other way, where all that APG takes away is put back.
    whole = guided(apg=True, apg_parallel=1.0, apg_threshold=0.0, apg_momentum=0.0)
    assert far(exact(bench.draw(whole)), plain) < CLOSE


def test_an_end_at_nought_is_scale_one_and_costs_half(bench, exact, rows):
    alone = exact(bench.draw(guided(cfg=1.0)))
    rows.clear()
    assert far(exact(bench.draw(guided(end=0.0))), alone) < CLOSE
    assert rows == [1] * 4
    rows.clear()
    bench.draw(guided(start=0.25, end=0.75))
    assert rows == [1, 2, 2, 1]


@pytest.mark.parametrize("sampler", ["Heun", "DPM adaptive", "DPM fast", "DPM++ 2M SDE"])
def test_samplers_of_every_kind_stop_guiding_at_the_end(bench, rows, sampler):
    bench.draw(guided(sampler=sampler, end=0.5))
    assert rows[0] == 2
    assert rows[-1] == 1
    assert rows == sorted(rows, reverse=True)


def test_each_wish_draws_another_picture(bench, exact):
    plain = exact(bench.draw(guided()))
    for wishes in (
        {"end": 0.5},
        {"schedule": "linear up"},
        {"mimic_scale": 2.0},
        {"mimic_scale": 2.0, "threshold_percentile": 80.0},
        {"apg": True},
        {"apg": True, "apg_momentum": 0.5},
        {"apg": True, "apg_threshold": 0.5},
        {"apg": True, "apg_parallel": 0.5},
        {"perp_neg": 1.0},
        {"perp_neg": 2.0},
        {"end": 0.9, "rescale": 0.7},
    ):
        found = exact(bench.draw(guided(**wishes)))
        assert far(found, plain) > CLOSE, wishes
        plain = found


def test_cfg_rescale_goes_with_the_rest(bench, exact):
    """The pipeline's own rescale and the course's are one formula."""
    whole = {"apg": True, "apg_parallel": 1.0, "apg_threshold": 0.0, "apg_momentum": 0.0}
    own, ours = (exact(bench.draw(guided(rescale=0.7, **wishes))) for wishes in ({}, whole))
    assert far(own, ours) < CLOSE


def test_a_higher_mimic_scale_than_the_scale_changes_nothing(bench, exact):
    assert far(exact(bench.draw(guided(mimic_scale=9.0))), exact(bench.draw(guided()))) < CLOSE


def test_pictures_drawn_in_company_are_those_drawn_alone(bench, exact):
    wishes = {"end": 0.7, "mimic_scale": 2.0, "threshold_percentile": 95.0, "apg": True, "perp_neg": 1.0}
    requests = [guided(seed=5, batch=2, **wishes), guided(seed=6), guided(seed=7, apg=True, schedule="cosine up")]
    alone = [bench.draw(request) for request in requests]
    together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for one, other in zip(alone, together, strict=True):
        for picture, beside in zip(one.pictures, other.pictures, strict=True):
            assert far(picture.image.exact, beside.image.exact) <= CLOSE
    second = bench.draw(guided(seed=6, **wishes)).pictures[0]
    assert far(second.image.exact, alone[0].pictures[1].image.exact) <= CLOSE


def test_it_goes_with_the_hires_pass_and_sparing(bench, rows):
    request = guided(steps=2, end=0.5)
    bench.draw(replace(request, hires=HiresParams(True, 2.0, steps=2, denoising_strength=1.0)))
    assert rows == [2, 1, 2, 1]
    rows.clear()
    sparing = SamplingParams(4, "Euler", cfg_scale=5.0, s_min_uncond=1000.0)
    bench.draw(replace(guided(apg=True), sampling=sparing))
    assert rows == [2, 1, 2, 1]


def test_cfg_plus_keeps_its_own_rule_within_the_window(bench, exact):
    plain = exact(bench.draw(guided(sampler="DDIM CFG++")))
    mixed = bench.draw(guided(sampler="DDIM CFG++", mimic_scale=2.0, apg=True))
    assert far(exact(mixed), plain) == 0
    assert any("CFG++" in note for note in mixed.notes)
    # The last of four steps begins before 0.9, so all are guided, by the course's rule instead of the sampler's.
    assert far(exact(bench.draw(guided(sampler="DDIM CFG++", end=0.9))), plain) < CLOSE
    assert far(exact(bench.draw(guided(sampler="DDIM CFG++", end=0.5))), plain) > CLOSE
    none, one = (exact(bench.draw(guided(sampler="DDIM CFG++", **way))) for way in ({"end": 0.0}, {"cfg": 1.0}))
    assert far(none, one) < CLOSE


def test_perp_neg_of_nothing_is_the_ordinary_way_and_asks_for_the_empty_prompt_else(bench, exact, rows):
    empty = PromptParams("a red circle", "")
    plain = exact(bench.draw(guided(words=empty)))
    rows.clear()
    assert far(exact(bench.draw(guided(words=empty, perp_neg=1.0))), plain) == 0
    assert rows == [2] * 4
    rows.clear()
    # What is wanted cannot be unwanted: nothing of it lies across.
    same = guided(words=PromptParams("a red circle", "a red circle"), perp_neg=1.0)
    assert far(exact(bench.draw(same)), plain) < CLOSE
    assert rows == [3] * 4


def test_perp_neg_is_the_papers_row_by_row():
    generator = torch.Generator().manual_seed(4)
    said = {value: torch.randn(4, 3, 3, generator=generator) for value in (0.0, 1.0, 2.0, 3.0)}

    def voice(value, weight=1.0):
        return Voice(((9, {"embeds": torch.full((1, 2), value)}),), weight)

    def call(arguments):
        return (torch.stack([said[float(one[0, 0])] for one in arguments["encoder_hidden_states"]]),)

    roles = [Role((voice(1.0), voice(3.0, 0.5)), voice(2.0), voice(0.0), 1.5), Role((voice(1.0),), voice(2.0))]
    arguments = {"sample": torch.zeros(4, 4, 3, 3), "encoder_hidden_states": None}
    (found,) = Conductor(SdAdapter(), roles, 8).conduct(call, arguments)
    free, one, against, two = (said[value] for value in (0.0, 1.0, 2.0, 3.0))
    push = (one - free) + 0.5 * (two - free)
    pull = against - free
    across = pull - (pull * push).sum() / push.norm() ** 2 * push
    for place, wanted in enumerate((free, against, free + push - 1.5 * across, one)):
        torch.testing.assert_close(found[place], wanted)
    assert float(((found[2] - free - push) * push).sum()) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("family", ["sd15-inpaint", "sd2", "sdxl", "sd3"])
def test_every_guided_family_knows_it(all_families, rows, family):
    request = guided(steps=2, model=f"tiny-{family}", end=0.5, mimic_scale=2.0, apg=True, perp_neg=1.0)
    result = all_families.draw(replace(request, guidance=replace(request.guidance, zero_star=True, zero_steps=1)))
    assert rows == [3, 1]
    assert any("CFG-Zero*" in note for note in result.notes) == (family != "sd3")


def test_zero_steps_leave_a_flow_model_where_it_was(all_families, exact):
    still, plain, star = (
        exact(all_families.draw(guided(model="tiny-sd3", **wishes)))
        for wishes in ({"zero_steps": 4}, {}, {"zero_star": True})
    )
    assert far(plain, star) > CLOSE
    assert far(plain, still) > CLOSE
    # Nothing moves, so words say nothing either.
    other = guided(model="tiny-sd3", zero_steps=4, words=PromptParams("a blue square", "sharp"))
    assert far(exact(all_families.draw(other)), still) < CLOSE


def test_a_family_without_negative_prompts_says_that_nothing_changed(all_families, exact):
    plain = all_families.draw(guided(steps=2, model="tiny-flux"))
    result = all_families.draw(guided(steps=2, model="tiny-flux", end=0.5, apg=True, perp_neg=1.0))
    assert far(exact(result), exact(plain)) == 0
    assert any("guidance changed nothing" in note for note in result.notes)


def test_infotext_says_it(bench):
    told = bench.draw(guided(end=0.5, mimic_scale=2.0, apg=True)).pictures[0].infotext
    assert "CFG end: 0.5, Mimic scale: 2" in told
    assert "APG: True" in told
    assert "APG" not in bench.draw(guided()).pictures[0].infotext
