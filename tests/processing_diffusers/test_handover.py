"""Samplers changed in mid-run, drawn through the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from modules.contracts.cost import work_of
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.events import StepDone
from modules.contracts.guidance import GuidanceParams
from modules.contracts.plan import SamplerPlan
from modules.contracts.request import HandoverParams, HiresParams, ImageParams, InpaintParams, PromptParams
from modules.sd_samplers.build import build_scheduler
from tests.processing_diffusers.conftest import CLOSE, ask, encode, in_threads, pixels, speckled


def relay(second="DPM++ 2M", *, steps=3, more=0, at=0.5, scheduler=None, **named):
    return ask(steps=steps, handover=HandoverParams(second, scheduler, more, at), **named)


def far(one, other):
    return float((one - other).abs().max())


def legs_of(bench, request):
    plan = bench.engine.resolve(request)
    return [(leg.sampler.sampler, leg.sampler.steps, leg.begin, leg.end) for leg in plan.first.legs]


def test_it_is_the_two_halves_run_by_hand(bench, exact, tiny_sd15_folder):
    """The bare pipeline's loop twice, each time over a part of one schedule of all steps."""
    from diffusers import StableDiffusionPipeline

    bare = StableDiffusionPipeline.from_pretrained(tiny_sd15_folder, local_files_only=True, dtype=torch.float64)
    config = bare.scheduler.config
    with torch.no_grad():
        words = torch.cat(bare.encode_prompt("a red circle", "cpu", 1, True, "blurry")[::-1]).float().double()
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator("cpu").manual_seed(1))
        for name, part in (("DDIM", slice(0, 3)), ("Euler", slice(3, 5))):
            # What a pipeline's loop does, here for a part of the time steps only.
            scheduler = build_scheduler(SamplerPlan(name, "DDIM", 5, None), config, flow=False)
            scheduler.set_timesteps(5)
            scheduler.set_begin_index(part.start)
            latents = latents if part.start else latents * scheduler.init_noise_sigma
            for timestep in scheduler.timesteps[part]:
                shown = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)
                told = bare.unet(shown.double(), timestep, encoder_hidden_states=words, return_dict=False)[0].float()
                free, bound = told.chunk(2)
                latents = scheduler.step(free + 5.0 * (bound - free), timestep, latents, return_dict=False)[0]
        wanted = bare.vae.decode(latents.double() / bare.vae.config.scaling_factor, return_dict=False)[0][0]
    ours = exact(bench.draw(relay("Euler", steps=3, more=2, sampler="DDIM", scheduler="DDIM")))
    assert far(ours, (wanted / 2 + 0.5).clamp(0, 1)) < 1e-5


def test_progress_counts_both_and_cost_too(bench):
    request = relay(steps=3, more=2, hires=HiresParams(True, 2.0, steps=0, denoising_strength=0.5))
    bench.draw(request)
    steps = [(event.step, event.steps) for event in bench.events if isinstance(event, StepDone)]
    assert steps == [(step, 10) for step in range(1, 11)]
    plain = replace(request, handover=HandoverParams())
    assert work_of(request) == pytest.approx(work_of(plain) * 5 / 3)
    assert work_of(replace(request, handover=HandoverParams(steps=2))) == work_of(plain)


def test_steps_or_a_share_say_where(bench):
    assert legs_of(bench, relay(steps=30, more=20)) == [("Euler", 50, 0, 30), ("DPM++ 2M", 50, 30, 50)]
    assert legs_of(bench, relay(steps=10, at=0.7)) == [("Euler", 10, 0, 7), ("DPM++ 2M", 10, 7, 10)]
    assert legs_of(bench, relay(steps=10, at=0.0))[0] == ("Euler", 10, 0, 1)
    assert legs_of(bench, relay(steps=10, at=1.0))[1] == ("DPM++ 2M", 10, 9, 10)
    assert legs_of(bench, relay(None, steps=10, scheduler="Karras"))[1] == ("Euler", 10, 5, 10)
    single = bench.draw(relay(steps=1))
    assert any("no second sampler" in note for note in single.notes)


def test_samplers_that_draw_all_or_nothing_are_refused(bench):
    for first, second in (("Euler", "DPM adaptive"), ("Restart", "Euler"), ("Euler", "PLMS"), ("DPM fast", "Euler")):
        with pytest.raises(UnsupportedFeature, match="part of a picture only"):
            bench.engine.resolve(relay(second, sampler=first))
    assert bench.draw(relay("Euler", sampler="PLMS", steps=4)).pictures


def test_pictures_drawn_in_company_are_those_drawn_alone(bench, exact):
    requests = [
        relay("Euler a", steps=4, more=2, batch=2, sampler="Heun"),
        ask(seed=6, steps=5),
        relay("DDIM CFG++", seed=7, steps=5, guidance=GuidanceParams(end=0.8)),
    ]
    alone = [bench.draw(request) for request in requests]
    together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for one, other in zip(alone, together, strict=True):
        for picture, beside in zip(one.pictures, other.pictures, strict=True):
            assert far(picture.image.exact, beside.image.exact) <= CLOSE
    assert far(exact(alone[0]), exact(bench.draw(ask(steps=6, sampler="Heun")))) > CLOSE


def test_the_second_pass_does_as_the_first_unless_it_names_a_sampler(bench):
    hires = HiresParams(True, 2.0, steps=4, denoising_strength=0.5)
    plan = bench.engine.resolve(relay(steps=6, more=2, hires=hires))
    assert [(leg.sampler.sampler, leg.begin, leg.end) for leg in plan.hires.legs] == [
        ("Euler", 0, 3),
        ("DPM++ 2M", 3, 4),
    ]
    own = bench.engine.resolve(relay(hires=replace(hires, sampler="DDIM")))
    assert [leg.sampler.sampler for leg in own.hires.legs] == ["DDIM"]
    assert bench.draw(relay(hires=hires)).pictures[0].image.size == (128, 128)


def test_words_and_guidance_count_on(bench, exact):
    """A prompt that changes at the seam says its second half to the second sampler alone."""
    both = relay("Euler", steps=4, scheduler="Automatic", prompt=PromptParams("[a red circle:a blue square:0.5]"))
    whole = ask(steps=4, prompt=PromptParams("[a red circle:a blue square:0.5]"))
    assert far(exact(bench.draw(both)), exact(bench.draw(whole))) < CLOSE
    window = {"guidance": GuidanceParams(start=0.25, end=0.75, schedule="linear up")}
    halves = exact(bench.draw(relay("Euler", steps=4, scheduler="Automatic", **window)))
    assert far(halves, exact(bench.draw(ask(steps=4, **window)))) < CLOSE


def test_a_given_picture_and_a_mask_are_kept_across_the_seam(bench, exact):
    mask = speckled().convert("L").point(lambda value: 255 if value > 128 else 0)
    given = {
        "image": ImageParams((encode(speckled()),), 0.8),
        "inpaint": InpaintParams(encode(mask), only_masked=False, blur=0),
    }
    relayed = relay("Euler", steps=5, scheduler="Automatic", **given)
    assert sum(leg.end - leg.begin for leg in bench.engine.resolve(relayed).first.legs) >= 4
    one, other = (pixels(bench.draw(each).pictures[0]) for each in (relayed, ask(steps=5, **given)))
    assert abs(one - other).max() <= 1


def test_infotext_and_recipe_say_it(bench):
    picture = bench.draw(relay(steps=3, more=2)).pictures[0]
    assert "Steps: 3, Sampler: Euler" in picture.infotext
    assert "Second sampler: DPM++ 2M, Second schedule type: Karras, Second steps: 2" in picture.infotext
    assert [leg["sampler"]["sampler"] for leg in picture.recipe["first"]["legs"]] == ["Euler", "DPM++ 2M"]
    assert "Second" not in bench.draw(ask()).pictures[0].infotext


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_other_families_change_too(all_families, exact, family):
    model = f"tiny-{family}"
    halves = exact(all_families.draw(relay("Euler", steps=4, scheduler="Automatic", model=model)))
    assert far(halves, exact(all_families.draw(ask(steps=4, model=model)))) < CLOSE
    other = all_families.draw(relay("Heun", steps=2, more=2, model=model))
    assert far(exact(other), halves) > CLOSE
