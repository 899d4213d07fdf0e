"""Settings that have changed since do not make it another picture, and what a job was given is still there."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from modules.call_queue.store import LARGE_REQUEST
from modules.contracts.request import (
    CanvasParams,
    FeatureParams,
    GenerationRequest,
    HiresParams,
    ImageParams,
    InpaintParams,
    OutputParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.outputs.metadata import read_metadata
from modules.outputs.replay import request_of
from modules.outputs.verify import Verifier
from tests.factories.pocket import POCKET, make_pocket_engine, pocket_studio

WORDS = PromptParams("a red circle on a white background")
SMALL = CanvasParams(width=64, height=64)
FEW = SamplingParams(steps=4, sampler="Euler")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """(queue, store, settings, verifier) over the pocket model, with a VAE beside it that paints differently."""
    folder = tmp_path_factory.mktemp("verify-settings")
    (folder / "models" / "vae").mkdir(parents=True)
    weights = load_file(POCKET / "vae" / "diffusion_pytorch_model.safetensors")
    weights = {name: value.clone() for name, value in weights.items()}
    weights["decoder.conv_out.bias"] += 0.3
    save_file(weights, folder / "models" / "vae" / "other.safetensors")
    engine = make_pocket_engine(folder)
    settings = engine._settings
    with pocket_studio(folder, engine, 3, settings) as (queue, store):
        yield queue, store, settings, Verifier(store, queue, lambda: settings["jpeg_quality"])


@pytest.fixture
def since(studio):
    """A function that changes settings, as an admin does after the picture was drawn; all are put back at the end."""
    settings, before = studio[2], dict(studio[2].public())
    yield settings.update
    settings.update({key: before[key] for key in before if settings[key] != before[key]})


def draw(studio, request):
    """The stored picture."""
    queue, store, _, _ = studio
    handle = queue.submit(request, "ann")
    handle.wait(60)
    return store.list(job_id=handle.id)[0]


def wish(**groups):
    return GenerationRequest(
        **{"prompt": WORDS, "canvas": SMALL, "seeds": SeedParams(seed=9), "sampling": FEW} | groups
    )


def photo():
    """A PNG of 1024 × 1024 that packs as badly as a photo."""
    grain = np.random.default_rng(1).integers(0, 40, (1024, 1024, 3), dtype=np.uint8)
    slope = np.linspace(0, 200, 1024, dtype=np.uint8)[:, None, None]
    out = io.BytesIO()
    Image.fromarray(grain + slope).save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_a_picture_of_the_checkpoints_own_vae_is_drawn_with_it_again(studio, since):
    *_, verifier = studio
    picture = draw(studio, wish())
    assert picture.recipe["vae"] is None
    since({"sd_vae": "other"})
    assert draw(studio, wish()).recipe["vae"]["name"] == "other"
    verdict = verifier.verify(picture.id, "ann", company=1)
    assert (verdict.alone.largest, verdict.changes) == (0, ())


def test_what_was_drawn_with_another_vae_is_drawn_with_that(studio, since):
    *_, verifier = studio
    since({"sd_vae": "other"})
    picture = draw(studio, wish())
    since({"sd_vae": "Automatic"})
    verdict = verifier.verify(picture.id, "ann", company=0)
    assert (verdict.alone.largest, verdict.changes) == (0, ())


def test_words_that_were_drawn_are_drawn_again(studio, since):
    queue, store, _, verifier = studio
    prompt = PromptParams("a {red|blue|green|white} {circle|square} # of mine", "{a|b|c|d} {e|f}", styles=("gone",))
    hires = HiresParams(True, 1.5, "Latent", 2, prompt="a {big|small} {star|heart}", denoising_strength=0.5)
    handle = queue.submit(wish(prompt=prompt, hires=hires, canvas=CanvasParams(64, 64, 2, 2)), "ann")
    handle.wait(60)
    pictures = store.list(job_id=handle.id)
    assert len({picture.recipe["prompt"] for picture in pictures}) > 1
    since({"enable_prompt_comments": False})
    for picture in pictures:
        assert picture.recipe["words"]["template"] == "a {red|blue|green|white} {circle|square}"
        assert "{" not in picture.recipe["words"]["hires_prompt"]
        asked = request_of(picture, None)
        assert (asked.prompt.text, asked.prompt.styles) == (picture.recipe["prompt"], ())
        assert asked.hires.prompt == picture.recipe["words"]["hires_prompt"]
    verdict = verifier.verify(pictures[0].id, "ann", company=1)
    assert verdict.same
    assert verdict.alone.largest <= 1  # it was drawn beside three others


@pytest.mark.parametrize("masked", [False, True])
def test_what_was_made_of_a_photo_is_made_again(studio, masked):
    queue, store, _, verifier = studio
    given = photo()
    assert len(given) > LARGE_REQUEST
    inpaint = InpaintParams(given) if masked else None
    picture = draw(studio, wish(image=ImageParams((given,), denoising_strength=0.5), inpaint=inpaint))
    verdict = verifier.verify(picture.id, "ann", company=1)
    assert (verdict.same, verdict.alone.largest, verdict.changes) == (True, 0, ())
    again = queue.requeue(picture.job_id)
    again.wait(60)
    (repeated,) = store.list(job_id=again.id)
    assert store.read(repeated.id) == store.read(picture.id)


def test_steps_of_image_to_image_are_those_of_then(studio, since):
    *_, verifier = studio
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 40, 40)).save(out, "PNG")
    request = wish(image=ImageParams((out.getvalue(),), denoising_strength=0.5))
    picture = draw(studio, request)
    since({"img2img_fix_steps": True})
    other = draw(studio, request)
    assert (picture.recipe["first"]["steps"], other.recipe["first"]["steps"]) == (3, 4)
    verdict = verifier.verify(picture.id, "ann", company=0)
    assert (verdict.alone.largest, verdict.changes) == (0, ())
    since({"img2img_fix_steps": False})
    verdict = verifier.verify(other.id, "ann", company=0)
    assert (verdict.alone.largest, verdict.changes) == (0, ())


def test_a_file_is_compared_at_the_quality_that_it_has(studio, since):
    _, store, _, verifier = studio
    since({"jpeg_quality": 95})
    picture = draw(studio, wish(output=OutputParams(format="jpeg")))
    assert picture.recipe["file"] == {"quality": 95}
    assert read_metadata(store.read(picture.id)).recipe == picture.recipe
    since({"jpeg_quality": 5})
    verdict = verifier.verify(picture.id, "ann", company=0)
    assert (verdict.alone.largest, verdict.changes) == (0, ())
    assert "file" not in draw(studio, wish()).recipe


def test_a_setting_that_no_request_carries_is_named(studio, since):
    pytest.importorskip("spandrel")
    *_, verifier = studio
    hires = HiresParams(enabled=True, scale=2.0, upscaler="pocket-x2", steps=2)
    picture = draw(studio, wish(hires=hires))
    assert {"ESRGAN_tile", "ESRGAN_tile_overlap"} <= set(picture.recipe["settings"])
    since({"ESRGAN_tile": 48, "ESRGAN_tile_overlap": 16, "upcast_vae_on_nan": False})
    verdict = verifier.verify(picture.id, "ann", company=0)
    told = {change.part: (change.then, change.now) for change in verdict.changes}
    assert told == {"settings.ESRGAN_tile": (256, 48), "settings.ESRGAN_tile_overlap": (32, 16)}


def test_a_large_picture_is_drawn_again_with_the_deep_shrink_that_it_had(studio):
    sampling = SamplingParams(steps=2, sampler="Euler")
    picture = draw(studio, wish(canvas=CanvasParams(width=384, height=384), sampling=sampling))
    assert request_of(picture, None).features == FeatureParams(shrink=1.5, shrink_level=1, shrink_end=0.85)
    first = {key: value for key, value in picture.recipe["first"].items() if key != "shrink"}
    older = replace(picture, recipe={**picture.recipe, "first": first})
    assert request_of(older, None).features == FeatureParams(shrink=1.0)
