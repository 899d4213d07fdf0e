"""Upscalers, preview decoder and scorer learn for two steps, go on, and are exported in the field's own layouts."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.catalog import UpscalerEntry
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.render import render
from modules.pocket.stages import compact, preview, scorer, upscale
from modules.pocket.stages.pictures import make_scenes
from modules.pocket.stages.vae import build_vae
from modules.sd_vae.taesd import find_marked, load_taesd
from modules.training.journal import Budget, load_checkpoint, save_checkpoint
from modules.upscalers.spandrel_model import load_upscaler


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with six scenes and an autoencoder that has learned nothing."""
    folder = tmp_path_factory.mktemp("side")
    assert make_scenes(folder, 6, Budget(1))
    torch.manual_seed(0)
    state = build_vae().state_dict()
    save_checkpoint(folder / "vae.pt", {"average": state})
    save_checkpoint(folder / "vae-white.pt", state)
    return folder


def test_an_upscaler_learns_goes_on_and_opens_with_spandrel(work, tmp_path):
    for expected in (2, 4):
        figures = upscale.train_upscale(work, Budget(1), 60, 2, batch=2, max_steps=2, scenes=3)
        assert figures["step"] == expected
    upscale.export_upscale(work, tmp_path, (2,))
    file = tmp_path / "pocket-x2.safetensors"
    model = load_upscaler(UpscalerEntry("pocket-x2", latent=False, path=file))
    small = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    ours = upscale.load_upscale(work, 2)(small).clamp(0, 1)
    assert model.scale == 2
    assert torch.allclose(model.forward(small), ours, atol=5e-3)
    with pytest.raises(ValueError, match="no upscaler of scale 3"):
        upscale.train_upscale(work, Budget(1), 60, 3)


def test_the_larger_upscaler_takes_over_what_the_smaller_has_learned(work):
    upscale.train_upscale(work, Budget(1), 60, 2, batch=2, max_steps=1, scenes=3)
    upscale.train_upscale(work, Budget(0), 60, 4, batch=2, scenes=3)
    known, begun = (load_checkpoint(work / f"upscale-x{scale}.pt")["average"] for scale in (2, 4))
    assert torch.equal(known["body.2.weight"], begun["body.2.weight"])
    assert begun["body.14.weight"].shape[0] == 48


def test_the_figures_of_an_upscaler_know_better_from_worse():
    still = upscale.judge_upscale(compact.Compact(2).eval(), 2, count=2, side=64)
    assert still["lanczos_psnr"] > 15
    broken = upscale.judge_upscale(lambda small: torch.zeros(1, 3, 128, 128), 2, count=2, side=64)
    assert broken["psnr"] < still["psnr"]
    assert broken["sharpness"] == 0


def test_pictures_are_spoilt_a_little_and_keep_their_size_and_mean():
    picture = torch.from_numpy(render(draw_scene(1, 0), 64).copy()).permute(2, 0, 1)[None].float() / 255
    for seed in range(8):
        small = compact.spoil(picture, 2, np.random.default_rng(seed))
        assert small.shape == (1, 3, 32, 32)
        assert abs(small - compact.shrink(picture, 2)).mean() < 0.06


def test_a_preview_decoder_is_found_for_its_vae_and_draws_at_full_size(work, tmp_path):
    for expected in (2, 4):
        assert preview.train_preview(work, Budget(1), 60, batch=1, max_steps=2)["step"] == expected
    assert preview.export_preview(work, tmp_path) < preview.SIZE_LIMIT
    vae = preview.whitened_vae(work).half().float()
    file = find_marked([tmp_path], vae)
    assert file is not None
    known = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    shown = load_taesd(file, 4)(known)
    with torch.no_grad():
        wanted = (preview.load_preview(work)(known) / 2 + 0.5).clamp(0, 1)
    assert shown.shape == (1, 3, 64, 64)
    assert torch.allclose(shown, wanted, atol=0.01)
    assert json.loads((work / "preview.jsonl").read_text().splitlines()[-1])["step"] == 4


def test_a_scorer_learns_which_words_fit_and_opens_as_a_transformers_folder(work, tmp_path):
    from transformers import CLIPVisionModelWithProjection

    figures = scorer.train_scorer(work, Budget(1), 600, batch=6, max_steps=2)
    later = scorer.train_scorer(work, Budget(1), 600, batch=6, max_steps=2)
    assert (figures["step"], later["step"]) == (2, 4)
    assert np.isfinite(later["loss"])
    assert scorer.export_scorer(work, tmp_path / "scorer") < 2 * scorer.SIZE_LIMIT
    pictures = np.stack([render(draw_scene(1, index), 128) for index in range(3)])
    texts = ["a red circle on a white background", "two cats", "a sun", "night"]
    ours = scorer.score(*scorer.load_scorer(work), pictures, texts)
    opened = scorer.score(*scorer.open_scorer(tmp_path / "scorer"), pictures, texts)
    assert ours.shape == (3, 4)
    assert np.abs(ours - opened).max() < 0.02
    assert np.abs(ours).max() <= 1.001
    tower = CLIPVisionModelWithProjection.from_pretrained(str(tmp_path / "scorer"), local_files_only=True)
    assert tower(pixel_values=scorer.prepare(pictures).to(tower.dtype)).image_embeds.shape == (3, 128)


def test_images_and_arrays_are_prepared_alike():
    array = render(draw_scene(1, 2), 256)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    assert torch.equal(scorer.prepare(array[None]), scorer.prepare([Image.open(buffer)]))


def test_what_has_not_been_trained_says_which_file_is_missing(tmp_path):
    for load, name in ((preview.load_preview, "preview.pt"), (scorer.load_scorer, "scorer.pt")):
        with pytest.raises(FileNotFoundError, match=name):
            load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"upscale-x4\.pt"):
        upscale.load_upscale(tmp_path, 4)
