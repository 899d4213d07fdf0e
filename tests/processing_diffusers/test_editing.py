"""Models that edit by instruction: what they are shown, and guidance towards words and picture."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxFillPipeline
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from modules.contracts.request import ImageParams, InpaintParams, PromptParams
from modules.processing_diffusers.editing import Editing
from modules.processing_diffusers.families.flux_shown import FluxFillAdapter
from modules.processing_diffusers.families.qwen_edit import QwenEditAdapter, grains_of
from modules.processing_diffusers.multiplexer.stand_in import KINDS, UNSEEN
from modules.processing_diffusers.pictures import decode_picture
from modules.processing_diffusers.stages import denoise
from tests.factories import models
from tests.factories.families import BUILDERS
from tests.processing_diffusers.conftest import CLOSE, ask, draw_together, encode, make_engine, pixels, speckled

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


def watched(bench, request):
    """What a pass of the request began with and gave."""
    seen, plain = {}, denoise._walk

    def watch(job, pass_plan, conditioning, beginning, watcher, halfway=None):
        found = plain(job, pass_plan, conditioning, beginning, watcher, halfway)
        seen.update(job=job, beginning=beginning, latents=found, arguments=conditioning.arguments)
        return found

    denoise._walk = watch
    try:
        bench.draw(request)
    finally:
        denoise._walk = plain
    return seen


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

    seen = watched(editor, request_for(scale=1.7, cfg=6.0, steps=4))
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


SHOWN = ["flux-kontext", "flux2", "flux2-klein", "qwen-image-edit", "qwen-image-edit-plus"]
"""Families that are shown the picture as further tokens."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    for name in (*SHOWN, "flux-fill"):
        BUILDERS[name](folder / "models" / "checkpoints" / name)
    bench = make_engine(folder, folder / "models")
    yield bench
    bench.engine.close()


def instruct(family, seed=0, **changes):
    image = ImageParams((picture(seed),), 1.0)
    return ask(model=family, image=image, steps=2, **changes)


@pytest.mark.parametrize("family", SHOWN)
def test_a_picture_is_seen_though_all_is_drawn_anew(shown, exact, family):
    first, other, again = (exact(shown.draw(instruct(family, seed))) for seed in (0, 1, 0))
    assert (first - other).abs().max() > 1e-4
    assert torch.equal(first, again)


@pytest.mark.parametrize("family", SHOWN)
def test_each_picture_of_a_batch_sees_its_own(shown, exact, family):
    both = ImageParams((picture(0), picture(1)), 1.0)
    together = shown.draw(ask(model=family, image=both, steps=2, batch=2, seed=1)).pictures[1]
    alone = exact(shown.draw(instruct(family, 1)))
    seeded = shown.draw(ask(model=family, image=ImageParams((picture(1),), 1.0), steps=2, seed=2)).pictures[0]
    torch.testing.assert_close(together.image.exact, seeded.image.exact, rtol=0, atol=CLOSE)
    assert (alone - together.image.exact).abs().max() > 1e-4  # of another seed


@pytest.mark.parametrize("family", ["qwen-image-edit", "qwen-image-edit-plus"])
def test_the_reader_sees_the_picture_too(shown, exact, family, monkeypatch):
    """The denoiser is shown nothing here, so what changes comes by the words."""
    monkeypatch.setattr(QwenEditAdapter, "show", lambda self, arguments, seen: arguments)
    first, other = (exact(shown.draw(instruct(family, seed))) for seed in (0, 1))
    assert (first - other).abs().max() > 1e-5


def test_pictures_are_cut_as_the_library_cuts_them():
    processor = Qwen2VLImageProcessorPil()
    image = speckled(140, 84)
    ours, grid = grains_of(image, 1024 * 1024)
    theirs = processor(images=[image], return_tensors="pt")
    assert theirs["image_grid_thw"].tolist() == [grid.tolist()]
    torch.testing.assert_close(ours, theirs["pixel_values"], rtol=0, atol=1e-4)
    assert grains_of(speckled(1120, 1120), 384 * 384)[1].tolist() == [1, 28, 28]


def test_kontext_draws_what_the_library_draws(shown, exact):
    """The model's own pipeline, shown the same latents from the same noise."""
    from diffusers import FluxKontextPipeline

    seen = watched(shown, instruct("flux-kontext", cfg=2.0))
    job, beginning, words = seen["job"], seen["beginning"], seen["arguments"]
    parts = dict(job.model.loaded.components)
    pipeline = FluxKontextPipeline(**{**parts, "scheduler": parts["scheduler"]})
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = tail = denoise._lay_schedule(job, job.plan.first, job.plan.first.legs[0], beginning)
    theirs = pipeline(
        image=beginning.seen.double(),
        num_inference_steps=2,
        guidance_scale=2.0,
        prompt_embeds=words["prompt_embeds"].double(),
        pooled_prompt_embeds=words["pooled_prompt_embeds"].double(),
        latents=job.model.adapter.pack(tail.start(beginning.latents, beginning.noise)).double(),
        width=64,
        height=64,
        output_type="latent",
        return_dict=False,
        max_area=64 * 64,
        _auto_resize=False,
    )[0]
    unpacked = job.model.adapter.unpack(theirs, 8, 8)
    torch.testing.assert_close(seen["latents"].double(), unpacked, rtol=0, atol=2e-4)


def test_fill_is_shown_mask_and_picture_as_its_own_pipeline_lays_them_out():
    """Every pixel of the mask of a cell is a channel, row by row, behind the latents of the picture."""
    white, latents = torch.rand(1, 1, 32, 48), torch.randn(2, 16, 4, 6)
    adapter = FluxFillAdapter()
    packed = adapter.pack(adapter.beside(white, latents))
    pipeline = FluxFillPipeline.prepare_mask_latents
    shift_free = SimpleNamespace(config=SimpleNamespace(shift_factor=0.0, scaling_factor=1.0))
    own = SimpleNamespace(vae_scale_factor=8, vae=shift_free, _pack_latents=FluxFillPipeline._pack_latents)
    mask, around = pipeline(own, white, latents, 2, 16, 1, 32, 48, torch.float32, torch.device("cpu"), None)
    assert torch.equal(packed, torch.cat([around, mask], dim=-1))


def test_fill_sees_what_is_around_the_mask(shown):
    """All of the picture is drawn from noise, so what is around counts by being seen."""
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    inpaint = InpaintParams(encode(half), blur=0, only_masked=False)
    first, other = (
        pixels(shown.draw(ask(model="flux-fill", image=image, inpaint=inpaint, steps=2)).pictures[0])
        for image in (ImageParams((picture(seed),), 1.0) for seed in (0, 1))
    )
    assert (first != other)[:, :16].any()
