"""Arithmetic of guidance, against the papers' formulas written once more in plain numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.processing_diffusers.guidance import make_rescale
from modules.processing_diffusers.guidance_methods import (
    Projection,
    along_with,
    quantile,
    rescaled,
    scale_at,
    share_along,
    threshold,
)

SHAPE = (3, 4, 6, 5)


def draw(seed, shape=SHAPE, spread=1.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread + 0.3


def scales(steps, shape="constant", start=0.0, end=1.0, scale=9.0):
    return [scale_at(step, steps, scale, window=(start, end), shape=shape) for step in range(1, steps + 1)]


def test_guidance_acts_from_start_to_end():
    assert scales(4) == [9.0] * 4
    assert scales(4, end=0.5) == [9.0, 9.0, 1.0, 1.0]
    assert scales(4, start=0.25) == [1.0, 9.0, 9.0, 9.0]
    assert scales(4, end=0.0) == [1.0] * 4
    assert scales(4, start=0.75, end=0.5) == [1.0] * 4
    assert scales(10, start=0.3, end=0.7) == [1.0] * 3 + [9.0] * 4 + [1.0] * 3
    assert scales(20, end=0.35) == [9.0] * 7 + [1.0] * 13


def test_schedules_go_between_one_and_the_scale_within_the_window():
    assert scales(5, "linear up") == [1, 3, 5, 7, 9]
    assert scales(5, "linear down") == [9, 7, 5, 3, 1]
    cosine = [1 + 4 * (1 - math.cos(math.pi * place / 4)) for place in range(5)]
    assert scales(5, "cosine up") == pytest.approx(cosine)
    assert scales(5, "cosine down") == pytest.approx(cosine[::-1])
    assert scales(5, "linear up", start=0.2, end=0.8) == [1, 1, 5, 9, 1]
    assert scales(1, "linear up") == scales(1, "cosine down") == [9.0]


@given(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["constant", "linear up", "cosine down"]))
def test_no_scale_lies_outside_of_one_and_the_given(steps, start, end, shape):
    found = scales(steps, shape, start, end)
    assert all(1 <= one <= 9 + 1e-9 for one in found)
    if shape == "linear up":
        inside = [one for one in found if one > 1]
        assert inside == sorted(inside)


@pytest.mark.parametrize("share", [0.0, 0.37, 0.9, 0.995, 1.0])
def test_the_quantile_is_numpys(share):
    values = draw(1)
    wanted = np.quantile(values.numpy(), share, axis=-1, keepdims=True)
    np.testing.assert_allclose(quantile(values, share).numpy(), wanted, rtol=0, atol=1e-12)


def plain_threshold(clean, mimic, percentile):
    found = np.empty_like(clean)
    for picture, channel in np.ndindex(clean.shape[:2]):
        values, low = clean[picture, channel], mimic[picture, channel]
        reach, centre = np.abs(low - low.mean()).max(), values.mean()
        limit = max(reach, np.percentile(np.abs(values - centre), percentile))
        cut = np.minimum(np.maximum(values - centre, -limit), limit)
        found[picture, channel] = cut / limit * reach + centre
    return found


@pytest.mark.parametrize("percentile", [100.0, 97.5, 80.0, 50.0])
@pytest.mark.parametrize("spread", [5.0, 0.2])
def test_thresholding_is_what_it_is_in_numpy(percentile, spread):
    clean, mimic = draw(1, spread=spread), draw(2)
    wanted = plain_threshold(clean.numpy(), mimic.numpy(), percentile)
    np.testing.assert_allclose(threshold(clean, mimic, percentile).numpy(), wanted, rtol=0, atol=1e-12)


def test_thresholding_gives_each_channel_the_reach_of_the_lower_scale_and_keeps_its_mean():
    clean, mimic = draw(3, spread=8.0), draw(4)

    def reach(values):
        return (values.flatten(2) - values.flatten(2).mean(2, keepdim=True)).abs().amax(2)

    found = threshold(clean, mimic, 100)
    torch.testing.assert_close(reach(found), reach(mimic))
    torch.testing.assert_close(found.mean((2, 3)), clean.mean((2, 3)))
    flat = torch.full(SHAPE, 2.0)
    assert torch.equal(threshold(flat, flat, 100), flat)


def plain_projection(pushes, clean, eta, longest, beta):
    """Algorithm 1 of the paper for one picture, one push after the other."""
    average, found = np.zeros_like(pushes[0]), None
    for push in pushes:
        average = push + beta * average
        length = np.linalg.norm(average)
        found = average if longest == 0 else average * min(1, longest / length)
        unit = clean / np.linalg.norm(clean)
        parallel = np.sum(found * unit) * unit
        found = found - parallel + eta * parallel
    return found


@pytest.mark.parametrize(("eta", "longest", "beta"), [(0, 15, -0.5), (0.3, 2, 0.5), (1, 0, 0), (0, 0, -0.75)])
def test_projection_is_the_papers_picture_by_picture(eta, longest, beta):
    pushes, clean = [draw(seed) for seed in (1, 2, 3)], draw(9)
    projection = Projection(eta, longest, beta)
    found = [projection(push, clean) for push in pushes][-1]
    for place in range(SHAPE[0]):
        wanted = plain_projection([push[place].numpy() for push in pushes], clean[place].numpy(), eta, longest, beta)
        np.testing.assert_allclose(found[place].numpy(), wanted, rtol=0, atol=1e-10)


def test_projection_with_nothing_taken_away_is_the_push_itself():
    push, clean = draw(1), draw(2)
    torch.testing.assert_close(Projection(1.0, 0.0, -0.5)(push, clean), push, rtol=0, atol=1e-12)
    across = Projection(0.0, 0.0, 0.0)(push, clean)
    torch.testing.assert_close((across * clean).sum((1, 2, 3)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9)


def test_the_share_along_is_that_of_least_squares_and_nothing_along_nothing():
    one, other = draw(1), draw(2)
    for place in range(SHAPE[0]):
        (wanted,), *_ = np.linalg.lstsq(other[place].reshape(-1, 1).numpy(), one[place].reshape(-1).numpy(), rcond=None)
        assert float(share_along(one, other)[place]) == pytest.approx(wanted)
    assert torch.equal(along_with(one, torch.zeros(SHAPE)), torch.zeros(SHAPE, dtype=torch.float64))


def test_rescaling_by_the_whole_amount_gives_the_deviation_of_the_answer_to_the_prompt():
    guided, bound = draw(1, spread=6.0), draw(2)
    torch.testing.assert_close(rescaled(guided, bound, 1.0).std((1, 2, 3)), bound.std((1, 2, 3)))
    assert torch.equal(rescaled(guided, bound, 0.0), guided)
    both = make_rescale(5.0, 0.7)(torch.cat([guided, bound]))
    torch.testing.assert_close(both[:3], rescaled(guided + 5 * (bound - guided), bound, 0.7))
