"""Extensions that work on finished pictures, in jobs that make them larger."""

from __future__ import annotations

import io

import numpy as np
import pytest

from modules.contracts.enlarging import EnlargeParams
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse
from tests.compat.conftest import pixels

pytestmark = pytest.mark.filterwarnings("ignore")


def test_pixelart_makes_blocks_of_one_colour_and_few_of_these(tried):
    studio = tried("sd-webui-pixelart")
    file = io.BytesIO()
    studio.draw()[0].image.save(file, "PNG")
    wish = EnlargeParams((file.getvalue(),), upscaler="Nearest", scale=2)

    def worked(**values):
        use = ScriptUse("Pixel art", tuple(GivenValue(name, value) for name, value in values.items()))
        request = GenerationRequest(enlarge=wish, scripts=ScriptParams((use,)))
        result = studio.studio.queue.submit(request, "ada").wait(120)
        assert result.notes == ()
        return pixels(result.pictures[0])

    plain, blocks = worked(), worked(enabled=True, downscale=9)
    assert plain.shape == blocks.shape == (128, 128, 3)
    assert np.array_equal(plain[::2, ::2], plain[1::2, 1::2])
    assert len(np.unique(blocks.reshape(-1, 3), axis=0)) < len(np.unique(plain.reshape(-1, 3), axis=0)) / 4
    few = worked(enabled=True, downscale=9, enable_color_limit=True, number_of_colors=4)
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 4
