"""The image prompt: it starts silent, comes to follow a picture, and opens through diffusers' own loader."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from modules.pocket.stages.base import open_base
from modules.pocket.stages.image_prompt import (
    FILE,
    ImagePrompt,
    build_tower,
    export_image_prompt,
    look,
    reference,
    train_image_prompt,
)
from modules.pocket.stages.samples import world_sample
from modules.training.journal import Budget, load_checkpoint
from tests.factories.pocket_base import SIDE, scene_sample


def test_a_fresh_one_changes_nothing(tiny_base):
    base = open_base(tiny_base)
    noisy, words = torch.randn(2, 4, 8, 8), base.embed(["a cat", ""])
    with torch.no_grad():
        wanted = base.unet(noisy, 10, words).sample
        prompt = ImagePrompt(base.unet, build_tower(), True)
        prompt.enter(base.unet)
        vectors = torch.randn(2, 1, 128)
        said = base.unet(noisy, 10, words, added_cond_kwargs={"image_embeds": [vectors]}).sample
        prompt.attention[0].to_v_ip[0].weight.normal_()
        other = base.unet(noisy, 10, words, added_cond_kwargs={"image_embeds": [vectors]}).sample
    assert torch.allclose(wanted, said, atol=1e-5)
    assert not torch.allclose(wanted, other, atol=1e-3)


def test_pictures_are_looked_at_as_the_pipeline_does_it():
    from transformers import CLIPImageProcessor

    tower = build_tower().eval()
    picture = world_sample(3, 128).picture
    pixels = CLIPImageProcessor(size=64, crop_size=64)(Image.fromarray(picture), return_tensors="pt").pixel_values
    with torch.no_grad():
        ours = look(tower, picture[None], "cpu")
        theirs = tower(pixel_values=pixels).image_embeds
    assert torch.nn.functional.cosine_similarity(ours, theirs).item() > 0.999


def test_the_reference_shows_the_same_things_otherwise():
    sample = world_sample(1, 128)
    other = reference(sample, np.random.default_rng(0))
    assert other.shape == sample.picture.shape
    assert (other != sample.picture).any()
    assert np.abs(np.median(other, axis=(0, 1)) - np.median(sample.picture, axis=(0, 1))).max() < 30


def test_it_comes_to_follow_a_picture_and_opens(tiny_base, tuning, tmp_path):
    fast = replace(tuning, max_steps=35, batch=6, pace=3)
    train_image_prompt(tmp_path, Budget(5), 300, fast)
    assert train_image_prompt(tmp_path, Budget(5), 300, fast)["step"] == 70
    target = tmp_path / "ip"
    export_image_prompt(tmp_path, target, tiny_base)

    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_base), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def draw(picture=None):
        given = {} if picture is None else {"ip_adapter_image": Image.fromarray(picture)}
        lots = [torch.Generator().manual_seed(number) for number in range(4)]
        made = pipeline(
            "", num_images_per_prompt=4, num_inference_steps=6, generator=lots, output_type="latent", **given
        )
        return made.images

    plain = draw()
    pipeline.load_ip_adapter(str(target), subfolder="", weight_name=FILE, local_files_only=True)
    assert pipeline.image_encoder.config.image_size == 64
    red, blue = (scene_sample(index, SIDE).picture for index in range(2))
    pipeline.set_ip_adapter_scale(0.0)
    assert torch.allclose(draw(red), plain, atol=1e-4)
    pipeline.set_ip_adapter_scale(1.0)
    first, second = draw(red), draw(blue)
    clean = open_base(tiny_base).encode(np.stack([red, blue]))
    likeness = ((first - second).mean(0) * (clean[0] - clean[1])).mean()
    assert likeness > 0.02


def test_a_tower_that_is_given_stays_as_it_is(tiny_base, tuning, tmp_path):
    from transformers import CLIPVisionModelWithProjection

    build_tower().save_pretrained(str(tmp_path / "tower"))
    train_image_prompt(tmp_path, Budget(1), 60, replace(tuning, batch=2), tower=tmp_path / "tower")
    assert not [name for name in load_checkpoint(tmp_path / "image-prompt.pt")["model"] if name.startswith("tower")]
    export_image_prompt(tmp_path, tmp_path / "ip", tiny_base, tmp_path / "tower")
    before, after = (
        CLIPVisionModelWithProjection.from_pretrained(str(folder), dtype=torch.float32).state_dict()
        for folder in (tmp_path / "tower", tmp_path / "ip" / "image_encoder")
    )
    assert all(torch.allclose(value, after[name], atol=1e-3) for name, value in before.items())
    with pytest.raises(FileNotFoundError):
        export_image_prompt(tmp_path / "none", tmp_path / "out", tiny_base)
