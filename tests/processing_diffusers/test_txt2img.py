"""Text to image."""

from __future__ import annotations

import numpy as np

from modules.contracts.events import ImageReady, StageStarted, StepDone
from tests.processing_diffusers.conftest import ask


def pixels(picture):
    return np.asarray(picture.image, np.int16)


def test_a_prompt_becomes_a_picture_of_the_size_asked_for(bench):
    result = bench.draw(ask())
    assert [picture.image.size for picture in result.pictures] == [(64, 64)]
    assert [event.step for event in bench.events if isinstance(event, StepDone)] == [1, 2, 3]
    assert sum(isinstance(event, ImageReady) for event in bench.events) == 1
    stages = [event.stage for event in bench.events if isinstance(event, StageStarted)]
    assert stages[-4:] == ["encode", "denoise", "decode", "save"]


def test_the_same_seed_draws_the_same_picture_and_another_seed_another(bench):
    first, again, other = (bench.draw(ask(seed=seed)).pictures[0] for seed in (7, 7, 8))
    assert (pixels(first) == pixels(again)).all()
    assert (pixels(first) != pixels(other)).any()
