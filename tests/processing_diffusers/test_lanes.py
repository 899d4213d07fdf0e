"""Concurrent jobs draw what they draw alone, and do not touch one another."""

from __future__ import annotations

import threading

import pytest
import torch
from PIL import Image

from modules.contracts.errors import StudioError
from modules.contracts.events import StepDone
from modules.contracts.request import CanvasParams, ImageParams
from modules.contracts.run import RunContext
from tests.processing_diffusers.conftest import CLOSE, ask, draw_together, encode, held_back, in_threads

WORDS = ("a red circle", "a blue square", "a green star", "two dots", "a ring", "grey sky", "a line", "nothing")


def eight():
    """Different words, seeds, samplers and step counts."""
    samplers = ("Euler", "Euler a", "DPM++ 2M", "DDIM")
    return [
        ask(text, seed=50 + place, steps=3 + place, sampler=samplers[place % 4]) for place, text in enumerate(WORDS)
    ]


def test_eight_concurrent_jobs_draw_what_they_draw_alone(bench, exact):
    requests = eight()
    draw_together(bench, exact, requests)


@pytest.mark.parametrize("part", ["text_encoder", "vae_encode", "unet", "vae_decode"])
def test_calls_of_every_part_are_merged_and_give_the_pictures_of_lone_jobs(bench, exact, part):
    shades = [Image.new("RGB", (64, 64), (40 * place, 90, 200 - 40 * place)) for place in range(4)]
    requests = [
        ask(f"part {part}, shade {place}", seed=place, steps=4, image=ImageParams((encode(shade),), 0.6))
        for place, shade in enumerate(shades)
    ]
    figures = bench.engine.multiplexer.figures
    figures.reset()
    with held_back(bench.engine.multiplexer, {part}, len(requests)):
        together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    row = figures.report()["targets"][part]
    assert row["calls"] - row["forwards"] >= len(requests) - 1
    for request, result in zip(requests, together, strict=True):
        torch.testing.assert_close(exact(bench.draw(request)), exact(result), rtol=0, atol=CLOSE)


def test_a_job_cancelled_half_way_leaves_the_others_untouched(bench, exact):
    requests = eight()
    alone = [exact(bench.draw(request)) for request in requests]
    context = RunContext("doomed", previews=False)
    seen = []

    def watch(event):
        if isinstance(event, StepDone):
            seen.append(event.step)
            if event.step == 4:
                context.cancelled.set()

    context.emit = watch
    actions = [lambda r=request: bench.draw(r) for request in requests]
    actions[5] = lambda: bench.draw(requests[5], context=context)
    together = in_threads(actions)
    assert together[5].interrupted
    assert together[5].pictures == ()
    assert seen == [1, 2, 3, 4]
    for place, (lonely, result) in enumerate(zip(alone, together, strict=True)):
        if place != 5:
            torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)


def test_pictures_finished_before_a_cancellation_are_kept(one_lane):
    context = RunContext("job", previews=False)

    def watch(event):
        if isinstance(event, StepDone) and event.batch == 1:
            context.cancelled.set()

    context.emit = watch
    result = one_lane.draw(ask(count=3), context=context)
    assert (len(result.pictures), result.interrupted) == (1, True)


def test_a_skipped_batch_is_left_and_the_next_goes_on(one_lane):
    context = RunContext("job", previews=False)
    steps = []

    def watch(event):
        if isinstance(event, StepDone):
            steps.append((event.batch, event.step))
            if event.batch == 1:
                context.skipped.set()

    context.emit = watch
    result = one_lane.draw(ask(count=3), context=context)
    assert [picture.index for picture in result.pictures] == [0, 2]
    assert steps == [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1), (2, 2), (2, 3)]
    assert not result.interrupted


def test_a_job_cancelled_before_it_began_draws_nothing(bench):
    context = RunContext("job", previews=False)
    context.cancelled.set()
    result = bench.draw(ask(), context=context)
    assert (result.pictures, result.interrupted) == ((), True)


def test_a_sink_that_fails_ends_only_its_own_job(bench):
    def broken(picture):
        raise StudioError("The disk is full.")

    context = RunContext("job", finished=broken, previews=False)
    with pytest.raises(StudioError, match="disk is full"):
        bench.draw(ask(), context=context)
    assert len(bench.draw(ask()).pictures) == 1


def test_tiles_and_ordinary_pictures_drawn_together_stay_apart(bench, exact):
    plain, tile = ask(seed=3, steps=5), ask(seed=3, steps=5, canvas=CanvasParams(64, 64, tiling=True))
    alone = [exact(bench.draw(request)) for request in (plain, tile)]
    assert (alone[0] != alone[1]).any()
    together = in_threads([lambda r=request: bench.draw(r) for request in (plain, tile) * 3])
    for place, result in enumerate(together):
        torch.testing.assert_close(exact(result), alone[place % 2], rtol=0, atol=CLOSE)


def test_lanes_leave_no_threads_behind(bench):
    before = threading.active_count()
    in_threads([lambda s=seed: bench.draw(ask(seed=s)) for seed in range(4)])
    assert threading.active_count() <= before


def test_jobs_with_long_and_short_prompts_draw_in_one_call(bench, exact):
    words = "a red circle on a blue square under a green star, "
    requests = [ask(words * count, seed=count, steps=3) for count in (1, 8, 16)]
    figures = bench.engine.multiplexer.figures
    figures.reset()
    with held_back(bench.engine.multiplexer, {"unet"}, len(requests)):
        together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    assert figures.report()["targets"]["unet"]["mean_lanes"] > 1.5
    for request, result in zip(requests, together, strict=True):
        torch.testing.assert_close(exact(bench.draw(request)), exact(result), rtol=0, atol=CLOSE)
