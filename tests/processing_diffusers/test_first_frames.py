"""Films that begin with a given picture: as the libraries draw them, alone and beside others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.film import FilmParams
from modules.contracts.request import CanvasParams, ImageParams, PromptParams
from modules.contracts.tiles import EVEN, TileParams
from modules.processing_diffusers.noise import make_generator
from modules.processing_diffusers.tensors import to_tensor
from modules.sd_models.families import load_families
from modules.sd_vae.decode import decode
from modules.sd_vae.decode import encode as encode_picture
from modules.support.paths import ROOT
from tests.factories.families import BUILDERS
from tests.factories.levels import even_euler
from tests.processing_diffusers.conftest import (
    ask,
    draw_together,
    encode,
    make_engine,
    remember_numbers,
    speckled,
)

FAMILIES = {row.id: row for row in load_families(ROOT / "configs" / "families.json") if row.first_frame}
FRAMES = 9
SAME = 1e-5
"""Of values in [0, 1], between what one and the same latents are decoded to."""
LIBRARY_CLOSE = 2e-3
"""Of values in [0, 1], between a film in 64 bits and the library's own in 32."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """An engine with each tiny model that begins films with pictures."""
    folder = tmp_path_factory.mktemp("first-frames")
    for name in FAMILIES:
        BUILDERS[name](folder / "models" / "checkpoints" / name)
    bench = make_engine(folder, folder / "models")
    yield bench
    bench.engine.close()


@pytest.fixture
def bench(studio):
    studio.events.clear()
    return studio


@pytest.fixture
def exact_frames(monkeypatch):
    """Gives the decoder's own numbers of a film in [0, 1], (3, T, H, W)."""
    remember_numbers(monkeypatch)
    return lambda result, place=0: torch.stack([frame.exact for frame in result.pictures[place].film.frames], dim=1)


def photo(seed=0):
    """Sixteen fields of colour."""
    return speckled(seed=seed).resize((4, 4)).resize((64, 64), Image.Resampling.NEAREST)


def film(family, picture=None, frames=FRAMES, **changes):
    changes.setdefault("steps", 2)
    image = None if picture is None else ImageParams((encode(picture),))
    return ask(model=family, film=FilmParams(frames), sampler=None, image=image, **changes)


KEPT = [name for name, row in FAMILIES.items() if row.first_frame == "kept"]


@pytest.fixture
def shown(bench, monkeypatch):
    """Gives the first latent frame of the film of a request, and what the autoencoder shows of it alone."""
    from modules.processing_diffusers import batch

    found, plain = [], batch.decode_films

    def listen(job, latents):
        found.append((job.vae.module, latents[:, :, :1].cpu()))
        return plain(job, latents)

    monkeypatch.setattr(batch, "decode_films", listen)

    def draw(request):
        bench.draw(request)
        vae, frame = found[-1]
        return frame, decode(vae, frame), lambda picture: encode_picture(vae, to_tensor([picture]), mode="argmax")

    return draw


@pytest.mark.parametrize("family", KEPT)
def test_the_first_frame_is_the_picture(shown, family):
    """As the autoencoder has it; a film begun with another picture, or with none, begins with something else."""
    frame, seen, code = shown(film(family, photo()))
    torch.testing.assert_close(frame, code(photo()).unsqueeze(2), rtol=0, atol=SAME)
    for picture in (photo(9), None):
        _, other, _ = shown(film(family, picture))
        assert (other - seen).abs().mean() > 50 * SAME
    _, again, _ = shown(film(family, photo(), text="something else", seed=99))
    torch.testing.assert_close(again, seen, rtol=0, atol=SAME)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_follows_depends_on_the_picture(bench, family, exact_frames):
    first, second = (exact_frames(bench.draw(film(family, photo(seed)))) for seed in (0, 9))
    assert (first[:, -1] - second[:, -1]).abs().max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_films_drawn_together_equal_those_alone(bench, exact_frames, family):
    requests = [
        film(family, photo(seed), text=text, seed=seed) for seed, text in enumerate(("a dot", "two dogs in the snow"))
    ]
    draw_together(bench, exact_frames, requests, "transformer", hold=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_film_of_a_batch_begins_with_its_own_picture(bench, exact_frames, family):
    both = film(family, photo(), canvas=CanvasParams(64, 64, 2, 1), seed=3)
    both = replace(both, image=ImageParams((encode(photo()), encode(photo(9)))))
    batch = bench.draw(both)
    alone = exact_frames(bench.draw(film(family, photo(9), seed=4)))
    torch.testing.assert_close(exact_frames(batch, 1), alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_film_is_what_the_library_draws(bench, exact_frames, monkeypatch, family, cfg):
    from diffusers.pipelines.wan import pipeline_wan_i2v

    # Its own asks a package that nothing here needs, and leaves these words as they are.
    monkeypatch.setattr(pipeline_wan_i2v, "prompt_clean", lambda text: text)

    prompt = PromptParams("a red circle", "blurry")
    ours = exact_frames(bench.draw(film(family, photo(), steps=3, cfg=cfg, prompt=prompt, seed=7)))
    pipeline = THEIRS[family](bench.engine._catalog.find_model(family).path)
    pipeline.scheduler = even_euler(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    row = FAMILIES[family]
    noise = torch.randn(
        (1, row.latent_channels, 1 + (FRAMES - 1) // row.frame_factor, *[64 // row.latent_factor] * 2),
        generator=make_generator(7),
    )
    theirs = pipeline(
        image=photo(),
        prompt=prompt.text,
        negative_prompt=prompt.negative,
        width=64,
        height=64,
        num_frames=FRAMES,
        num_inference_steps=3,
        guidance_scale=cfg,
        latents=BEGUN[family](pipeline, noise) if family in BEGUN else noise,
        output_type="pt",
    ).frames[0]
    torch.testing.assert_close(ours, theirs.movedim(0, 1).float(), rtol=0, atol=LIBRARY_CLOSE)


def library(name):
    def load(folder):
        import diffusers

        return getattr(diffusers, name).from_pretrained(folder)

    return load


def begun_ltx(pipeline, noise):
    """Its pipeline takes latents that begin with the picture's; by itself it would draw these by chance."""
    vae = pipeline.vae
    with torch.no_grad():
        said = vae.encode(to_tensor([photo()]).unsqueeze(2) * 2 - 1).latent_dist.mean
    noise[:, :, :1] = pipeline._normalize_latents(said, vae.latents_mean, vae.latents_std)
    return pipeline._pack_latents(noise)


THEIRS = {
    "ltx": library("LTXImageToVideoPipeline"),
    "wan-i2v": library("WanImageToVideoPipeline"),
    "wan-ti2v": library("WanImageToVideoPipeline"),
}
"""The libraries' pipelines for the same folders."""
BEGUN = {"ltx": begun_ltx}


@pytest.mark.parametrize("family", KEPT)
def test_the_model_draws_from_words_alone_as_well(bench, family):
    assert len(bench.draw(film(family)).pictures[0].film.frames) == FRAMES


@pytest.mark.parametrize("family", FAMILIES)
def test_how_much_is_drawn_anew_has_no_meaning(bench, family):
    weak = film(family, photo(), steps=4)
    weak = replace(weak, image=ImageParams((encode(photo()),), 0.1))
    plan = bench.engine.resolve(weak)
    assert (plan.first.strength, plan.first.run) == (1.0, 4)
    (picture,) = bench.draw(weak).pictures
    assert "Denoising strength" not in picture.infotext
    assert picture.recipe["mode"] == "img2img"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_cannot_be_is_said(bench, family):
    with pytest.raises(UnsupportedFeature, match="one frame"):
        bench.engine.resolve(film(family, photo(), frames=1))
    with pytest.raises(UnsupportedFeature, match="leave tiles out"):
        bench.engine.resolve(film(family, photo(), tiles=TileParams(EVEN, 32, 32)))
