"""Text to image."""

from __future__ import annotations

import io
import json
import logging

import pytest
import torch
from PIL import Image

from modules.contracts.events import ImageReady, Preview, StageStarted, StepDone
from modules.contracts.plan import SamplerPlan
from modules.contracts.request import CanvasParams, PromptParams, SamplingParams, SeedParams
from modules.processing_diffusers.library_log import join_logs
from modules.sd_samplers.build import build_scheduler
from tests.processing_diffusers.conftest import ask, pixels


def test_a_prompt_becomes_a_picture_of_the_size_asked_for(bench):
    result = bench.draw(ask())
    assert [picture.image.size for picture in result.pictures] == [(64, 64)]
    assert [event.step for event in bench.events if isinstance(event, StepDone)] == [1, 2, 3]
    assert sum(isinstance(event, ImageReady) for event in bench.events) == 1
    stages = [event.stage for event in bench.events if isinstance(event, StageStarted)]
    assert stages[-4:] == ["encode", "denoise", "decode", "save"]


def test_the_same_seed_draws_the_same_picture_and_another_seed_another(bench):
    first, again, other = (bench.draw(ask(seed=seed)).pictures[0] for seed in (7, 7, 8))
    assert (pixels(first) == pixels(again)).all()
    assert (pixels(first) != pixels(other)).any()


def test_a_picture_of_a_batch_is_the_one_drawn_alone(bench):
    batch = bench.draw(ask(batch=3, count=2, seed=10)).pictures
    assert [(picture.index, picture.seed) for picture in batch] == [(place, 10 + place) for place in range(6)]
    for place in (1, 4):
        alone = bench.draw(ask(seed=10 + place)).pictures[0]
        assert abs(pixels(alone) - pixels(batch[place])).max() <= 1


def test_the_engine_draws_what_the_bare_pipeline_draws(bench, tiny_sd15_folder):
    """With the same sampler, whatever stands between (stand-ins, tail of the schedule, own stages) changes nothing."""
    from diffusers import StableDiffusionPipeline

    bare = StableDiffusionPipeline.from_pretrained(tiny_sd15_folder, local_files_only=True, dtype=torch.float64)
    bare.scheduler = build_scheduler(SamplerPlan("Euler a", "Automatic", 4, None), bare.scheduler.config, flow=False)
    bare.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(5)
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    wanted = bare(
        "a red circle",
        negative_prompt="blurry",
        width=64,
        height=64,
        num_inference_steps=4,
        guidance_scale=5.0,
        latents=noise.double(),
        generator=generator,
    ).images[0]
    ours = bench.draw(ask(seed=5, steps=4, sampler="Euler a")).pictures[0]
    assert abs(pixels(ours) - pixels(wanted)).max() <= 1


def test_variation_strength_goes_from_one_seed_to_the_other(bench):
    def draw(strength, seed=1):
        return pixels(bench.draw(ask(seeds=SeedParams(seed, 2, strength))).pictures[0])

    start, end, plain_end = draw(0.0), draw(1.0), draw(0.0, seed=2)
    assert abs(end - plain_end).max() <= 1
    distances = [abs(draw(strength) - start).mean() for strength in (0.1, 0.5, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_pictures_of_a_variation_share_the_seed_and_count_the_variation_up(bench):
    result = bench.draw(ask(seeds=SeedParams(1, 20, 0.5), batch=2))
    assert [(picture.seed, picture.subseed) for picture in result.pictures] == [(1, 20), (1, 21)]


def test_a_resized_seed_keeps_its_middle(bench):
    small = pixels(bench.draw(ask(seed=3)).pictures[0])
    wide = CanvasParams(128, 64)
    kept = pixels(bench.draw(ask(seeds=SeedParams(3, -1, 0.0, 64, 64), canvas=wide)).pictures[0])
    fresh = pixels(bench.draw(ask(seed=3, canvas=wide)).pictures[0])
    assert abs(kept[:, 32:96] - small).mean() < abs(fresh[:, 32:96] - small).mean()


def test_words_clip_skip_and_guidance_change_the_picture(bench):
    plain = pixels(bench.draw(ask()).pictures[0])
    changed = {
        "prompt": ask("a blue square"),
        "negative": ask(prompt=PromptParams("a red circle", "sharp")),
        "clip skip": ask(prompt=PromptParams("a red circle", "blurry", clip_skip=2)),
        "cfg": ask(cfg=9.0),
        "rescale": ask(sampling=SamplingParams(3, "Euler", cfg_scale=5.0, cfg_rescale=0.7)),
    }
    for what, request in changed.items():
        assert (pixels(bench.draw(request).pictures[0]) != plain).any(), what


def test_without_guidance_the_negative_prompt_plays_no_part(bench):
    one, two = (
        bench.draw(ask(prompt=PromptParams("a red circle", negative), cfg=1.0)).pictures[0]
        for negative in ("blurry", "sharp")
    )
    assert (pixels(one) == pixels(two)).all()


def test_a_prompt_of_any_length_is_read_to_its_end(bench):
    long = " ".join(["circle"] * 100)
    one, other = bench.draw(ask(f"{long} cat")), bench.draw(ask(f"{long} dog"))
    assert one.notes == other.notes == ()
    assert (pixels(one.pictures[0]) != pixels(other.pictures[0])).any()


def test_an_odd_size_is_brought_to_a_legal_one_with_a_note(bench):
    result = bench.draw(ask(canvas=CanvasParams(61, 75)))
    assert result.pictures[0].image.size == (64, 72)
    assert any("61x75" in note and "64x72" in note for note in result.notes)


def test_the_native_size_is_taken_when_none_is_given(bench):
    assert bench.draw(ask(canvas=CanvasParams())).pictures[0].image.size == (64, 64)


def test_infotext_and_recipe_say_how_it_was_drawn(bench):
    request = ask(seed=9, batch=2)
    result = bench.draw(request)
    second = result.pictures[1]
    assert "Steps: 3, Sampler: Euler" in second.infotext
    assert "Seed: 10" in second.infotext
    recipe = json.loads(json.dumps(second.recipe))
    assert (recipe["seed"], recipe["first"]["sampler"]["sampler"], recipe["model"]["name"]) == (
        10,
        "Euler",
        "tiny-sd15",
    )
    assert set(recipe["versions"]) == {"atelier", "python", "torch", "diffusers", "transformers"}
    assert recipe["placement"]["denoiser"] == {"device": "cpu", "dtype": "float64"}


def test_previews_come_every_n_steps_and_only_when_somebody_looks(bench):
    bench.draw(ask(steps=6), previews=True)
    previews = [event for event in bench.events if isinstance(event, Preview)]
    assert [event.step for event in previews] == [2, 4]
    assert Image.open(io.BytesIO(previews[0].data)).format == "JPEG"
    bench.events.clear()
    bench.draw(ask(steps=6))
    assert not [event for event in bench.events if isinstance(event, Preview)]


def test_what_the_libraries_say_reaches_the_studios_log(bench):
    """Heard at the root logger alone: pytest's own capture also sits on loggers that keep records to themselves."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    heard: list[str] = []
    ear = logging.Handler()
    ear.emit = lambda record: heard.append(record.name)
    for library in (of_diffusers, of_transformers):
        library.disable_propagation()
        library.enable_default_handler()
    logging.getLogger().addHandler(ear)
    try:
        join_logs()
        for name in ("diffusers.pipelines", "transformers.modeling_utils"):
            logging.getLogger(name).error("odd weights of %s", name)  # some tests silence mere warnings
    finally:
        logging.getLogger().removeHandler(ear)
    assert heard == ["diffusers.pipelines", "transformers.modeling_utils"]
    for library in (of_diffusers, of_transformers):
        assert library._default_handler not in logging.getLogger(library.__name__.split(".")[0]).handlers


def test_progress_rises_to_the_end_over_all_batches(one_lane):
    one_lane.draw(ask(count=2))
    steps = [event for event in one_lane.events if isinstance(event, StepDone)]
    shares = [event.progress for event in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [(event.batch, event.batches) for event in steps] == [(0, 2)] * 3 + [(1, 2)] * 3


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M Karras", "Heun", "DPM++ SDE", "DDIM", "LCM"])
def test_samplers_run_the_steps_they_are_asked_for(bench, sampler):
    first, again = (bench.draw(ask(sampler=sampler, steps=4)) for _ in range(2))
    assert [event.step for event in bench.events if isinstance(event, StepDone)] == [1, 2, 3, 4] * 2
    assert (pixels(first.pictures[0]) == pixels(again.pictures[0])).all()
