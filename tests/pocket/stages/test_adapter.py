"""The adapter stage: it fits a denoiser's levels, starts silent, comes to follow colours, and diffusers opens it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modules.pocket.stages.adapter import build_adapter, export_adapter, layout, train_adapter
from modules.pocket.stages.base import denoising_loss, open_base
from modules.pocket.stages.conditions import colour_grid
from modules.pocket.stages.control import to_condition
from modules.training.journal import Budget
from tests.factories import parts
from tests.factories.pocket_base import SIDE, WIDTH, scene_sample

ATTENDING, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"


def levels(*kinds):
    return SimpleNamespace(config=SimpleNamespace(down_block_types=kinds, block_out_channels=(16, 24, 32, 40)))


def test_the_plan_follows_from_where_the_attention_is():
    assert layout(levels(ATTENDING, ATTENDING, ATTENDING, PLAIN))["adapter_type"] == "full_adapter"
    pocket = layout(levels(PLAIN, ATTENDING, ATTENDING, PLAIN))
    assert (pocket["adapter_type"], pocket["channels"]) == ("full_adapter_xl", [16, 24, 32])
    with pytest.raises(ValueError, match="No T2I-Adapter fits"):
        layout(levels(PLAIN, PLAIN, ATTENDING, PLAIN))


@pytest.mark.parametrize("kinds", [(ATTENDING, PLAIN), (PLAIN, ATTENDING, PLAIN), (PLAIN, ATTENDING, ATTENDING, PLAIN)])
def test_a_fresh_adapter_fits_and_changes_nothing(kinds):
    up = tuple(name.replace("Down", "Up") for name in reversed(kinds))
    with parts.seeded(1):
        unet = parts.unet(
            (16, 24, 32, 40)[: len(kinds)],
            WIDTH,
            sample_size=8,
            attention_head_dim=4,
            norm_num_groups=8,
            down_block_types=kinds,
            up_block_types=up,
        )
        noisy, words, shown = torch.randn(1, 4, 8, 8), torch.randn(1, 77, WIDTH), torch.rand(1, 3, SIDE, SIDE)
        adapter = build_adapter(unet)
    with torch.no_grad():
        wanted = unet(noisy, 10, words).sample
        said = unet(noisy, 10, words, down_intrablock_additional_residuals=list(adapter(shown))).sample
        adapter.adapter.conv_in.weight.normal_()
        other = unet(noisy, 10, words, down_intrablock_additional_residuals=list(adapter(shown))).sample
    assert torch.equal(wanted, said)
    assert not torch.allclose(wanted, other, atol=1e-3)


def test_it_comes_to_follow_the_colours_opens_and_draws(tiny_base, tuning, tmp_path):
    fast = replace(tuning, max_steps=30, batch=6, pace=4)
    train_adapter(tmp_path, Budget(5), 300, fast)
    assert train_adapter(tmp_path, Budget(5), 300, fast)["step"] == 60
    target = tmp_path / "t2i" / "colour"
    export_adapter(tmp_path, target, tiny_base)

    from diffusers import StableDiffusionAdapterPipeline, T2IAdapter

    adapter = T2IAdapter.from_pretrained(str(target), local_files_only=True)
    base = open_base(tiny_base)
    samples = [scene_sample(index, SIDE) for index in range(2)]
    grids = to_condition(np.stack([colour_grid(each, np.random.default_rng(0)) for each in samples]), "cpu")
    clean, words = (
        base.encode(np.stack([each.picture for each in samples])),
        base.embed([each.text for each in samples]),
    )

    def loss(condition):
        def guess(noisy, times):
            return base.unet(noisy, times, words, down_intrablock_additional_residuals=list(adapter(condition))).sample

        with torch.no_grad():
            torch.manual_seed(1)
            lot = np.random.default_rng(1)
            return sum(denoising_loss(base, clean, guess, lot).item() for _ in range(8))

    assert loss(grids) < 0.9 * loss(grids.flip(0))

    pipeline = StableDiffusionAdapterPipeline.from_pretrained(str(tiny_base), adapter=adapter, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    first, second = (
        pipeline(
            "a cat", image=each[None], num_inference_steps=2, output_type="latent", generator=torch.manual_seed(3)
        ).images
        for each in grids
    )
    assert (first - second).abs().max() > 0.01
