"""Jobs across the life of processes: a clean stop, a crash, a second crash."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from sqlalchemy import update

from modules.call_queue.database import open_database, open_private
from modules.call_queue.queue import CallQueue
from modules.call_queue.recovery import recover
from modules.call_queue.store import JobStore
from modules.call_queue.tables import JOBS
from modules.call_queue.tenancy import tenancy_of
from modules.contracts.errors import DeviceUnavailable, NotReady
from modules.contracts.request import GenerationRequest, OutputParams, PromptParams
from modules.support.bus import EventBus
from tests.call_queue.fakes import FakeEngine, MemoryPictures


def wish(text="a cat"):
    return GenerationRequest(prompt=PromptParams(text=text))


def crash(store):
    """What a start finds after a process died."""
    return recover(store.engine)


def test_a_job_that_ran_in_a_crash_goes_back_to_its_old_place(store):
    for name in "abc":
        store.add(name, "ann", wish(name))
    assert store.claim().id == "a"
    assert crash(store).queued == ("a",)
    claim = store.claim()
    assert (claim.id, claim.attempt, claim.request()) == ("a", 2, wish("a"))


def test_a_job_that_ran_in_two_crashes_is_set_aside_and_said_why(store):
    store.add("poison", "ann", wish())
    store.add("fine", "ann", wish())
    for _ in range(2):
        assert store.claim().id == "poison"
        left = crash(store)
    assert left.set_aside == ("poison",)
    record = store.get("poison")
    assert (record.state, record.attempts) == ("failed", 2)
    assert "twice" in record.error
    assert store.claim().id == "fine"


def test_a_suspect_runs_alone_so_that_only_it_can_be_blamed(store):
    for name in "abc":
        store.add(name, "ann", wish())
    assert [store.claim().id, store.claim().id] == ["a", "b"]
    crash(store)
    assert store.claim().id == "a"
    assert store.claim() is None
    assert crash(store).set_aside == ("a",)
    assert store.claim().id == "b"
    assert store.claim() is None
    assert store.finish("b", "done")
    assert store.claim().id == "c"


def test_a_suspect_waits_until_nobody_else_runs(store):
    store.add("a", "ann", wish())
    store.add("b", "ann", wish())
    with store.engine.begin() as connection:
        connection.execute(update(JOBS).where(JOBS.c.id == "b").values(crashes=1))
    assert store.claim().id == "a"
    assert store.claim() is None
    store.finish("a", "done")
    assert store.claim().id == "b"


def test_a_job_that_was_asked_to_stop_is_not_started_again(store):
    store.add("a", "ann", wish())
    store.claim()
    store.ask_cancel("a")
    assert crash(store).cancelled == ("a",)
    assert store.get("a").state == "cancelled"


def test_an_end_is_written_once(store):
    store.add("a", "ann", wish())
    store.claim()
    assert store.finish("a", "done", pictures=2)
    assert not store.finish("a", "failed", error=("studio_error", "too late"))
    assert store.release(["a"]) == 0
    assert crash(store).queued == ()
    record = store.get("a")
    assert (record.state, record.pictures, record.error) == ("done", 2, None)


def test_a_clean_stop_puts_running_jobs_back_without_blame(make_queue, engine, store):
    queue = make_queue(lanes=2)
    queue.start()
    engine.hold()
    handles = [queue.submit(wish(str(number)), "ann") for number in range(3)]
    for _ in range(2):
        assert engine.entered.acquire(timeout=10)
    queue.stop(10)
    assert [store.get(handle.id).state for handle in handles] == ["queued"] * 3
    with pytest.raises(NotReady, match="next start"):
        handles[0].wait(0)
    with pytest.raises(NotReady):
        queue.submit(wish(), "ann")
    engine.let_go()
    heir = make_queue(lanes=2)
    heir.start()
    for handle in handles:
        heir.handle(handle.id).wait(10)
    assert [store.get(handle.id).state for handle in handles] == ["done"] * 3
    with store.engine.connect() as connection:
        assert connection.execute(JOBS.select().with_only_columns(JOBS.c.crashes)).scalars().all() == [0, 0, 0]


def test_pictures_of_a_job_whose_client_is_gone_are_kept(make_queue, store, pictures):
    store.add("old", "ann", GenerationRequest(output=OutputParams(save=False)))
    queue = make_queue()
    queue.start()
    queue.submit(GenerationRequest(output=OutputParams(save=False)), "ann", job_id="new").wait(10)
    assert [job for job, _ in pictures.rows] == ["old"]


def test_what_a_lane_does_after_it_was_given_up_does_not_count(make_queue, store, engine, monkeypatch):
    queue = make_queue()
    queue.start()
    engine.hold()
    # A run that hears nothing: it goes on although it was asked to stop.
    monkeypatch.setattr(engine, "_denoise", lambda *_: engine.entered.release() or engine.gate.wait(10))
    handle = queue.submit(wish(), "ann")
    assert engine.entered.acquire(timeout=10)
    queue.stop(0.05)
    assert store.get(handle.id).state == "queued"
    engine.let_go()
    with pytest.raises(NotReady):
        handle.wait(10)
    assert store.get(handle.id).state == "queued"


def test_a_stored_job_of_another_version_fails_alone(make_queue, store):
    store.add("strange", "ann", wish())
    store.add("fine", "ann", wish())
    with store.engine.begin() as connection:
        connection.execute(update(JOBS).where(JOBS.c.id == "strange").values(request='{"music": {}}'))
    queue = make_queue()
    queue.start()
    queue.submit(wish(), "ann").wait(10)
    assert "cannot be read by this version" in store.get("strange").error
    assert store.get("fine").state == "done"


def test_two_processes_do_not_run_the_jobs_of_one_file(sqlite_database):
    first, second = tenancy_of(sqlite_database), tenancy_of(sqlite_database)
    first.take()
    with pytest.raises(DeviceUnavailable, match="Another process"):
        second.take()
    queue = CallQueue(FakeEngine, JobStore(sqlite_database), EventBus(), MemoryPictures())
    with pytest.raises(DeviceUnavailable):
        queue.start()
    first.leave()
    second.take()
    second.leave()


def test_the_database_is_opened_for_several_threads(tmp_path):
    engine = open_database(tmp_path / "new folder" / "a.sqlite3")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() >= 1000
    JobStore(engine)
    JobStore(engine)
    engine.dispose()


def test_a_private_database_leaves_nothing_behind():
    engine = open_private()
    folder = Path(engine.url.database).parent
    store = JobStore(engine)
    store.add("a", "ann", wish())
    assert store.claim().id == "a"
    engine.dispose()
    del store, engine
    gc.collect()
    assert not folder.exists()
