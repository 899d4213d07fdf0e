"""The queue from outside: a job is stored, runs, ends once, and everybody who waits is told."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from modules.contracts import events as happened
from modules.contracts.errors import DeviceUnavailable, InvalidRequest, NotReady, OutOfMemory, StudioError
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    OutputParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.support.log import Tagger, about


def wish(text="a cat", *, count=1, size=1, steps=3, seed=7, save=True):
    return GenerationRequest(
        prompt=PromptParams(text=text),
        canvas=CanvasParams(batch_size=size, batch_count=count),
        seeds=SeedParams(seed=seed),
        sampling=SamplingParams(steps=steps),
        output=OutputParams(save=save),
    )


def names(events):
    return [type(event).__name__ for event in events]


def test_a_job_is_drawn_saved_and_recorded(queue, pictures):
    handle = queue.submit(wish(count=2), "ann")
    result = handle.wait(10)
    record = queue.get(handle.id)
    assert [picture.seed for picture in result.pictures] == [7, 8]
    assert not result.interrupted
    assert (record.state, record.owner, record.attempts, record.pictures) == ("done", "ann", 1, 2)
    assert record.created <= record.started <= record.ended
    assert [row.index for row in pictures.list(job_id=handle.id)] == [1, 0]
    assert queue.pending() == 0


def test_pictures_that_are_not_to_be_kept_are_returned_only(queue, pictures):
    result = queue.submit(wish(save=False), "ann").wait(10)
    assert len(result.pictures) == 1
    assert pictures.rows == {}


def test_a_waiter_in_an_event_loop_gets_the_result_and_may_stop_waiting(queue, engine):
    async def main():
        engine.hold()
        handle = queue.submit(wish(), "ann")
        impatient = asyncio.ensure_future(handle.result())
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        engine.let_go()
        first, second = await asyncio.gather(handle.result(), handle.result())
        assert first is second
        return await handle.result()

    assert len(asyncio.run(main()).pictures) == 1


def test_waiting_ends_after_the_time_given(queue, engine):
    engine.hold()
    handle = queue.submit(wish(), "ann")
    with pytest.raises(TimeoutError):
        handle.wait(0.05)


def test_events_come_in_order_and_end_with_one_terminal_event(queue, bus):
    heard = []
    with bus.listening(heard.append):
        handle = queue.submit(wish(count=2, steps=1), "ann")
        handle.wait(10)
    batch = ["StageStarted", "StepDone", "Preview", "ImageReady"]
    assert names(heard) == ["JobQueued", "JobStarted", *batch, *batch, "JobDone"]
    assert {event.job_id for event in heard} == {handle.id}


@pytest.mark.parametrize("ended", [False, True])
def test_a_handle_streams_its_own_events_to_the_end(queue, engine, ended):
    async def collect(handle):
        return [event async for event in handle.events()]

    engine.hold()
    other = queue.submit(wish("other"), "bob")
    handle = queue.submit(wish(), "ann")
    heard = None if ended else handle.iterate()
    engine.let_go()
    other.wait(10)
    if ended:
        handle.wait(10)
        assert names(handle.iterate()) == ["JobDone"]
        assert names(asyncio.run(collect(handle))) == ["JobDone"]
    else:
        listed = list(heard)
        assert names(listed)[0] == "JobStarted"
        assert names(listed)[-1] == "JobDone"
        assert {event.job_id for event in listed} == {handle.id}


def test_jobs_start_in_the_order_they_came(queue, engine):
    engine.hold()
    handles = [queue.submit(wish(f"job {number}", steps=1), "ann") for number in range(6)]
    assert queue.pending() == 6
    engine.let_go()
    for handle in handles:
        handle.wait(10)
    assert [request.prompt.text for request in engine.seen] == [f"job {number}" for number in range(6)]


def test_lanes_with_nothing_to_do_do_not_all_look_for_one_job(make_queue, store, monkeypatch):
    looks, claim = [], store.claim

    def counted(*given):
        looks.append(given)
        return claim(*given)

    monkeypatch.setattr(store, "claim", counted)
    queue = make_queue(lanes=8)
    queue.start()
    for number in range(5):
        queue.submit(wish(f"number {number}"), "ann").wait(10)
    while queue.running():
        time.sleep(0.01)
    assert len(looks) <= 1 + 5 * 3  # at the start; then who takes it, and one look each when it came and when it ended


def test_lanes_run_side_by_side(make_queue, engine):
    queue = make_queue(lanes=3)
    queue.start()
    engine.hold()
    handles = [queue.submit(wish(), "ann" if number else "bob") for number in range(4)]
    for _ in range(3):
        assert engine.entered.acquire(timeout=10)
    assert [job.state for job in queue.running()] == ["running"] * 3
    assert [job.job_id for job in queue.running("bob")] == [handles[0].id]
    assert queue.progress(handles[3].id).state == "queued"
    assert (queue.pending(), queue.pending("bob")) == (4, 1)
    engine.let_go()
    assert all(len(handle.wait(10).pictures) == 1 for handle in handles)


def test_progress_follows_the_job(queue, engine):
    engine.hold()
    first = queue.submit(wish(steps=4), "ann")
    second = queue.submit(wish(), "ann")
    third = queue.submit(wish(), "ann")
    assert engine.entered.acquire(timeout=10)
    assert queue.progress(first.id).state == "running"
    assert (queue.progress(second.id).position, queue.progress(third.id).position) == (0, 1)
    engine.let_go()
    third.wait(10)
    ended = queue.progress(first.id)
    assert (ended.state, ended.progress, ended.step, ended.steps, ended.preview) == ("done", 1.0, 4, 4, None)
    assert queue.progress("nobody") is None


def test_a_running_job_that_is_cancelled_gives_what_was_finished(queue, engine, bus):
    heard = []
    with bus.listening(heard.append):
        engine.hold(batch=1)
        handle = queue.submit(wish(count=3, steps=1), "ann")
        assert engine.entered.acquire(timeout=10)
        assert engine.entered.acquire(timeout=10)
        assert queue.cancel(handle.id)
        result = handle.wait(10)
    assert result.interrupted
    assert [picture.index for picture in result.pictures] == [0]
    assert queue.get(handle.id).state == "cancelled"
    assert names(heard)[-1] == "JobCancelled"
    assert sum(isinstance(event, happened.TERMINAL) for event in heard) == 1
    assert not queue.cancel(handle.id)


def test_a_queued_job_that_is_cancelled_never_runs(queue, engine):
    engine.hold()
    running = queue.submit(wish("first"), "ann")
    waiting = queue.submit(wish("second"), "ann")
    waiting.cancel()
    result = waiting.wait(0)
    assert (result.pictures, result.interrupted) == ((), True)
    engine.let_go()
    running.wait(10)
    assert [request.prompt.text for request in engine.seen] == ["first"]
    assert queue.get(waiting.id).state == "cancelled"


def test_skip_leaves_the_batch_and_goes_on(queue, engine):
    engine.hold()
    handle = queue.submit(wish(count=2), "ann")
    assert engine.entered.acquire(timeout=10)
    assert queue.skip(handle.id)
    assert engine.entered.acquire(timeout=10)
    engine.let_go()
    assert [picture.index for picture in handle.wait(10).pictures] == [1]
    assert queue.get(handle.id).state == "done"
    assert not queue.skip(handle.id)


def test_a_failure_is_recorded_with_its_kind_and_the_next_job_works(queue, engine):
    engine.fail["huge"] = OutOfMemory("Too large.", advice="Draw smaller.")
    handle = queue.submit(wish("huge"), "ann")
    with pytest.raises(OutOfMemory, match="Too large. Draw smaller."):
        handle.wait(10)
    record = queue.get(handle.id)
    assert (record.state, record.error_kind, record.error) == ("failed", "out_of_memory", "Too large. Draw smaller.")
    assert len(queue.submit(wish(), "ann").wait(10).pictures) == 1


def test_an_unforeseen_failure_is_one_sentence_for_the_caller_and_a_trace_in_the_log(queue, engine, caplog):
    engine.fail["odd"] = ZeroDivisionError("secret detail")
    handle = queue.submit(wish("odd"), "ann")
    with caplog.at_level(logging.ERROR), pytest.raises(StudioError, match="unexpected ZeroDivisionError"):
        handle.wait(10)
    assert "secret detail" in caplog.text
    assert "secret detail" not in queue.get(handle.id).error
    assert len(queue.submit(wish(), "ann").wait(10).pictures) == 1


def test_a_picture_that_cannot_be_saved_fails_its_job(queue, pictures):
    pictures.error = OSError(28, "No space left on device", "/home/ann/outputs/1.png")
    with pytest.raises(StudioError, match=r"could not be saved: No space left on device\.$"):
        queue.submit(wish(), "ann").wait(10)


def test_a_gallery_that_fails_tells_clients_no_statement(queue, pictures, caplog):
    pictures.error = OperationalError("INSERT INTO pictures", {"infotext": "a cat"}, Exception("disk is full"))
    with pytest.raises(StudioError, match="could not be saved: the database did not take it") as caught:
        queue.submit(wish(), "ann").wait(10)
    assert "INSERT" not in caught.value.message
    assert "disk is full" in caplog.text


def test_a_table_that_does_not_take_a_job_back_ends_no_lane(queue, engine, store, monkeypatch, caplog):
    def fail(ids, **terms):
        raise OperationalError("UPDATE jobs", {}, Exception("disk I/O error"))

    monkeypatch.setattr(store, "release", fail)
    died = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    engine.hold()
    handle = queue.submit(wish(), "ann")
    assert engine.entered.acquire(timeout=10)
    queue.stop(10)
    with pytest.raises(NotReady):
        handle.wait(10)
    for lane in queue._threads:
        lane.join(10)
    assert died == []
    assert f"job {handle.id} could not be put back" in caplog.text


def test_what_is_out_of_bounds_is_refused_before_it_is_stored(queue):
    with pytest.raises(InvalidRequest, match="Steps is -1"):
        queue.submit(wish(steps=-1), "ann")
    assert queue.list() == []


def test_an_id_can_be_chosen_once(queue):
    assert queue.submit(wish(), "ann", job_id="task(1)").id == "task(1)"
    with pytest.raises(InvalidRequest, match=r"'task\(1\)' already"):
        queue.submit(wish(), "ann", job_id="task(1)")
    for bad in ("", "x" * 200, "a\nb"):
        with pytest.raises(InvalidRequest, match="printable"):
            queue.submit(wish(), "ann", job_id=bad)


def test_seeds_are_drawn_before_the_job_is_stored(queue, engine):
    queue.submit(wish(seed=-1), "ann").wait(10)
    queue.submit(wish(seed=5), "ann").wait(10)
    assert engine.seen[0].seeds.seed >= 0
    assert engine.seen[0].seeds.subseed >= 0
    assert engine.seen[1].seeds.seed == 5


def test_pictures_to_start_from_survive_the_table(queue, engine):
    from modules.contracts.request import ImageParams

    data = bytes(range(256)) * 2000
    handle = queue.submit(replace(wish(), image=ImageParams(images=(data,))), "ann")
    handle.wait(10)
    assert engine.seen[0].image.images == (data,)


def test_rows_are_listed_newest_first(queue):
    handles = [queue.submit(wish(), owner) for owner in ("ann", "bob", "ann")]
    for handle in handles:
        handle.wait(10)
    assert [record.id for record in queue.list()] == [handle.id for handle in handles[::-1]]
    assert [record.id for record in queue.list(owner="ann", limit=1)] == [handles[2].id]
    assert queue.list(state="failed") == []
    assert [record.id for record in queue.list(oldest_first=True, limit=2)] == [handle.id for handle in handles[:2]]


def test_a_job_waits_for_the_engine(make_queue, engine):
    there = threading.Event()

    def provide():
        there.wait(10)
        return engine

    queue = make_queue(lanes=2, provider=provide)
    queue.start()
    handle = queue.submit(wish(), "ann")
    with pytest.raises(TimeoutError):
        handle.wait(0.05)
    assert queue.get(handle.id).state == "queued"
    there.set()
    assert len(handle.wait(10).pictures) == 1


def test_without_an_engine_nobody_waits_for_ever(make_queue, store, bus):
    store.add("older", "ann", wish())
    go = threading.Event()

    def provide():
        go.wait(10)
        raise DeviceUnavailable("No such card.")

    queue = make_queue(lanes=2, provider=provide)
    queue.start()
    handle = queue.submit(wish(), "ann")
    go.set()
    with pytest.raises(DeviceUnavailable, match="No such card"):
        handle.wait(10)
    assert queue.get(handle.id).state == "failed"
    assert queue.get("older").state == "queued"
    with pytest.raises(DeviceUnavailable):
        queue.submit(wish(), "ann")


def test_a_full_queue_says_so(make_queue, monkeypatch):
    monkeypatch.setattr("modules.call_queue.entrance.DEPTH", 2)
    queue = make_queue()
    for _ in range(2):
        queue.submit(wish(), "ann")
    with pytest.raises(NotReady, match="2 jobs are waiting already"):
        queue.submit(wish(), "ann")


def test_pictures_of_ended_jobs_are_let_go_of(queue, engine, monkeypatch):
    monkeypatch.setattr(queue._recent, "_budget", 64 * 64)
    ids = []
    for _ in range(2):
        handle = queue.submit(wish(), "ann")
        handle.wait(10)
        ids.append(handle.id)
    queue.submit(wish(), "ann", job_id="last").wait(10)
    del handle
    gc.collect()
    with pytest.raises(StudioError, match="no longer in memory"):
        queue.handle(ids[0]).wait(0)
    assert queue.get(ids[0]).state == "done"


def test_handles_of_recent_jobs_can_be_had_again(queue):
    handle = queue.submit(wish(), "ann")
    handle.wait(10)
    assert queue.handle(handle.id).wait(0) is handle.wait(0)
    assert queue.handle("nobody") is None


def test_handles_of_jobs_that_an_earlier_process_ended_can_be_had_again(make_queue, store):
    queue = make_queue()  # not started, so that nobody but this test takes a job
    store.add("ancient", "ann", wish())
    store.claim()
    store.finish("ancient", "done")
    assert names(queue.handle("ancient").iterate()) == ["JobDone"]
    with pytest.raises(StudioError, match="those that were saved are in the gallery"):
        queue.handle("ancient").wait(0)
    store.add("broken", "ann", wish())
    store.claim()
    store.finish("broken", "failed", error=("out_of_memory", "Too large."))
    with pytest.raises(OutOfMemory, match="Too large"):
        queue.handle("broken").wait(0)
    assert queue.progress("ancient").progress == 1.0


def test_a_listener_may_cancel_the_job_it_hears_of(queue, engine, bus):
    engine.hold()

    def listener(event):
        if isinstance(event, happened.StageStarted):
            queue.cancel(event.job_id)

    with bus.listening(listener):
        assert queue.submit(wish(), "ann").wait(10).interrupted


def test_every_line_about_a_job_names_it_and_the_request_it_came_with(queue, engine):
    records = []

    class Keeper(logging.Handler):
        def emit(self, record):
            records.append(record)

    drawn = engine.generate

    def talkative(request, context):
        logging.getLogger("some.library").info("drawing")
        return drawn(request, context)

    engine.generate = talkative
    keeper, root = Keeper(logging.INFO), logging.getLogger()
    keeper.addFilter(Tagger())
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(keeper)
    try:
        with about(request_id="r1"):
            first = queue.submit(wish(), "ann")
        first.wait(30)
        second = queue.submit(wish(), "ann")
        second.wait(30)
        queue.stop(5)
    finally:
        root.removeHandler(keeper)
        root.setLevel(before)
    for job, request in ((first, "r1"), (second, None)):
        mine = [record for record in records if getattr(record, "job_id", None) == job.id]
        assert {record.name for record in mine} >= {"some.library", "modules.call_queue.queue"}
        assert {getattr(record, "request_id", None) for record in mine} == {request}
        (end,) = [record for record in mine if record.name == "modules.call_queue.lanes"]
        assert (end.state, end.pictures, end.attempt) == ("done", 1, 1)
