"""The tutor says the velocity that its base means, at the noise and scale of flow matching."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from modules.pocket.stages.base import open_base
from modules.pocket.stages.tutor import Tutor


class Knower:
    """A denoiser of one picture: what it says follows from where it is asked, as if it knew that picture."""

    def __init__(self, picture, levels, velocity):
        self.picture, self.levels, self.velocity = picture, levels.double(), velocity
        self.asked = []

    def __call__(self, latents, moments, encoder_hidden_states, return_dict):
        low = moments.floor().long().clamp(0, len(self.levels) - 2)
        ratios = ((1 - self.levels) / self.levels).log()
        ratio = torch.lerp(ratios[low], ratios[low + 1], (moments - low).double()).exp()[:, None, None, None]
        kept, lost = (1 / (1 + ratio)).sqrt(), (ratio / (1 + ratio)).sqrt()
        noise = (latents - kept * self.picture) / lost
        self.asked.append(encoder_hidden_states)
        return (kept * noise - lost * self.picture if self.velocity else noise,)


@pytest.fixture
def base(tiny_base):
    return open_base(tiny_base)


@pytest.mark.parametrize("velocity", [True, False])
def test_of_one_picture_it_says_noise_less_picture(base, velocity):
    torch.manual_seed(0)
    picture, noise = torch.randn(2, 5, 4, 8, 8)
    knower = Knower(picture, base.levels, velocity)
    tutor = Tutor(replace(base, unet=knower, velocity=velocity))
    times = torch.tensor([0.06, 0.2, 0.5, 0.8, 0.9])
    share = times[:, None, None, None]
    said = tutor.velocity((1 - share) * picture + share * noise, times, base.tokens(["a"] * 5))
    assert torch.allclose(said, noise - picture, atol=2e-2)


def test_times_rise_with_the_noise_and_stay_within_the_base_s(base):
    tutor = Tutor(base)
    moments = tutor.moments(torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]))
    assert (moments.diff() > 0).all()
    assert moments[0] == 0
    assert moments[-1] == len(base.levels) - 1
    level = base.levels[round(float(moments[2]))]
    assert abs(float(level) - 0.5) < 0.01  # as much noise as picture


def test_guidance_leads_away_from_the_empty_text(base):
    ids, latents, times = base.tokens(["a red circle"]), torch.randn(1, 4, 8, 8), torch.tensor([0.6])
    plain = Tutor(base).velocity(latents, times, base.tokens([""]))
    bound = Tutor(base).velocity(latents, times, ids)
    guided = Tutor(base, 3.0).velocity(latents, times, ids)
    assert not torch.allclose(plain, bound)
    assert torch.allclose(guided, plain + 3 * (bound - plain), atol=1e-2)
    assert torch.allclose(Tutor(base, 3.0).velocity(latents, times, base.tokens([""])), plain, atol=1e-3)
