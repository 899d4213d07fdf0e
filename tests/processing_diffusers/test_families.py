"""Every family draws what its row claims."""

from __future__ import annotations

import pytest
import torch
from PIL import Image, ImageDraw

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.request import CanvasParams, HiresParams, ImageParams, InpaintParams, PromptParams
from tests.processing_diffusers.conftest import (
    CLOSE,
    FAMILIES,
    ask,
    encode,
    held_back,
    in_threads,
    make_engine,
    pixels,
    speckled,
)

DENOISERS = {"unet", "transformer"}
MODELS = [f"tiny-{family.replace('_', '-')}" for family in FAMILIES]


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


@pytest.fixture
def bench(all_families):
    all_families.events.clear()
    return all_families


def request_for(model, **changes):
    changes.setdefault("sampler", None)
    return ask(model=model, **changes)


def disc(size=64):
    """A mask with a disc in the middle."""
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).ellipse((16, 16, size - 16, size - 16), fill=255)
    return mask


def test_text_to_image_from_its_own_seed(bench, model):
    batch = bench.draw(request_for(model, batch=2, seed=4)).pictures
    alone = bench.draw(request_for(model, seed=5)).pictures[0]
    assert batch[0].image.size == (64, 64)
    assert abs(pixels(batch[1]) - pixels(alone)).max() <= 1
    assert (pixels(batch[0]) != pixels(batch[1])).any()


def test_concurrent_jobs_are_merged_and_equal_those_alone(bench, model, exact):
    requests = [request_for(model, text=f"{seed} dots", seed=seed, steps=2 + seed) for seed in range(3)]
    alone = [exact(bench.draw(request)) for request in requests]
    figures = bench.engine.multiplexer.figures
    figures.reset()
    with held_back(bench.engine.multiplexer, DENOISERS, len(requests)):
        together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)
    (merged,) = (row for name, row in figures.report()["targets"].items() if name in DENOISERS)
    assert merged["calls"] - merged["forwards"] >= len(requests) - 1


def test_image_to_image_stays_nearer_with_less_strength(bench, model):
    given = speckled().resize((8, 8)).resize((64, 64))
    drawn = [
        pixels(bench.draw(request_for(model, steps=10, image=ImageParams((encode(given),), strength))).pictures[0])
        for strength in (0.0, 0.1, 0.9)
    ]
    near, far = (abs(picture - drawn[0]).mean() for picture in drawn[1:])
    assert 0 < near < far


def test_inpainting_leaves_the_rest_bit_equal(bench, model):
    given, mask = speckled(), disc()
    inpaint = InpaintParams(encode(mask), blur=2, only_masked=False)
    request = request_for(model, image=ImageParams((encode(given),), 0.8), inpaint=inpaint)
    drawn = pixels(bench.draw(request).pictures[0])
    changed = (drawn != pixels(given)).any(axis=2)
    assert changed[24:40, 24:40].mean() > 0.9
    assert not changed[:8].any()
    assert not changed[:, :8].any()


def test_the_hires_pass_has_the_size_asked_for(bench, model):
    hires = HiresParams(True, 1.5, "Latent", 2, denoising_strength=0.6)
    picture = bench.draw(request_for(model, hires=hires)).pictures[0]
    assert picture.image.size == (96, 96)


def test_what_a_family_cannot_do_is_said(bench):
    with pytest.raises(UnsupportedFeature, match="tiles"):
        bench.draw(request_for("tiny-flux", canvas=CanvasParams(64, 64, tiling=True)))
    notes = bench.draw(request_for("tiny-flux", prompt=PromptParams("a dot", "blurry", clip_skip=2))).notes
    assert any("negative prompt" in note for note in notes)
    assert any("clip skip" in note for note in notes)


def test_the_guidance_of_a_distilled_model_is_its_cfg_scale(bench):
    low, high = (bench.draw(request_for("tiny-flux", cfg=cfg)).pictures[0] for cfg in (1.5, 6.0))
    assert (pixels(low) != pixels(high)).any()


def test_a_refiner_improves_a_picture_and_refuses_to_begin_from_words(bench, tmp_path):
    """Its size conditioning has a score for beauty, which a good picture gets and the negative side does not."""
    refiner = make_refiner(tmp_path)
    given = ImageParams((encode(speckled()),), 0.5)
    result = refiner.draw(ask(model="refiner", image=given))
    assert result.pictures[0].image.size == (64, 64)
    with pytest.raises(UnsupportedFeature, match="from a picture only"):
        refiner.draw(ask(model="refiner"))
    refiner.engine.close()


def make_refiner(folder):
    """An engine with a tiny SDXL refiner: one text encoder and five numbers of size conditioning."""
    from tests.factories import models, parts
    from tests.factories.words import save_clip_tokenizer

    place = folder / "models" / "checkpoints" / "refiner"
    words = save_clip_tokenizer(place / "tokenizer_2", pad="!")
    with parts.seeded(11):
        components = {
            "text_encoder": models.NO_PART,
            "text_encoder_2": parts.clip_text(words, 1280, projection=1280, activation="gelu"),
            "tokenizer": models.NO_PART,
            "tokenizer_2": models.CLIP_TOKENIZER,
            "unet": parts.unet(
                (64, 64, 64, 64),
                1280,
                sample_size=8,
                attention_head_dim=(1, 1, 1, 1),
                use_linear_projection=True,
                transformer_layers_per_block=1,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=1280 + 5 * 256,
            ),
            "vae": parts.vae(scale=0.13025),
            "scheduler": parts.sd_scheduler(),
        }
    models.save(place, "StableDiffusionXLImg2ImgPipeline", components, fp16=False, shard=None)
    return make_engine(folder, folder / "models")
