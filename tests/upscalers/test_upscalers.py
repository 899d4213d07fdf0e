"""The table of upscalers, and that each makes things larger in its own way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.errors import InvalidRequest
from modules.upscalers.image import enlarge_image
from modules.upscalers.latent import enlarge_latents
from modules.upscalers.table import UPSCALERS, find_upscaler

LATENT = [entry.name for entry in UPSCALERS if entry.latent]
PIXEL = [entry.name for entry in UPSCALERS if not entry.latent]


def test_names_are_found_in_any_case_and_unknown_ones_refused_with_the_list():
    assert find_upscaler(" lanczos").name == "Lanczos"
    with pytest.raises(InvalidRequest, match=r"'ESRGAN'.*Latent \(nearest-exact\)"):
        find_upscaler("ESRGAN")


@pytest.mark.parametrize("name", LATENT)
def test_latents_reach_the_size_and_keep_their_mean(name):
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    large = enlarge_latents(latents, (16, 24), name)
    assert large.shape == (2, 4, 16, 24)
    assert abs(float(large.mean() - latents.mean())) < 0.05


def test_latent_modes_differ():
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    results = [enlarge_latents(latents, (13, 13), name) for name in ("Latent", "Latent (bicubic)", "Latent (nearest)")]
    assert not any(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("name", PIXEL)
def test_pictures_reach_the_size(name):
    assert enlarge_image(Image.new("RGB", (8, 6)), (16, 12), name).size == (16, 12)


def test_nearest_repeats_pixels():
    small = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    large = np.asarray(enlarge_image(Image.fromarray(small), (8, 8), "Nearest"))
    assert (large[::2, ::2] == small).all()
