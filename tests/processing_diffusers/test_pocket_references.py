"""What references are for, seen in pictures of the model that ships."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from modules.contracts.control import REFERENCE_ADAIN, REFERENCES, ControlParams, ControlUnit
from modules.contracts.request import PromptParams, SamplingParams
from modules.contracts.run import RunContext
from modules.pocket.evaluation.judge import judge
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import ask, encode


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


def draw(engine, words, *units, seed=1):
    request = ask(
        prompt=PromptParams(words, ""),
        size=256,
        seed=seed,
        sampling=SamplingParams(12, "Euler", cfg_scale=3.0),
        control=ControlParams(units),
    )
    return np.asarray(engine.generate(request, RunContext("job", lambda event: None)).pictures[0].image)


def palette(picture):
    """The mean colour."""
    return picture.reshape(-1, 3).mean(axis=0)


@pytest.mark.parametrize("words", ["a blue square on a green background", "a red triangle on a yellow background"])
def test_a_picture_takes_the_colours_of_what_it_looks_at(engine, words):
    shown, plain = draw(engine, words, seed=9), draw(engine, "a circle")
    away = np.linalg.norm(palette(plain) - palette(shown))
    one = ControlUnit(True, image=encode(Image.fromarray(shown)))
    for module in sorted(REFERENCES - {REFERENCE_ADAIN}):
        found = draw(engine, "a circle", replace(one, module=module, weight=2.0))
        assert np.linalg.norm(palette(found) - palette(shown)) < 0.3 * away, module
        assert judge(found).ground == judge(shown).ground != judge(plain).ground, module
        assert judge(found).shape == "circle", module
    shifted = draw(engine, "a circle", replace(one, module=REFERENCE_ADAIN, weight=2.0))
    assert np.abs(shifted.astype(int) - plain).mean() > 3  # it moves features, which here are not yet a palette
    assert judge(shifted).shape == "circle"
    idle = draw(engine, "a circle", replace(one, module="reference_adain+attn", weight=0.0))
    assert np.array_equal(idle, plain)
