"""The LoRA stage: hooks that leave no trace, both formats of file, and effects through diffusers' own loader."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from modules.pocket import unseen
from modules.pocket.stages.base import denoising_loss, open_base
from modules.pocket.stages.lora import Mixed, export_lora, load_lora, train_lora
from modules.pocket.stages.lora_layers import Lora, kohya_tensors, peft_tensors, save_tensors
from modules.pocket.stages.samples import cover, world_sample
from modules.training.journal import Budget
from tests.factories.pocket_base import SIDE, scene_sample


@pytest.fixture(scope="module")
def base(tiny_base):
    return open_base(tiny_base)


@pytest.fixture
def strong(base):
    """A LoRA with weights in it, of a scale other than 1."""
    torch.manual_seed(2)
    lora = Lora(base.unet, rank=4, alpha=2.0)
    for layer in lora.layers.values():
        torch.nn.init.normal_(layer.lora_up.weight, std=0.3)
    return lora


def test_hooks_add_at_a_scale_and_leave_no_trace(base, strong):
    noisy, words = torch.randn(1, 4, 8, 8), base.embed(["a cat"])
    before = {name: value.clone() for name, value in base.unet.state_dict().items()}

    def said(lora=None, scale=1.0):
        with torch.no_grad():
            if lora is None:
                return base.unet(noisy, 10, words).sample
            with lora.attached(base.unet, scale):
                return base.unet(noisy, 10, words).sample

    plain = said()
    assert torch.equal(said(Lora(base.unet, rank=4)), plain), "a fresh one is zero"
    assert torch.equal(said(strong, 0.0), plain)
    assert (said(strong) - plain).abs().max() > 0.05
    assert torch.equal(said(), plain)
    assert all(torch.equal(value, before[name]) for name, value in base.unet.state_dict().items())


def test_the_two_formats_hold_the_same(strong, tmp_path):
    kohya, peft = kohya_tensors(strong), peft_tensors(strong)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    short = "lora_unet_" + name.replace(".", "_")
    assert f"unet.{name}.lora_A.weight" in peft
    assert any(key.endswith("_conv1.lora_down.weight") for key in kohya)
    assert len(kohya) == 3 * len(strong.names)
    assert len(peft) == 2 * len(strong.names)
    for key, place in strong.names.items():
        down, up = (kohya[f"lora_unet_{key}.lora_{part}.weight"].float().flatten(1) for part in ("down", "up"))
        scale = kohya[f"lora_unet_{key}.alpha"].item() / len(down)
        a, b = (peft[f"unet.{place}.lora_{part}.weight"].float().flatten(1) for part in "AB")
        assert torch.allclose(scale * up @ down, b @ a, atol=1e-3)
    assert kohya[f"{short}.alpha"].item() == 2.0


def test_the_loader_of_diffusers_takes_both_files(tiny_base, strong, tmp_path):
    from diffusers import StableDiffusionPipeline

    save_tensors(tmp_path / "kohya.safetensors", kohya_tensors(strong), {})
    save_tensors(tmp_path / "peft.safetensors", peft_tensors(strong), {})
    pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_base), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}

    def draw(**more):
        lot = torch.Generator().manual_seed(4)
        return pipeline("a cat", num_inference_steps=2, generator=lot, output_type="np", **more).images

    plain, made = draw(), {}
    for name in ("kohya", "peft"):
        pipeline.load_lora_weights(str(tmp_path), weight_name=f"{name}.safetensors", local_files_only=True)
        assert np.array_equal(draw(cross_attention_kwargs={"scale": 0.0}), plain)
        made[name] = draw()
        pipeline.unload_lora_weights()
        assert np.array_equal(draw(), plain)
    after = pipeline.unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    with strong.half().float().attached(pipeline.unet):
        ours = draw()
    assert np.abs(made["kohya"] - plain).max() > 0.02
    assert np.allclose(made["kohya"], made["peft"], atol=2e-3)
    assert np.allclose(made["kohya"], ours, atol=2e-3), "what was trained is what is loaded"


def test_it_learns_what_the_base_has_not_seen_and_exports(base, tuning, tmp_path):
    how = replace(tuning, max_steps=40, batch=6, pace=2, scenes=2)
    train_lora(tmp_path, Budget(5), 300, "robot", how, draw=scene_sample)
    assert train_lora(tmp_path, Budget(5), 300, "robot", replace(how, max_steps=1), draw=scene_sample)["step"] == 41
    lora = load_lora(tmp_path, "robot", base.folder)
    samples = [scene_sample(index, SIDE) for index in range(2)]
    clean, words = (
        base.encode(np.stack([each.picture for each in samples])),
        base.embed([each.text for each in samples]),
    )

    def loss(scale):
        def guess(noisy, times):
            with lora.attached(base.unet, scale):
                return base.unet(noisy, times, words).sample

        with torch.no_grad():
            torch.manual_seed(1)
            lot = np.random.default_rng(1)
            return sum(denoising_loss(base, clean, guess, lot).item() for _ in range(8))

    assert loss(1.0) < loss(0.5) < loss(0.0)

    size = export_lora(tmp_path, tmp_path / "lora", "robot", base.folder)
    files = [tmp_path / "lora" / name for name in ("robot.safetensors", "robot-diffusers.safetensors")]
    assert size == sum(file.stat().st_size for file in files)
    assert "robot" in (tmp_path / "lora" / "robot.md").read_text()
    export_lora(tmp_path, tmp_path / "mine", "robot", base.folder, draw=scene_sample)
    assert load_file(tmp_path / "mine" / "robot.safetensors").keys() == load_file(files[0]).keys()
    with safe_open(str(files[0]), "pt") as file:
        metadata = file.metadata()
    assert (metadata["ss_network_module"], metadata["ss_network_dim"]) == ("networks.lora", str(lora.rank))
    assert all("robot" in words for words in json.loads(metadata["ss_tag_frequency"])["pocket"])
    assert len(load_file(files[1])) == 2 * len(lora.names)


@pytest.mark.parametrize(
    ("draw", "word"),
    [
        (unseen.glass_sample, unseen.STYLE),
        (unseen.robot_sample, unseen.THING),
        (unseen.mascot_sample, unseen.MASCOT),
    ],
)
def test_unseen_samples_follow_from_their_number_and_are_called_by_their_word(draw, word):
    for index in range(12):
        sample, again = draw(index, SIDE), draw(index, SIDE)
        assert (sample.picture == again.picture).all()
        assert sample.text == again.text
        assert word in sample.text
        assert sample.picture.shape == (SIDE, SIDE, 3)
    assert all(word not in world_sample(index, SIDE).text for index in range(50))


def test_robots_stand_where_the_things_were_and_glass_keeps_the_colours():
    sample = unseen.robot_sample(4, 128)
    assert sample.picture.std() > 5
    inside = np.zeros((128, 128), bool)
    picture = np.full((128, 128, 3), 200, np.uint8)
    inside[40:90, 40:90] = True
    picture[inside] = (220, 40, 40)
    glass = unseen.glaze(picture, inside, np.random.default_rng(0))
    assert np.abs(np.median(glass[45:85, 45:85].reshape(-1, 3), axis=0) - (220, 40, 40)).max() < 35
    assert (glass.sum(axis=2) < 200).mean() > 0.08, "leads"
    assert np.median(glass[38:42, 40:90].sum(axis=2)) < 300, "a lead runs about the thing"
    assert cover(sample.scene.things[0], 128).max() == 1


def test_ordinary_samples_are_among_them():
    mixed = Mixed(unseen.robot_sample, world_sample)
    share = np.mean(["robot" not in mixed(index, SIDE).text for index in range(200)])
    assert 0.12 < share < 0.4


def test_unknown_subjects_are_named(tuning, tmp_path):
    with pytest.raises(ValueError, match="stained-glass, robot"):
        train_lora(tmp_path, Budget(1), 60, "dragon", tuning)
    with pytest.raises(FileNotFoundError, match="lora-robot"):
        export_lora(tmp_path, tmp_path / "lora", "robot", tuning.base)
