"""Extensions that own a run."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from modules.contracts.request import CanvasParams, ImageParams, PromptParams
from tests.compat.conftest import PLAIN, pixels

pytestmark = pytest.mark.filterwarnings("ignore")


def test_ultimate_upscale_draws_twice_the_size_tile_by_tile(tried):
    studio = tried("ultimate-upscale-for-automatic1111")
    source = studio.draw()[0].image
    file = io.BytesIO()
    source.save(file, "PNG")
    request = replace(PLAIN, image=ImageParams(images=(file.getvalue(),), denoising_strength=0.3))
    values = {"tile_width": 64, "padding": 0, "mask_blur": 4, "upscaler": "Lanczos", "scale": 2.0}
    values["target_size_type"] = "Scale from image size"
    (drawn,) = studio.draw("Ultimate SD upscale", request, run=True, **values)
    (plain,) = studio.draw("Ultimate SD upscale", request, run=True, **values, type="None")
    assert drawn.image.size == plain.image.size == (128, 128)
    large = np.asarray(source.resize((128, 128), 1)).astype(float)
    assert np.abs(pixels(plain) - large).max() <= 1
    change = np.abs(pixels(drawn) - pixels(plain))
    quarters = [change[y : y + 64, x : x + 64].mean() for y in (0, 64) for x in (0, 64)]
    assert min(quarters) > 0.1
    assert change.mean() < 40
    assert "Ultimate SD upscale upscaler: Lanczos" in drawn.infotext


def test_one_button_prompt_draws_words_of_its_own(tried):
    studio = tried("OneButtonPrompt")
    request = replace(PLAIN, canvas=CanvasParams(64, 64, batch_count=2), prompt=PromptParams(""))
    first, second = studio.draw("One Button Prompt", request, run=True)
    assert first.prompt != second.prompt
    assert len(first.prompt) > 40
    assert not np.array_equal(pixels(first), pixels(second))
