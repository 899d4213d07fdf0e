"""What guidance methods are for, seen in pictures of the model that ships."""

from __future__ import annotations

import numpy as np
import pytest

from modules.contracts.guidance import GuidanceParams
from modules.contracts.request import PromptParams, SamplingParams
from modules.contracts.run import RunContext
from modules.pocket.evaluation.judge import judge
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import ask

RED = "a red circle on a white background"
BLUE = "a blue square on a yellow background"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


def draw(engine, words, cfg, negative="", **wishes):
    request = ask(
        prompt=PromptParams(words, negative),
        size=256,
        sampling=SamplingParams(12, "Euler", cfg_scale=cfg),
        guidance=GuidanceParams(**wishes),
    )
    return np.asarray(engine.generate(request, RunContext("job", lambda event: None)).pictures[0].image)


def saturation(picture):
    """Mean distance between the strongest and the weakest channel, 0 to 1."""
    return float(np.ptp(picture.astype(float), axis=2).mean() / 255)


def unevenness(picture):
    """Mean distance of a pixel from the flatter of two colours, that of the edge and that of the middle; 0 to 255."""
    pixels, half = picture.astype(float), picture.shape[0] // 2
    ground = np.median(np.concatenate([pixels[:8].reshape(-1, 3), pixels[-8:].reshape(-1, 3)]), axis=0)
    thing = np.median(pixels[half - 16 : half + 16, half - 16 : half + 16].reshape(-1, 3), axis=0)
    return float(np.minimum(*(np.abs(pixels - colour).mean(axis=2) for colour in (ground, thing))).mean())


def test_what_a_high_scale_does_to_colours_is_taken_back(engine):
    loud = draw(engine, RED, 15.0)
    for wishes in (
        {"mimic_scale": 3.0},
        {"mimic_scale": 3.0, "threshold_percentile": 99.0},
        {"apg": True, "apg_threshold": 5.0, "apg_momentum": 0.0},
    ):
        picture = draw(engine, RED, 15.0, **wishes)
        verdict = judge(picture)
        assert saturation(picture) < 0.95 * saturation(loud), wishes
        assert picture.std() < loud.std(), wishes
        assert (verdict.colour, verdict.shape) == ("red", "circle"), wishes


@pytest.mark.parametrize(("words", "shown"), [(RED, ("red", "circle")), (BLUE, ("blue", "square"))])
def test_a_scale_that_ends_early_leaves_colours_flat(engine, words, shown):
    loud, short = draw(engine, words, 15.0), draw(engine, words, 15.0, end=0.4)
    verdict = judge(short)
    assert unevenness(short) < 0.7 * unevenness(loud)
    assert (verdict.colour, verdict.shape) == shown


def test_a_negative_prompt_across_the_prompt_leaves_the_prompt_alone(engine):
    """A red square is not wanted: kept off in the ordinary way, the circle loses its shape, too."""
    seen = {strength: judge(draw(engine, RED, 5.0, "a red square", perp_neg=strength)).shape for strength in (0.0, 1.0)}
    assert seen[1.0] == "circle"
    assert seen[0.0] != "circle"
