"""Flow matching does its sums right, and the shortened text gives what the pipeline's long one gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modules.pocket.stages.flow import CountedAttention, draw_times, even_times, mix, shifted, walk
from modules.pocket.stages.transformer import build_transformer

TINY = {
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "caption_projection_dim": 16,
    "joint_attention_dim": 12,
    "pooled_projection_dim": 6,
}


def test_times_fill_the_range_and_reach_its_noisy_end():
    times = draw_times(np.random.default_rng(0), 4000)
    assert times.min() > 0
    assert times.max() <= 1
    assert 0.01 < (times < 0.2).float().mean() < 0.04
    assert (times > 0.985).float().mean() > 0.008
    assert times.median() == pytest.approx(shifted(torch.tensor(0.5)).item(), abs=0.04)


def test_walking_along_a_constant_velocity_ends_at_the_picture():
    clean, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    ended = walk(lambda latents, times: noise - clean, noise, even_times(7))
    assert torch.allclose(ended, clean, atol=1e-5)
    each = torch.stack([torch.tensor([1.0, 0.8, 0.5]), torch.tensor([0.8, 0.5, 0.0])])
    parts = walk(lambda latents, times: noise - clean, mix(clean, noise, each[0]), each)
    assert torch.allclose(parts, mix(clean, noise, each[1]), atol=1e-5)


def test_one_token_that_counts_for_many_is_as_good_as_the_many():
    torch.manual_seed(0)
    network = build_transformer(**TINY).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(std=0.3)
    latents, words, pooled = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12), torch.randn(2, 6)
    times = torch.tensor([700.0, 100.0])

    def say(zeros):
        tokens = torch.cat([words, torch.zeros(2, zeros, 12)], dim=1)
        with torch.no_grad():
            return network(latents, tokens, pooled, times, return_dict=False)[0]

    long, without = say(256), say(1)
    network.set_attn_processor(CountedAttention(256))
    assert torch.allclose(say(1), long, atol=1e-4)
    assert not torch.allclose(without, long, atol=1e-2)
    network.set_attn_processor(CountedAttention(1))
    assert torch.allclose(say(1), without, atol=1e-4)


def test_a_fresh_network_says_nothing():
    network = build_transformer(**TINY)
    said = network(torch.randn(1, 4, 8, 8), torch.randn(1, 3, 12), torch.randn(1, 6), torch.ones(1), return_dict=False)
    assert said[0].abs().max() == 0
