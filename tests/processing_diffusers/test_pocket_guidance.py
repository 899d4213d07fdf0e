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
BLUE = "a blue square on a checkerboard"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


def draw(engine, words, cfg, negative="", **wishes):
    request = ask(
        prompt=PromptParams(words, negative),
        size=128,
        sampling=SamplingParams(12, "Euler", cfg_scale=cfg),
        guidance=GuidanceParams(**wishes),
    )
    return np.asarray(engine.generate(request, RunContext("job", lambda event: None)).pictures[0].image)


def saturation(picture):
    """Mean distance between the strongest and the weakest channel, 0 to 1."""
    return float(np.ptp(picture.astype(float), axis=2).mean() / 255)


@pytest.mark.parametrize(("words", "shown"), [(RED, ("red", "circle")), (BLUE, ("blue", "square"))])
def test_what_a_high_scale_saturates_is_taken_back(engine, words, shown):
    loud = draw(engine, words, 15.0)
    for wishes in (
        {"mimic_scale": 3.0},
        {"mimic_scale": 3.0, "threshold_percentile": 99.0},
        {"apg": True, "apg_threshold": 5.0, "apg_momentum": 0.0},
        {"end": 0.4},
    ):
        picture = draw(engine, words, 15.0, **wishes)
        verdict = judge(picture)
        assert saturation(picture) < 0.95 * saturation(loud), wishes
        assert picture.std() < loud.std(), wishes
        assert (verdict.colour, verdict.shape) == shown, wishes


def test_a_negative_prompt_across_the_prompt_leaves_the_prompt_alone(engine):
    """A red square is not wanted: kept off in the ordinary way, the circle loses its shape, too."""
    seen = {strength: judge(draw(engine, RED, 5.0, "a red square", perp_neg=strength)).shape for strength in (0.0, 1.0)}
    assert seen[1.0] == "circle"
    assert seen[0.0] != "circle"
