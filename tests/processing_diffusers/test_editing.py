"""Models that edit by instruction: what they are shown, and guidance towards words and picture."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.request import ImageParams, PromptParams
from modules.processing_diffusers.editing import Editing
from modules.processing_diffusers.multiplexer.stand_in import KINDS, UNSEEN
from tests.factories import models
from tests.processing_diffusers.conftest import ask, draw_together, encode, make_engine, pixels, speckled

MODEL = "editor"


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("editor")
    models.tiny_sd15_edit(folder / "models" / "checkpoints" / MODEL)
    bench = make_engine(folder, folder / "models")
    yield bench
    bench.engine.close()


def picture(seed=0):
    return encode(speckled(seed=seed).resize((8, 8)).resize((64, 64)))


def request_for(*, scale=None, image=None, **changes):
    changes.setdefault("sampler", "Euler")
    return ask(model=MODEL, image=ImageParams((image or picture(),), 1.0, edit_scale=scale), **changes)


def test_two_answers_are_the_papers_three():
    """Guided between them as any model is, they give equation 3 of the paper."""
    seen, words = torch.full((1, 1, 1, 1), 2.0), torch.tensor([10.0, 300.0]).view(2, 1)
    asked = []

    def denoiser(arguments):
        asked.append(arguments)
        sample = arguments["sample"].sum(1).flatten()
        return (arguments["encoder_hidden_states"].flatten() * (1 + sample).square(),)

    arguments = {"sample": torch.zeros(2, 1, 1, 1), "encoder_hidden_states": words}
    free, bound = Editing(seen, 1.5).ask(denoiser, arguments)[0]
    nothing, image, both = 10.0, 10.0 * 9, 300.0 * 9
    paper = nothing + 1.5 * (image - nothing) + 7.5 * (both - image)
    assert float(free + 7.5 * (bound - free)) == pytest.approx(paper)
    assert asked[0][KINDS].tolist() == [0, 0, UNSEEN]
    free, bound = Editing(seen, 1.0).ask(denoiser, arguments)[0]
    assert (float(free), float(bound)) == (image, both)
    assert asked[1]["sample"].shape == (2, 2, 1, 1)


def test_the_library_draws_the_same(editor):
    """The model's own pipeline, from the same noise, gives the same latents."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    from modules.processing_diffusers.pictures import decode_picture
    from modules.processing_diffusers.stages import denoise

    seen = {}
    plain = denoise._walk

    def watch(job, pass_plan, conditioning, beginning, watcher, halfway=None):
        found = plain(job, pass_plan, conditioning, beginning, watcher, halfway)
        seen.update(job=job, beginning=beginning, latents=found, arguments=conditioning.arguments)
        return found

    denoise._walk = watch
    try:
        editor.draw(request_for(scale=1.7, cfg=6.0, steps=4))
    finally:
        denoise._walk = plain
    parts = dict(seen["job"].model.loaded.components)
    pipeline = StableDiffusionInstructPix2PixPipeline(
        **{name: parts.get(name) for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")},
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    job, beginning = seen["job"], seen["beginning"]
    tail = denoise._lay_schedule(job, job.plan.first, job.plan.first.legs[0], beginning)
    pipeline.scheduler = tail
    words = seen["arguments"]
    theirs = pipeline(
        image=decode_picture(picture(), "it"),
        num_inference_steps=4,
        guidance_scale=6.0,
        image_guidance_scale=1.7,
        prompt_embeds=words["prompt_embeds"].double(),
        negative_prompt_embeds=words["negative_prompt_embeds"].double(),
        latents=tail.start(beginning.latents, beginning.noise).double(),
        output_type="latent",
        return_dict=False,
    )[0]
    torch.testing.assert_close(seen["latents"].double(), theirs, rtol=0, atol=2e-4)


def test_an_editing_model_sees_the_picture(editor):
    drawn = [pixels(editor.draw(request_for(image=picture(seed))).pictures[0]) for seed in (0, 1, 0)]
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[0] == drawn[2]).all()


def test_how_strongly_it_is_kept_is_said_by_its_own_scale(editor):
    usual, named, strong, alone = (
        pixels(editor.draw(request_for(scale=scale)).pictures[0]) for scale in (None, 1.5, 3.0, 1.0)
    )
    assert (usual == named).all()
    assert (usual != strong).any()
    assert (usual != alone).any()


def test_a_third_row_is_asked_for_only_where_it_counts(editor, rows):
    for scale, cfg, wanted in ((1.5, 5.0, {3}), (1.0, 5.0, {2}), (1.5, 1.0, {1})):
        rows.clear()
        editor.draw(request_for(scale=scale, cfg=cfg))
        assert set(rows) == wanted


def test_edits_at_once_are_those_alone(editor, exact):
    requests = [
        request_for(seed=1, steps=3),
        request_for(seed=2, image=picture(5), steps=4, scale=2.0),
        request_for(seed=3, prompt=PromptParams("[a cat:a dog:0.5] AND a circle", "blue"), steps=3),
        request_for(seed=4, steps=3, batch=2),
    ]
    draw_together(editor, exact, requests)
