"""A second model that takes over in mid-run, drawn through the engine."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from modules.contracts.cost import work_of
from modules.contracts.errors import UnknownModel, UnsupportedFeature
from modules.contracts.events import StepDone
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.plan import Leg, SamplerPlan
from modules.contracts.refiner import RefinerUse
from modules.contracts.request import (
    HandoverParams,
    HiresParams,
    ImageParams,
    InpaintParams,
    PromptParams,
    RefinerParams,
    SamplingParams,
)
from modules.processing_diffusers.examination import examine_request
from modules.processing_diffusers.refining import divide_leg
from modules.sd_samplers.build import build_scheduler
from tests.factories import models
from tests.processing_diffusers.conftest import (
    CLOSE,
    ask,
    encode,
    in_threads,
    link_models,
    make_engine,
    pixels,
    speckled,
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory, request):
    """An engine with two SD 1.5 models of other weights, SDXL with its refiner, and models that fit none of them."""
    folder = link_models(
        tmp_path_factory.mktemp("refined-models"), request, ["sd15", "sd15_inpaint", "sd2", "sdxl", "sd3"]
    )
    models.tiny_sd15(folder / "checkpoints" / "other", seed=16)
    # As with most models that people mix, both speak through one VAE.
    shutil.rmtree(folder / "checkpoints" / "other" / "vae")
    shutil.copytree(folder / "checkpoints" / "tiny-sd15" / "vae", folder / "checkpoints" / "other" / "vae")
    models.tiny_sdxl_refiner(folder / "checkpoints" / "refiner")
    bench = make_engine(tmp_path_factory.mktemp("refined-engine"), folder)
    bench.folder = folder / "checkpoints"
    yield bench
    bench.engine.close()


def refined(checkpoint="other", at=0.6, *, steps=5, by_steps=False, passes="second pass", **named):
    return ask(steps=steps, refiner=RefinerParams(checkpoint, at, by_steps, passes), **named)


TOLD = SamplingParams(steps=5, sampler="Euler", scheduler="DDIM", cfg_scale=5.0)


def far(one, other):
    return float((one - other).abs().max())


def load(folder, kind):
    import diffusers

    return getattr(diffusers, kind).from_pretrained(folder, local_files_only=True, dtype=torch.float64)


def sd_call(folder):
    """What an SD 1.5 model says to latents at a time step, unguided half first."""
    bare = load(folder, "StableDiffusionPipeline")
    words = torch.cat(bare.encode_prompt("a red circle", "cpu", 1, True, "blurry")[::-1]).float().double()
    return bare, lambda shown, timestep: bare.unet(shown, timestep, encoder_hidden_states=words, return_dict=False)[0]


def xl_call(folder, *, score):
    """The same of SDXL, or of its refiner, which hears of scores in place of a second size."""
    bare = load(folder, "StableDiffusionXLImg2ImgPipeline" if score else "StableDiffusionXLPipeline")
    bound, free, bound_pool, free_pool = bare.encode_prompt("a red circle", negative_prompt="blurry", device="cpu")
    sizes = [[64, 64, 0, 0, 2.5], [64, 64, 0, 0, 6.0]] if score else [[64, 64, 0, 0, 64, 64]] * 2
    added = {"text_embeds": torch.cat([free_pool, bound_pool]), "time_ids": torch.tensor(sizes).double()}

    def call(shown, timestep):
        words = torch.cat([free, bound])
        return bare.unet(shown, timestep, encoder_hidden_states=words, added_cond_kwargs=added, return_dict=False)[0]

    return bare, call


def by_hand(first, second, switch):
    """Five steps of Euler from seed 1, the second model from step `switch` on; decoded by the first."""
    (bare, say), (_, say_more) = first, second
    with torch.no_grad():
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator("cpu").manual_seed(1))
        scheduler = build_scheduler(SamplerPlan("Euler", "DDIM", 5, None), bare.scheduler.config, flow=False)
        scheduler.set_timesteps(5)
        latents = latents * scheduler.init_noise_sigma
        for step, timestep in enumerate(scheduler.timesteps):
            shown = scheduler.scale_model_input(torch.cat([latents] * 2), timestep).double()
            free, bound = (say if step < switch else say_more)(shown, timestep).float().chunk(2)
            latents = scheduler.step(free + 5.0 * (bound - free), timestep, latents, return_dict=False)[0]
        wanted = bare.vae.decode(latents.double() / bare.vae.config.scaling_factor, return_dict=False)[0][0]
    return (wanted / 2 + 0.5).clamp(0, 1)


def test_it_is_the_two_halves_run_by_hand(bench, exact):
    """The share is one of time steps unless it is asked for in steps: 801, 601 and 401 lie before six tenths."""
    halves = [sd_call(bench.folder / name) for name in ("tiny-sd15", "other")]
    drawn = {
        by_steps: exact(bench.draw(refined(at=0.5, by_steps=by_steps, sampling=TOLD))) for by_steps in (False, True)
    }
    assert far(drawn[False], by_hand(*halves, 2)) < 1e-5
    assert far(drawn[True], by_hand(*halves, 3)) < 1e-5
    assert far(drawn[False], drawn[True]) > CLOSE


def test_sdxl_hands_on_to_its_refiner_with_other_words_and_numbers(bench, exact):
    halves = xl_call(bench.folder / "tiny-sdxl", score=False), xl_call(bench.folder / "refiner", score=True)
    drawn = exact(bench.draw(refined("refiner", model="tiny-sdxl", sampling=TOLD)))
    assert far(drawn, by_hand(*halves, 3)) < 1e-4


def test_one_that_never_takes_over_changes_no_bit(bench, exact):
    plain = bench.draw(ask(steps=5))
    for wanted in (refined(at=1.0), refined("tiny-sd15"), refined(None)):
        result = bench.draw(wanted)
        assert torch.equal(exact(result), exact(plain))
        assert result.pictures[0].infotext == plain.pictures[0].infotext
    # Models that do not take part are not loaded for it.
    assert not bench.engine.resolve(refined(at=1.0)).refiner


def test_one_that_takes_over_at_once_draws_it_all(bench, exact):
    alone = exact(bench.draw(ask(steps=5, model="other")))
    assert far(exact(bench.draw(refined(at=0.0))), alone) <= CLOSE


def test_jobs_with_and_without_do_not_change_one_another(bench, exact):
    requests = [
        refined(),
        ask(steps=5),
        ask(steps=5, model="other", seed=2),
        refined("tiny-sd15", model="other", seed=3),
    ]
    alone = [exact(bench.draw(request)) for request in requests]
    together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        assert far(exact(result), lonely) <= CLOSE
    assert torch.equal(exact(bench.draw(requests[1])), alone[1])


def test_batches_of_a_job_are_those_drawn_alone(bench, exact):
    whole = bench.draw(refined(batch=2, count=2, seed=4)).pictures
    for place, picture in enumerate(whole):
        assert far(picture.image.exact, exact(bench.draw(refined(seed=4 + place)))) <= CLOSE


def test_a_second_pass_has_it_unless_it_is_said_otherwise(bench):
    hires = HiresParams(True, 2.0, steps=4, denoising_strength=0.7)
    for passes, expected in (
        ("second pass", (False, True)),
        ("first pass", (True, False)),
        ("both passes", (True, True)),
    ):
        plan = bench.engine.resolve(refined(passes=passes, hires=hires))
        assert (plan.first.refiner is not None, plan.hires.refiner is not None) == expected
    result = bench.draw(refined(hires=hires))
    picture = result.pictures[0]
    assert picture.image.size == (128, 128)
    assert (pixels(picture) != pixels(bench.draw(ask(steps=5, hires=hires)).pictures[0])).any()
    assert "Hires refiner" not in picture.infotext
    assert "Hires refiner: both passes" in bench.draw(refined(passes="both passes", hires=hires)).pictures[0].infotext


def test_a_given_picture_and_a_mask_are_kept(bench):
    mask = speckled().convert("L").point(lambda value: 255 if value > 128 else 0)
    given = {
        "image": ImageParams((encode(speckled()),), 0.8),
        "inpaint": InpaintParams(encode(mask), only_masked=False, blur=0),
    }
    drawn, plain = (pixels(bench.draw(each).pictures[0]) for each in (refined(**given), ask(steps=5, **given)))
    kept = pixels(mask) == 0
    assert (drawn[kept] == pixels(speckled())[kept]).all()
    assert (drawn != plain).any()


def test_it_goes_with_a_second_sampler_and_with_words_that_change(bench, exact):
    """Three parts, each with its own model and sampler; where both models are one the parts make up the whole."""
    words = PromptParams("[a red circle:a blue square:0.5]")
    both = refined(at=0.5, steps=6, by_steps=True, prompt=words, handover=HandoverParams("Heun", at=2 / 3))
    plain = replace(both, refiner=RefinerParams())
    assert far(exact(bench.draw(both)), exact(bench.draw(plain))) > CLOSE
    models.tiny_sd15(bench.folder / "twin")
    bench.engine._catalog.refresh()
    twin = replace(both, refiner=replace(both.refiner, checkpoint="twin"))
    assert far(exact(bench.draw(twin)), exact(bench.draw(plain))) <= CLOSE


def test_legs_are_cut_where_the_share_is_reached():
    sampler = SamplerPlan("Euler", "Automatic", 10, None)
    leg, times = Leg(sampler, 2, 6), (700.0, 500.4, 300.0, 100.0)

    def cut(at, by_steps=False):
        parts = divide_leg(leg, RefinerUse(None, None, at, by_steps), 10, times)
        return [(part.begin, part.end, part.refined) for part in parts]

    assert cut(0.5) == [(2, 4, False), (4, 6, True)]
    assert cut(0.499) == [(2, 3, False), (3, 6, True)]
    assert cut(0.2) == [(2, 6, True)]
    assert cut(0.95) == [(2, 6, False)]
    assert cut(0.3, by_steps=True) == [(2, 3, False), (3, 6, True)]
    assert cut(0.6, by_steps=True) == [(2, 6, False)]


def test_what_does_not_fit_is_refused_before_anything_is_drawn(bench):
    catalog, settings = bench.engine._catalog, bench.settings
    for checkpoint in ("tiny-sdxl", "tiny-sd3", "tiny-sd15-inpaint"):
        for check in (bench.engine.resolve, lambda request: examine_request(request, catalog, settings)):
            with pytest.raises(UnsupportedFeature, match=f"The refiner {checkpoint} .* cannot go on"):
                check(refined(checkpoint))
    with pytest.raises(UnknownModel, match="nobody"):
        bench.engine.resolve(refined("nobody"))
    for sampler in ("DPM adaptive", "Restart", "PLMS", "DPM fast"):
        with pytest.raises(UnsupportedFeature, match="half done for a refiner"):
            bench.engine.resolve(refined(sampler=sampler))
    assert bench.draw(refined("tiny-sd2")).pictures


def test_progress_and_cost_are_those_of_one_model(bench):
    bench.events.clear()
    bench.draw(refined())
    steps = [(event.step, event.steps) for event in bench.events if isinstance(event, StepDone)]
    assert steps == [(step, 5) for step in range(1, 6)]
    assert work_of(refined()) == work_of(ask(steps=5))


def test_both_models_are_in_the_forecast_and_in_memory(bench):
    from modules.contracts.run import RunContext
    from modules.processing_diffusers.progress import Run

    peaks = {}
    for name, request in (("plain", ask(steps=1)), ("refined", refined(steps=1))):
        run = Run(bench.engine.resolve(request), RunContext("job", bench.events.append))
        with bench.engine.multiplexer.lane() as lane:
            bench.engine._draw(run, run.plan.memory, lane)
        peaks[name] = run.plan.memory.predicted_peak
    resident = bench.engine.stats()["models"]
    assert [str(bench.folder / "other") in resident, str(bench.folder / "tiny-sd15") in resident] == [True, True]
    with bench.engine.storehouse.lease(run.plan.refiner.model, run.plan.refiner.family, lambda *told: None) as other:
        assert peaks["refined"] - peaks["plain"] == other.bytes_on("cpu") > 0


def test_infotext_and_recipe_say_it_and_it_is_read_back(bench):
    picture = bench.draw(refined(by_steps=True, at=0.8)).pictures[0]
    title = bench.engine._catalog.find_model("other").title
    assert f"Refiner: {title}, Refiner switch at: 0.8, Refiner switch by sampling steps: True" in picture.infotext
    assert (picture.recipe["refiner"]["name"], picture.recipe["refiner"]["at"]) == ("other", 0.8)
    assert len(picture.recipe["refiner"]["sha256"]) == 64
    again, unknown = to_request(parse(picture.infotext), ask())
    assert (again.refiner, unknown) == (RefinerParams(title, 0.8, True), ())
    assert bench.engine.resolve(again).refiner.model.name == "other"
