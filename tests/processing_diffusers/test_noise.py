"""Noise depends on the picture's own seeds and on nothing else."""

from __future__ import annotations

import torch

from modules.contracts.plan import PicturePlan
from modules.processing_diffusers.noise import (
    NoisePlan,
    draw_more,
    draw_noise,
    interpolate_on_sphere,
    place_in_middle,
)

SHAPE = (4, 8, 8)


def picture(seed, subseed=0):
    return PicturePlan(0, "", "", seed, subseed)


def test_it_is_what_plain_diffusers_would_draw():
    noise, generators = draw_noise([picture(7)], NoisePlan(SHAPE))
    wanted = torch.Generator("cpu").manual_seed(7)
    assert torch.equal(noise[0], torch.randn(SHAPE, generator=wanted))
    assert torch.equal(torch.randn(3, generator=generators[0]), torch.randn(3, generator=wanted))


def test_neighbours_play_no_part():
    alone, _ = draw_noise([picture(2)], NoisePlan(SHAPE))
    batch, _ = draw_noise([picture(1), picture(2), picture(3)], NoisePlan(SHAPE))
    assert torch.equal(batch[1], alone[0])


def test_streams_of_a_seed_differ():
    first = draw_noise([picture(1)], NoisePlan(SHAPE))[0]
    assert not torch.equal(first, draw_more([picture(1)], SHAPE, "fill"))


def test_interpolation_ends_at_both_noises_and_keeps_the_variance():
    first, second = (torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert torch.equal(interpolate_on_sphere(first, second, 0), first)
    assert torch.equal(interpolate_on_sphere(first, second, 1), second)
    assert abs(float(interpolate_on_sphere(first, second, 0.5).std()) - 1) < 0.05
    torch.testing.assert_close(interpolate_on_sphere(first, first.clone(), 0.3), first)


def test_noise_of_another_size_lies_in_the_middle():
    small, large = torch.ones(1, 2, 4), torch.zeros(1, 4, 2)
    placed = place_in_middle(small, large)
    assert placed[0].tolist() == [[0, 0], [1, 1], [1, 1], [0, 0]]


def test_a_resized_seed_has_the_noise_it_is_known_from():
    known, _ = draw_noise([picture(5)], NoisePlan(SHAPE))
    resized, _ = draw_noise([picture(5)], NoisePlan((4, 8, 16), source=(8, 8)))
    assert torch.equal(resized[0, :, :, 4:12], known[0])
