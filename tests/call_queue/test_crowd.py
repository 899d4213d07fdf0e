"""Many callers, many lanes, cancellations at any time: every job ends exactly once, and everybody agrees how."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from modules.contracts.errors import StudioError
from modules.contracts.events import TERMINAL, JobCancelled, JobDone, JobFailed, JobQueued, JobStarted
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams

STATES = {JobDone: "done", JobFailed: "failed", JobCancelled: "cancelled"}


def test_every_job_ends_exactly_once(make_queue, engine, store, bus, pictures):
    queue = make_queue(lanes=6)
    engine.fail["fails"] = StudioError("No.")
    engine.fail["breaks"] = ValueError("no")
    heard, lock = [], threading.Lock()

    def listener(event):
        with lock:
            heard.append(event)

    bus.subscribe(listener)
    queue.start()

    def live(number):
        dice = random.Random(number)
        words = dice.choice(["fine", "fine", "fine", "fails", "breaks"])
        canvas = CanvasParams(batch_count=dice.choice([1, 3]), width=16, height=16)
        wanted = GenerationRequest(PromptParams(text=words), canvas, sampling=SamplingParams(steps=3))
        handle = queue.submit(wanted, f"owner {number % 3}")
        if dice.random() < 0.4:
            queue.cancel(handle.id)
        try:
            result = handle.wait(60)
        except StudioError:
            return handle.id, "failed", 0
        return handle.id, "cancelled" if result.interrupted else "done", len(result.pictures)

    with ThreadPoolExecutor(12) as crowd:
        told = list(crowd.map(live, range(60)))

    by_job = {}
    for event in heard:
        by_job.setdefault(event.job_id, []).append(event)
    for job_id, state, count in told:
        events = by_job[job_id]
        record = queue.get(job_id)
        assert record.state == state == STATES[type(events[-1])]
        assert Counter(isinstance(event, TERMINAL) for event in events)[True] == 1
        if state != "failed":
            assert record.pictures == count == sum(job == job_id for job, _ in pictures.rows)
        started = [isinstance(event, JobStarted) for event in events]
        if any(started):
            assert isinstance(events[0], JobQueued)
            assert started.index(True) == 1
    assert {state for _, state, _ in told} == {"done", "failed", "cancelled"}
    assert queue.pending() == 0
    assert queue.running() == []
