"""Batches of one job are drawn at the same time: the same pictures, in order, one forward where there were eight."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from modules.contracts.errors import StudioError
from modules.contracts.events import ImageReady, StepDone
from modules.contracts.request import CanvasParams
from modules.contracts.run import RunContext
from tests.processing_diffusers.conftest import CLOSE, ask

EIGHT = CanvasParams(width=64, height=64, batch_size=1, batch_count=8)


def wish(**changes):
    return replace(ask(seed=40, steps=4), canvas=EIGHT, **changes)


def forwards(made, exact=None):
    """Forwards of the denoiser since the figures were reset."""
    count = made.engine.multiplexer.stats()["targets"]["unet"]["forwards"]
    assert exact in (None, count)
    return count


def values(result):
    return [picture.image.exact for picture in result.pictures]


def test_eight_batches_are_what_they_were_and_fewer_forwards(bench, one_lane, exact):
    one_lane.engine.multiplexer.figures.reset()
    after_another = one_lane.draw(wish())
    bench.engine.multiplexer.figures.reset()
    together = bench.draw(wish())
    assert [picture.index for picture in together.pictures] == list(range(8))
    assert [picture.seed for picture in together.pictures] == [40 + place for place in range(8)]
    for mine, theirs in zip(values(together), values(after_another), strict=True):
        assert (mine - theirs).abs().max() <= CLOSE
    assert forwards(one_lane, exact=8 * 4) > 3 * forwards(bench)


def test_pictures_and_progress_come_in_order(bench):
    bench.draw(wish())
    ready = [event.picture.index for event in bench.events if isinstance(event, ImageReady)]
    shares = [event.progress for event in bench.events if isinstance(event, StepDone)]
    assert ready == list(range(8))
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


def test_a_cancelled_job_stops_in_all_its_batches(bench):
    context = RunContext("job", previews=False)
    seen = []

    def emit(event):
        if isinstance(event, StepDone):
            seen.append(event)
            context.cancelled.set()

    context.emit = emit
    result = bench.draw(wish(), context=context)
    assert result.interrupted
    assert result.pictures == ()
    assert len(seen) <= 2
    assert threading.active_count() < 50


def test_skipping_leaves_the_batch_that_is_shown(bench):
    context = RunContext("job", previews=False)
    skipped = []

    def emit(event):
        if isinstance(event, StepDone) and not skipped:
            skipped.append(event.batch)
            context.skipped.set()

    context.emit = emit
    result = bench.draw(wish(), context=context)
    assert skipped == [0]
    assert [picture.index for picture in result.pictures] == list(range(1, 8))
    assert result.notes[-1] == "Batch 1 was skipped."


def test_a_batch_that_fails_leaves_the_finished_ones_to_whoever_keeps_them(bench, monkeypatch):
    from modules.processing_diffusers import batch

    plain, kept = batch.finish_picture, []

    def finish(job, picture, *rest, **named):
        if picture.index == 5:
            raise ValueError("no")
        return plain(job, picture, *rest, **named)

    monkeypatch.setattr(batch, "finish_picture", finish)
    with pytest.raises(StudioError, match="ValueError"):
        bench.draw(wish(), context=RunContext("job", finished=kept.append, previews=False))
    assert sorted(picture.index for picture in kept) == [0, 1, 2, 3, 4, 6, 7]


def test_a_merged_call_holds_no_more_than_the_memory_plan_allows(bench):
    bench.settings.update({"max_batch": 4})
    try:
        result = bench.draw(wish())
    finally:
        bench.settings.update({"max_batch": 16})
    assert len(result.pictures) == 8
