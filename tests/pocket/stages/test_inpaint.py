"""The inpainting stage: it starts from the base, conditions as diffusers does, uses what is left, and opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modules.pocket.stages.base import denoising_loss, open_base, to_tensor
from modules.pocket.stages.inpaint import conditioning, export_inpaint, grow_input, train_inpaint
from modules.pocket.stages.masks import SHARES, draw_mask
from modules.pocket.stages.samples import cover
from modules.sd_models.detect import Recognised
from modules.sd_models.families import load_rules
from modules.sd_models.folders import inspect_folder
from modules.training.journal import Budget, load_checkpoint
from tests.factories.pocket_base import SIDE, scene_sample

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def base(tiny_base):
    return open_base(tiny_base)


def test_a_grown_network_says_what_the_base_says_whatever_the_new_channels_hold(base):
    torch.manual_seed(0)
    noisy, words = torch.randn(2, 4, 8, 8), base.embed(["a cat", ""])
    grown = grow_input(base.unet)
    assert grown.config.in_channels == 9
    wide = torch.cat([noisy, torch.randn(2, 5, 8, 8)], dim=1)
    with torch.no_grad():
        wanted = base.unet(noisy, 500, encoder_hidden_states=words).sample
        said = grown(wide, 500, encoder_hidden_states=words).sample
    assert torch.allclose(wanted, said, atol=1e-5)
    assert grown.conv_in.weight.data_ptr() != base.unet.conv_in.weight.data_ptr()


@pytest.mark.parametrize("kind", SHARES)
def test_masks_are_what_they_are_called(kind):
    sample = scene_sample(0, SIDE)
    shape = cover(sample.scene.things[0], SIDE) > 0.5
    for number in range(10):
        mask = draw_mask(sample, np.random.default_rng(number), kind)
        again = draw_mask(sample, np.random.default_rng(number), kind)
        assert (mask == again).all()
        assert set(np.unique(mask)) <= {0, 255}
        assert mask.shape == (SIDE, SIDE)
        assert mask.any()
        assert mask.all() == (kind == "whole")
        if kind in ("thing", "around"):
            assert mask[shape].all()
    with pytest.raises(ValueError, match="box, strokes"):
        draw_mask(sample, np.random.default_rng(0), "spiral")


def test_conditioning_is_what_the_ordinary_pipeline_makes(base):
    from diffusers import StableDiffusionInpaintPipeline

    pipeline = StableDiffusionInpaintPipeline.from_pretrained(str(base.folder), local_files_only=True)
    pictures = to_tensor(np.stack([scene_sample(0, SIDE).picture]))
    masks = torch.zeros(1, 1, SIDE, SIDE)
    masks[..., 10:40, 20:50] = 1
    ours = conditioning(base, pictures, masks)
    lot = torch.Generator().manual_seed(0)
    hidden = pictures * (masks < 0.5)
    small, latents = pipeline.prepare_mask_latents(
        masks, hidden, 1, SIDE, SIDE, torch.float32, torch.device("cpu"), lot, False
    )
    assert torch.equal(ours[:, :1], small)
    assert torch.allclose(ours[:, 1:], latents, atol=0.1)  # ours are encoded in half precision
    assert latents.std() > 0.5


def test_it_learns_to_use_what_is_left_of_the_picture(base, tuning, tmp_path):
    train_inpaint(tmp_path, Budget(5), 300, replace(tuning, max_steps=75, batch=6, pace=8))
    unet = grow_input(base.unet)
    unet.load_state_dict(load_checkpoint(tmp_path / "inpaint.pt")["model"])
    pictures = to_tensor(np.stack([scene_sample(index, SIDE).picture for index in range(2)]))
    masks = torch.zeros(2, 1, SIDE, SIDE)
    masks[..., : SIDE // 2, :] = 1  # the lower half tells which of the two it is
    clean, words = base.encode(pictures), base.embed(["a cat on the white background"] * 2)
    right = conditioning(base, pictures, masks)

    def loss(beside):
        def guess(noisy, times):
            return unet(torch.cat([noisy, beside], dim=1), times, encoder_hidden_states=words).sample

        with torch.no_grad():
            torch.manual_seed(1)
            lot = np.random.default_rng(1)
            return sum(denoising_loss(base, clean, guess, lot, masks[..., ::8, ::8]).item() for _ in range(8))

    assert loss(right) < 0.9 * loss(right.flip(0))


def test_it_goes_on_and_opens_as_an_inpainting_model(base, tuning, tmp_path):
    train_inpaint(tmp_path, Budget(1), 60, tuning)
    figures = train_inpaint(tmp_path, Budget(1), 60, tuning)
    assert figures["step"] == 4
    target = tmp_path / "models" / "pocket-inpaint"
    size = export_inpaint(tmp_path, target, base.folder)
    assert size == sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    assert "4 steps" in (target / "README.md").read_text()
    (target / "README.md").write_text("mine")
    export_inpaint(tmp_path, target, base.folder)
    assert (target / "README.md").read_text() == "mine"
    for path in target.rglob("*.json"):
        assert str(tmp_path) not in path.read_text()

    outcome = inspect_folder(target, load_rules(ROOT / "configs" / "families.json"))
    assert isinstance(outcome, Recognised)
    assert outcome.family == "sd15-inpaint"
    assert outcome.facts["native_size"] == SIDE

    from diffusers import DiffusionPipeline, StableDiffusionInpaintPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(target), local_files_only=True)
    assert isinstance(pipeline, StableDiffusionInpaintPipeline)
    pipeline.set_progress_bar_config(disable=True)
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[:32] = 1
    made = pipeline(
        "a cat",
        image=torch.zeros(1, 3, SIDE, SIDE),
        mask_image=torch.from_numpy(mask)[None, None],
        height=SIDE,
        width=SIDE,
        num_inference_steps=2,
        output_type="np",
    ).images
    assert made.shape == (1, SIDE, SIDE, 3)
    assert np.isfinite(made).all()


def test_before_the_first_checkpoint_there_is_nothing_to_export(tiny_base, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"inpaint\.pt"):
        export_inpaint(tmp_path, tmp_path / "out", tiny_base)
    assert not (tmp_path / "out").exists()
