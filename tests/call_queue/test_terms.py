"""Deadlines, time limits, keys, priorities and partial pictures: the terms of a job, seen through the queue."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modules.call_queue.store import JobStore
from modules.contracts.errors import InvalidRequest, TimedOut
from modules.contracts.events import JobFailed
from modules.contracts.jobs import JobTerms
from modules.contracts.request import CanvasParams, GenerationRequest, OutputParams, PromptParams, SamplingParams


def wish(text="a cat", **others):
    return GenerationRequest(prompt=PromptParams(text=text), sampling=SamplingParams(steps=3), **others)


class Clock:
    """Seconds since 1970 that go on when they are told to."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now

    def moment(self, seconds):
        return datetime.fromtimestamp(self.now + seconds, UTC)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(database, clock):
    return JobStore(database, clock=clock)


def test_the_same_key_gives_the_same_job_also_after_a_restart(make_queue, engine):
    first = make_queue()
    engine.hold()
    terms = JobTerms(idempotency_key="order 1")
    handle = first.submit(wish(), "ann", terms=terms)
    assert first.submit(wish(), "ann", terms=terms).id == handle.id
    assert first.submit(wish(), "bob", terms=terms).id != handle.id
    first.stop(5)
    engine.let_go()
    second = make_queue()
    second.start()
    again = second.submit(wish(), "ann", terms=terms)
    assert again.id == handle.id
    assert len(again.wait(10).pictures) == 1
    assert second.submit(wish(), "ann", terms=terms).id == handle.id
    assert len(second.list(owner="ann")) == 1


def test_a_key_stands_for_one_request(queue):
    terms = JobTerms(idempotency_key="order 1")
    queue.submit(wish(), "ann", terms=terms)
    with pytest.raises(InvalidRequest, match="'order 1' was used for another request"):
        queue.submit(wish("a dog"), "ann", terms=terms)
    assert len(queue.list()) == 1


def test_two_who_are_quick_with_one_key_get_one_job(make_queue):
    queue = make_queue()
    start, ids = threading.Barrier(6), []

    def submit():
        start.wait()
        ids.append(queue.submit(wish(), "ann", terms=JobTerms(idempotency_key="k")).id)

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == len(queue.list()) == 1


def test_terms_that_cannot_be_kept_are_refused(queue, clock):
    wrong = [
        (JobTerms(priority=11), "allowed is -10 to 10"),
        (JobTerms(deadline=clock.moment(-1)), "has passed"),
        (JobTerms(deadline=datetime(2100, 1, 1)), "no time zone"),
        (JobTerms(timeout=0), "above 0"),
        (JobTerms(timeout=float("nan")), "above 0"),
        (JobTerms(idempotency_key=""), "1 to 128 printable"),
    ]
    for terms, words in wrong:
        with pytest.raises(InvalidRequest, match=words):
            queue.submit(wish(), "ann", terms=terms)
    assert queue.list() == []


def test_a_waiting_job_ends_when_its_deadline_has_passed(queue, engine, bus, clock):
    engine.hold()
    queue.submit(wish(), "ann")
    assert engine.entered.acquire(timeout=10)
    heard = []
    bus.subscribe(heard.append)
    late = queue.submit(wish(), "ann", terms=JobTerms(deadline=clock.moment(60)))
    safe = queue.submit(wish(), "ann", terms=JobTerms(deadline=clock.moment(600)))
    queue.tend()
    assert queue.get(late.id).state == "queued"
    clock.now += 61
    queue.tend()
    with pytest.raises(TimedOut, match="by its deadline"):
        late.wait(0)
    assert (queue.get(late.id).state, queue.get(late.id).error_kind) == ("failed", "timed_out")
    assert [event.job_id for event in heard if isinstance(event, JobFailed)] == [late.id]
    engine.let_go()
    assert len(safe.wait(10).pictures) == 1


@pytest.mark.parametrize("terms", ["timeout", "deadline"])
def test_a_running_job_is_stopped_when_its_time_is_up(queue, engine, clock, terms):
    engine.hold(batch=1)
    limit = JobTerms(timeout=30) if terms == "timeout" else JobTerms(deadline=clock.moment(30))
    handle = queue.submit(wish(canvas=CanvasParams(batch_count=3)), "ann", terms=limit)
    for _ in range(2):
        assert engine.entered.acquire(timeout=10)
    queue.tend()
    clock.now += 31
    queue.tend()
    with pytest.raises(TimedOut):
        handle.wait(10)
    record = queue.get(handle.id)
    assert (record.state, record.error_kind, record.pictures) == ("failed", "timed_out", 1)
    engine.let_go()
    assert len(queue.submit(wish(), "ann").wait(10).pictures) == 1


def test_a_time_limit_comes_due_by_itself(make_queue, engine, store):
    store.clock = time.time
    queue = make_queue()
    queue.start()
    engine.hold()
    handle = queue.submit(wish(), "ann", terms=JobTerms(timeout=0.05))
    with pytest.raises(TimedOut, match=r"after the 0\.05 seconds"):
        handle.wait(20)


def test_priorities_and_moves_change_the_order_within_an_owner_only(make_queue, engine):
    queue = make_queue()
    for name in ("a1", "a2", "a3", "a4"):
        queue.submit(wish(name), "ann", job_id=name)
    for name in ("b1", "b2"):
        queue.submit(wish(name), "bob", job_id=name)
    queue.submit(wish("a5"), "ann", job_id="a5", terms=JobTerms(priority=3))
    assert queue.move("a4", before="a2")
    assert queue.move("a1", front=False)
    assert queue.move("b1", after="b2")
    assert [queue.progress(name).position for name in ("a5", "b2", "a4", "b1", "a2", "a3", "a1")] == list(range(7))
    assert not queue.move("nobody")
    with pytest.raises(InvalidRequest, match="same owner"):
        queue.move("a1", before="b1")
    with pytest.raises(InvalidRequest, match="both"):
        queue.move("a1", before="a2", after="a3")
    with pytest.raises(InvalidRequest, match="itself"):
        queue.move("a1", before="a1")
    queue.start()
    for name in ("a1", "a3", "b1"):
        queue.handle(name).wait(20)
    drawn = [request.prompt.text for request in engine.seen]
    assert [name for name in drawn if name[0] == "a"] == ["a5", "a4", "a2", "a3", "a1"]
    assert [name for name in drawn if name[0] == "b"] == ["b2", "b1"]


def test_many_moves_to_one_place_find_room(store):
    names = [f"j{number}" for number in range(6)]
    for name in names:
        store.add(name, "ann", wish())  # all at one moment of the clock
    for name in names[2:]:
        assert store.move(name, before="j1")
    order = []
    while (claim := store.claim()) is not None:
        order.append(claim.id)
    assert order == ["j0", "j2", "j3", "j4", "j5", "j1"]
    for turn in range(60):
        store.add(f"k{turn}", "bob", wish())
        if turn:
            assert store.move(f"k{turn}", after="k0")
    order = []
    while (claim := store.claim()) is not None:
        order.append(claim.id)
    assert order == ["k0", *(f"k{turn}" for turn in range(59, 0, -1))]


def test_partial_pictures_of_a_cancelled_job_are_kept_on_request(queue, engine, pictures):
    plain = wish(canvas=CanvasParams(batch_count=2), output=OutputParams(save=False))
    engine.hold(batch=1)
    ids = {}
    for keep in (True, False):
        handle = queue.submit(plain, "ann", terms=JobTerms(keep_partial=keep))
        ids[keep] = handle.id
        for _ in range(2):
            assert engine.entered.acquire(timeout=10)
        queue.cancel(handle.id)
        assert handle.wait(10).interrupted
    assert [job for job, _ in pictures.rows] == [ids[True]]
    assert queue.partial(ids[False]) is None
    assert queue.partial(ids[True]) is None  # the first picture was finished, and of the second there is no look yet


def test_the_last_look_at_an_unfinished_picture_is_kept(queue, engine, monkeypatch):
    stopped = threading.Event()
    draw = engine._denoise

    def denoise(request, context, batch):
        from modules.contracts.events import Preview

        context.emit(Preview(context.job_id, 1, b"half a cat"))
        stopped.set()
        return draw(request, context, batch)

    monkeypatch.setattr(engine, "_denoise", denoise)
    engine.hold()
    handle = queue.submit(wish(), "ann", terms=JobTerms(keep_partial=True))
    assert stopped.wait(10)
    queue.cancel(handle.id)
    handle.wait(10)
    assert queue.partial(handle.id) == b"half a cat"


def test_terms_are_listed_with_the_job(queue, clock):
    terms = JobTerms(2, clock.moment(600), 30.0, "key", True)
    handle = queue.submit(replace(wish(), prompt=PromptParams("x")), "ann", terms=terms)
    handle.wait(10)
    assert queue.get(handle.id).terms == terms
