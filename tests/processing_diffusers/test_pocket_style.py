"""What style transfer is for, seen in pictures of the model that ships: the style's palette, the content's shapes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from modules.contracts.request import ImageParams, PromptParams, SamplingParams, StyleParams
from modules.contracts.run import RunContext
from modules.contracts.style import SHARED, STATISTICS
from modules.pocket.evaluation.edges import edges_f1, find_edges
from modules.pocket.evaluation.judge import judge
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import ask, encode


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


def draw(engine, words, *, seed=4, **groups):
    sampling = SamplingParams(12, "Euler", cfg_scale=3.0)
    request = ask(prompt=PromptParams(words, ""), size=256, seed=seed, sampling=sampling, **groups)
    return np.asarray(engine.generate(request, RunContext("job", lambda event: None)).pictures[0].image)


def png(picture):
    return encode(Image.fromarray(picture))


def palette(picture):
    """The mean colour."""
    return picture.reshape(-1, 3).mean(axis=0)


def test_a_picture_keeps_its_edges_and_takes_the_palette_of_the_style(engine):
    content = draw(engine, "a red circle on a white background", seed=3)
    style = draw(engine, "a blue square on a green background", seed=9)
    away = np.linalg.norm(palette(content) - palette(style))

    def styled(method, hold, strength=1.0):
        return draw(
            engine,
            "a circle",
            image=ImageParams((png(content),)),
            style=StyleParams(method, strength, hold, image=png(style)),
        )

    def kept(picture):
        return edges_f1(find_edges(picture), find_edges(content))

    for method, least in ((STATISTICS, 0.9), (SHARED, 0.75)):
        firm = styled(method, 1.0)
        assert kept(firm) > least, method
        assert np.linalg.norm(palette(firm) - palette(style)) < 0.2 * away, method
        assert (judge(firm).shape, judge(firm).ground) == ("circle", "green"), method
    loose = styled(SHARED, 0.0)
    assert kept(loose) < 0.6 * kept(styled(SHARED, 1.0))
    assert judge(loose).ground == "green"
    faint = styled(STATISTICS, 1.0, 0.2)
    assert np.linalg.norm(palette(faint) - palette(content)) < 0.4 * away
