"""What people do with stored jobs: pages, pauses, repeats, logs, weights."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import pytest

from modules.call_queue.estimates import Measurement
from modules.call_queue.recovery import recover
from modules.contracts.cost import NATIVE_PIXELS
from modules.contracts.errors import InvalidRequest, StudioError
from modules.contracts.events import JobPaused, JobResumed, JobStarted
from modules.contracts.jobs import JobFilter, JobTerms
from modules.contracts.request import (
    GenerationRequest,
    ModelParams,
    PromptParams,
    RefinerParams,
    SamplingParams,
    SeedParams,
)


def wish(text="a cat", *, model=None, seed=-1):
    return GenerationRequest(
        prompt=PromptParams(text=text),
        seeds=SeedParams(seed=seed),
        sampling=SamplingParams(steps=3),
        model=ModelParams(checkpoint=model),
    )


def test_pages_follow_one_another_although_jobs_come_meanwhile(store):
    for number in range(7):
        store.add(f"j{number}", "ann" if number % 2 else "bob", wish(model=f"m{number % 3}"))
    first = store.page(JobFilter(), limit=3)
    assert ([job.id for job in first.jobs], first.total) == (["j6", "j5", "j4"], 7)
    store.add("new", "ann", wish())
    second = store.page(JobFilter(), limit=3, after=first.following)
    last = store.page(JobFilter(), limit=3, after=second.following)
    assert [job.id for job in (*second.jobs, *last.jobs)] == ["j3", "j2", "j1", "j0"]
    assert last.following is None


def test_filters_can_be_joined(store):
    for number in range(6):
        store.add(f"j{number}", "ann" if number % 2 else "bob", wish(model=f"m{number % 3}"))
    store.pause("j3")
    store.finish("j5", "cancelled", expected="queued")

    def ids(**wanted):
        return [job.id for job in store.page(JobFilter(**wanted)).jobs]

    assert ids(owner="ann") == ["j5", "j3", "j1"]
    assert ids(owner="ann", states=("queued",), paused=False) == ["j1"]
    assert ids(states=("cancelled", "done")) == ["j5"]
    assert ids(model="m0") == ["j3", "j0"]
    third = store.get("j2").created
    assert ids(since=third) == ["j5", "j4", "j3", "j2"]
    assert ids(until=third) == ["j1", "j0"]
    with pytest.raises(InvalidRequest, match="1 to 1000"):
        store.page(JobFilter(), limit=0)


def test_a_paused_queue_starts_nothing_also_after_a_restart(make_queue, engine):
    first = make_queue()
    assert first.pause()
    assert not first.pause()
    handle = first.submit(wish(), "ann")
    first.stop(5)
    second = make_queue()
    second.start()
    assert second.paused
    with pytest.raises(TimeoutError):
        second.handle(handle.id).wait(0.05)
    assert second.progress(handle.id).eta is None
    assert second.resume()
    assert len(second.handle(handle.id).wait(10).pictures) == 1


def test_a_job_that_is_held_back_lets_others_pass(make_queue, engine):
    queue = make_queue()
    held = queue.submit(wish("held"), "ann")
    other = queue.submit(wish("other"), "ann")
    assert queue.pause(held.id)
    assert not queue.pause(held.id)
    assert queue.get(held.id).details.paused
    queue.start()
    other.wait(10)
    assert [request.prompt.text for request in engine.seen] == ["other"]
    assert queue.resume(held.id)
    assert len(held.wait(10).pictures) == 1
    assert not queue.resume(held.id)
    assert not queue.pause(held.id)


def test_a_running_job_that_is_held_back_stops_and_begins_anew(queue, engine, bus):
    heard = []
    bus.subscribe(heard.append)
    engine.hold()
    handle = queue.submit(wish(seed=5), "ann")
    assert engine.entered.acquire(timeout=10)
    stopped = handle.iterate()
    assert queue.pause(handle.id)
    assert any(isinstance(event, JobPaused) for event in iter(lambda: next(stopped), None))
    record = queue.get(handle.id)
    assert (record.state, record.details.paused) == ("queued", True)
    assert queue.progress(handle.id).state == "queued"
    engine.let_go()
    assert queue.resume(handle.id)
    result = handle.wait(10)
    assert [picture.seed for picture in result.pictures] == [5]
    kinds = [type(event) for event in heard if isinstance(event, JobStarted | JobPaused | JobResumed)]
    assert kinds == [JobStarted, JobPaused, JobResumed, JobStarted]


def test_a_job_that_has_ended_can_be_asked_for_again(queue, engine):
    engine.fail["a cat"] = StudioError("Not now.")
    handle = queue.submit(wish(), "ann", terms=JobTerms(priority=2, idempotency_key="k"))
    with pytest.raises(StudioError, match="Not now"):
        handle.wait(10)
    engine.fail.clear()
    again = queue.requeue(handle.id)
    again.wait(10)
    record = queue.get(again.id)
    assert again.id != handle.id
    assert (record.owner, record.details.origin, record.terms) == ("ann", handle.id, JobTerms(priority=2))
    assert engine.seen[0] == engine.seen[1]
    assert queue.get(handle.id).state == "failed"


def test_what_cannot_be_asked_for_again_says_why(queue, engine):
    engine.hold()
    running = queue.submit(wish(), "ann")
    with pytest.raises(InvalidRequest, match="only one that has ended"):
        queue.requeue(running.id)
    with pytest.raises(InvalidRequest, match="no job 'nobody'"):
        queue.requeue("nobody")
    engine.let_go()


def test_a_request_is_read_back_as_it_was(queue):
    asked = wish("words", model="m", seed=3)
    handle = queue.submit(asked, "ann")
    handle.wait(10)
    kept = queue.request(handle.id)
    assert (kept.prompt, kept.model, kept.seeds.seed) == (asked.prompt, asked.model, 3)
    assert queue.request("nobody") is None


def test_a_job_that_is_set_aside_keeps_the_log_of_both_attempts(store):
    store.add("poison", "ann", wish())
    for attempt in (1, 2):
        assert store.claim().id == "poison"
        store.journal.write("poison", attempt, "info", f"Stage denoise in attempt {attempt}.")
        recover(store.engine)
    assert store.get("poison").state == "failed"
    lines = [(line.attempt, line.text) for line in store.journal.read("poison")]
    assert lines == [
        (1, "Stage denoise in attempt 1."), (1, "The process died while this job ran, for the first time."),
        (2, "Stage denoise in attempt 2."), (2, "The process died while this job ran, for the second time."),
    ]  # fmt: skip


def test_a_failed_job_keeps_what_its_lane_said_and_one_that_is_done_keeps_nothing(queue, engine):
    engine.fail["odd"] = ZeroDivisionError("secret detail")
    odd = queue.submit(wish("odd"), "ann")
    with pytest.raises(StudioError):
        odd.wait(10)
    assert any("ZeroDivisionError: secret detail" in line.text for line in queue.log(odd.id))
    draw, seen = engine._denoise, []

    def denoise(request, context, batch):
        logging.getLogger("modules.sd_models").warning("odd weights")
        logging.getLogger("diffusers").debug("not of interest")
        seen.extend(queue.log(context.job_id))
        return draw(request, context, batch)

    engine._denoise = denoise
    fine = queue.submit(wish(), "ann")
    fine.wait(10)
    assert [line.text for line in seen] == ["Stage denoise, batch 1 of 1.", "odd weights"]
    assert queue.log(fine.id) == []


def test_a_log_is_bounded(store, monkeypatch):
    monkeypatch.setattr("modules.call_queue.journal.LINES", 5)
    for number in range(9):
        store.journal.write("a", 1, "info", str(number) * 5000)
    lines = store.journal.read("a")
    assert len(lines) == 5
    assert len(lines[0].text) == 4000


def test_shares_follow_weights_and_are_reported(store):
    store.set_weight("bob", 3.0)
    for number in range(40):
        store.add(f"a{number}", "ann", wish())
        store.add(f"b{number}", "bob", wish())
    taken = Counter(store.claim().owner for _ in range(24))
    assert taken["bob"] == pytest.approx(18, abs=1)
    assert [(share.owner, share.weight) for share in store.owners()] == [("ann", 1.0), ("bob", 3.0)]
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(InvalidRequest, match="above 0"):
            store.set_weight("bob", wrong)


def test_one_job_is_taken_before_anothers_hundred(store):
    for number in range(100):
        store.add(f"crowd {number}", "crowd", wish())
    assert store.claim().id == "crowd 0"
    store.add("single", "single", wish())
    assert store.claim().id == "single"


def test_a_resident_model_is_preferred_within_the_bounds(database):
    from modules.call_queue.fairness import Policy
    from modules.call_queue.store import JobStore

    now = [1000.0]
    store = JobStore(database, clock=lambda: now[0], policy=Policy(lead=1e6, patience=30))
    store.add("other", "ann", wish(model="two"))
    for number in range(5):
        store.add(f"same {number}", "bob", wish(model="one"))
    taken = []
    for second in (0, 10, 29, 31, 32):
        now[0] = 1000.0 + second
        taken.append(store.claim({"one"}).id)
    assert taken == ["same 0", "same 1", "same 2", "other", "same 3"]


@pytest.mark.parametrize("refiner", [None, "two"])
def test_a_refiner_that_was_used_is_in_memory_too(queue, engine, refiner):
    engine.hold()
    queue.submit(replace(wish(model="one"), refiner=RefinerParams(refiner)), "ann")
    assert engine.entered.acquire(timeout=10)
    later = [queue.submit(wish(model=model), owner) for owner, model in (("bob", "three"), ("cat", "two"))]
    engine.let_go()
    for handle in later:
        handle.wait(10)
    drawn = [request.model.checkpoint for request in engine.seen]
    assert drawn == (["one", "two", "three"] if refiner else ["one", "three", "two"])


def test_a_run_that_did_not_count_costs_its_owner_nothing(store):
    store.add("a", "ann", wish())
    store.add("b", "bob", wish())
    assert store.claim().id == "a"
    store.release(["a"])
    assert store.claim().id == "a"
    store.finish("a", "done")
    used = {share.owner: share.used_seconds for share in store.owners()}
    assert used["ann"] == pytest.approx(store.get("a").details.measured_seconds)
    assert used["bob"] == 0


def test_names_and_bookmarks_are_found_again(store):
    store.add("a", "ann", wish())
    store.add("b", "ann", wish())
    assert store.mark("a", name="The cat, again", bookmarked=True)
    assert store.mark("a", name="Cat")
    details = store.get("a").details
    assert (details.name, details.bookmarked) == ("Cat", True)
    assert (store.get("b").details.name, store.get("b").details.bookmarked) == ("", False)
    for wanted, ids in ((True, {"a"}), (False, {"b"}), (None, {"a", "b"})):
        assert {job.id for job in store.page(JobFilter(bookmarked=wanted)).jobs} == ids
    assert not store.mark("nothing", name="x")
    for odd in ({}, {"name": "x" * 201}, {"name": "two\nlines"}):
        with pytest.raises(InvalidRequest):
            store.mark("a", **odd)
    assert store.mark("a", name="", bookmarked=False)
    assert (store.get("a").details.name, store.get("a").details.bookmarked) == ("", False)


def test_an_eta_is_learnt_and_then_given_with_error_bars(queue, engine):
    for _ in range(3):
        queue.submit(wish(), "ann").wait(10)
        assert engine.entered.acquire(timeout=10)
    engine.hold()
    running = queue.submit(wish(), "ann")
    assert engine.entered.acquire(timeout=10)
    waiting = [queue.submit(wish(), owner) for owner in ("ann", "ann", "bob")]
    etas = [queue.progress(handle.id).eta for handle in (running, waiting[2], waiting[0], waiting[1])]
    assert all(0 < eta.low <= eta.likely <= eta.high for eta in etas)
    assert [eta.likely for eta in etas[1:]] == sorted(eta.likely for eta in etas[1:])
    assert sorted(queue.progress(handle.id).position for handle in waiting) == [0, 1, 2]
    assert queue.progress(waiting[0].id).eta_seconds == pytest.approx(etas[2].likely, rel=0.5)


def test_jobs_that_wait_are_measured_anew_once_a_models_own_size_is_known(store):
    store.add("first", "ann", wish(model="small"))
    store.add("second", "ann", wish(model="small"))
    claim = store.claim()
    for _ in range(3):
        store.learn(claim, Measurement(claim.work / 16, 2.0, native=NATIVE_PIXELS // 16))
    assert store.claim().work == pytest.approx(claim.work / 16)
    assert store.get("second").details.predicted_seconds == pytest.approx(2.0)
