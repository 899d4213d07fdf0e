"""The promise of the multiplexer with the model that ships, in fp32: together as alone, to 1e-4 of a value in 0..1.

The other tests of lanes compute in 64 bits, because the random weights of their tiny models turn a difference in the
seventh digit into one in the third. A trained model does not: what is compared here are the decoder's own numbers,
before they become eight bits.
"""

from __future__ import annotations

import pytest
import torch

from modules.contracts.events import StepDone
from modules.contracts.run import RunContext
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import CLOSE, ask, in_threads

JOBS = (
    ("a red circle on a white background", "Euler", 5),
    ("a blue square on a yellow background", "Euler a", 6),
    ("a green star on a white background", "DPM++ 2M", 7),
    ("two red circles on a white background", "DDIM", 8),
    ("a white heart on a black background", "UniPC", 9),
    ("a purple square on a white background", "Heun", 4),
    ("a yellow triangle on a blue background", "DPM++ 2M SDE", 10),
    ("a small red heart on a white background", "DPM++ SDE", 5),
)
DOOMED = 6


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def requests():
    """Eight jobs with different words, seeds, samplers and numbers of steps, strongly guided."""
    return [
        ask(text, seed=70 + place, steps=steps, size=128, sampler=sampler, cfg=7.0)
        for place, (text, sampler, steps) in enumerate(JOBS)
    ]


def draw(engine, request, context=None):
    return engine.generate(request, context or RunContext("job", previews=False))


def test_the_weights_compute_in_fp32(engine, requests):
    draw(engine, requests[0])
    placed = engine.resolve(requests[0]).placement
    assert {part.dtype for part in placed.values()} == {"float32"}


def test_eight_jobs_and_a_cancelled_one_draw_together_what_they_draw_alone(engine, requests, exact):
    alone = [exact(draw(engine, request)) for request in requests]
    engine.multiplexer.figures.reset()
    together = in_threads([lambda r=request: draw(engine, r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)
    assert engine.stats()["targets"]["unet"]["mean_lanes"] > 1

    context, seen = RunContext("doomed", previews=False), []

    def watch(event):
        if isinstance(event, StepDone):
            seen.append(event.step)
            if event.step == JOBS[DOOMED][2] // 2:
                context.cancelled.set()

    context.emit = watch
    actions = [lambda r=request: draw(engine, r) for request in requests]
    actions[DOOMED] = lambda: draw(engine, requests[DOOMED], context)
    together = in_threads(actions)
    assert together[DOOMED].interrupted
    assert together[DOOMED].pictures == ()
    assert seen == [1, 2, 3, 4, 5]
    for place, (lonely, result) in enumerate(zip(alone, together, strict=True)):
        if place != DOOMED:
            torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)
