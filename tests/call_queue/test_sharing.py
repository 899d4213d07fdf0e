"""Several lanes and processes on one database: every job is taken once, and what a dead one left is taken up."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from modules.call_queue.database import open_server
from modules.call_queue.queue import CallQueue
from modules.call_queue.recovery import recover
from modules.call_queue.store import JobStore
from modules.call_queue.tables import JOBS
from modules.call_queue.tenancy import tenancy_of
from modules.contracts.errors import DeviceUnavailable, InvalidRequest, StudioError
from modules.contracts.request import GenerationRequest, PromptParams, SeedParams
from modules.support.bus import EventBus
from tests.call_queue.fakes import FakeEngine, MemoryPictures
from tests.call_queue.serving import Pictures
from tests.call_queue.test_crash import serve


def wish(text="a cat", seed=-1):
    return GenerationRequest(prompt=PromptParams(text=text), seeds=SeedParams(seed=seed))


def test_many_lanes_of_two_processes_take_every_job_once(database, second):
    stores = [JobStore(database), JobStore(second)]
    for number in range(40):
        stores[0].add(f"j{number}", f"owner {number % 3}", wish())
    taken, lock, start = [], threading.Lock(), threading.Barrier(6)

    def lane(store):
        start.wait()
        empty = 0
        while empty < 3:  # another's lock may hide the last job for a moment
            claim = store.claim()
            if claim is None:
                empty += 1
                continue
            with lock:
                taken.append((claim.id, claim.attempt))

    threads = [threading.Thread(target=lane, args=(stores[index % 2],)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted((f"j{number}", 1) for number in range(40))


def test_a_job_that_another_hand_holds_is_passed_by(server_database):
    store = JobStore(server_database)
    store.add("first", "ann", wish())
    store.add("second", "ann", wish())
    with server_database.begin() as connection:
        connection.execute(JOBS.select().where(JOBS.c.id == "first").with_for_update())
        assert store.claim().id == "second"
    assert store.claim().id == "first"


def test_a_process_that_lives_keeps_its_jobs_and_one_that_is_gone_loses_them(server_database):
    alive, dead = tenancy_of(server_database), tenancy_of(server_database)
    store = JobStore(server_database)
    for name, tenancy in (("safe", alive), ("lost", dead)):
        tenancy.take()
        store.worker = tenancy.worker
        store.add(name, "ann", wish())
        assert store.claim().id == name
    dead.leave()
    assert recover(server_database).queued == ("lost",)
    assert recover(server_database).queued == ()
    alive.leave()
    assert recover(server_database).queued == ("safe",)


def test_a_run_that_was_taken_over_no_longer_counts(store):
    store.add("a", "ann", wish())
    first = store.claim()
    recover(store.engine)
    again = store.claim()
    assert not store.finish("a", "done", claim=first)
    assert store.finish("a", "done", claim=again)


def test_a_lost_session_is_taken_again(server_database):
    tenancy = tenancy_of(server_database)
    tenancy.take()
    with server_database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_locks "
            "WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
    with server_database.connect() as connection:
        assert tenancy_of(server_database).died(tenancy.worker, connection)
    tenancy.renew()
    with server_database.connect() as connection:
        assert not tenancy_of(server_database).died(tenancy.worker, connection)
    tenancy.leave()


def test_two_queues_on_one_server_do_what_is_asked_of_the_other(server_database):
    engine, queues = FakeEngine(), []
    for _ in range(2):
        store = JobStore(server_database)
        queues.append(CallQueue(lambda: engine, store, EventBus(), MemoryPictures()))
    front, back = queues
    try:
        engine.hold()
        handle = front.submit(wish(), "ann")  # the front has no lanes of its own yet: the back takes it
        back.start()
        assert engine.entered.acquire(timeout=20)
        assert front.cancel(handle.id)
        back.tend()
        assert back.handle(handle.id).wait(20).interrupted
        front._tenancy.take()
        front.tend()
        assert handle.wait(5).interrupted
        engine.let_go()
        done = front.submit(wish(), "ann")
        back.handle(done.id).wait(20)
        front.tend()
        with pytest.raises(StudioError, match="in the gallery"):
            done.wait(5)
    finally:
        engine.let_go()
        for queue in queues:
            queue.stop(5)


def test_what_a_killed_process_left_is_taken_up_by_the_one_beside_it(tmp_path, server_database):
    store = JobStore(server_database)
    store.hold(True)
    Pictures(server_database)  # its table, which two processes cannot make at the same moment
    for number in range(24):
        store.add(f"job-{number}", "ann", wish(str(number), number))
    processes = [serve(tmp_path, 2, server_database) for _ in range(2)]
    try:
        wait_until(lambda: advisory_locks(server_database) == 2)
        store.hold(False)
        wait_until(lambda: len(set(running(server_database))) == 2)
        processes[0].kill()
        processes[0].wait(10)
        assert processes[1].wait(200) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait(10)
    assert Counter(record.state for record in store.list()) == {"done": 24}
    drawn = Counter((tmp_path / "drawn.txt").read_text().split("\n")[:-1])
    assert set(drawn) == {f"{number} {number}" for number in range(24)}
    with server_database.connect() as connection:
        rows = connection.exec_driver_sql("SELECT job, COUNT(*) FROM gallery GROUP BY job").fetchall()
    assert sorted(count for _, count in rows) == [1] * 24


def wait_until(condition):
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def advisory_locks(database):
    with database.connect() as connection:
        return connection.exec_driver_sql("SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'").scalar()


def running(database):
    with database.connect() as connection:
        return (
            connection.execute(JOBS.select().with_only_columns(JOBS.c.worker).where(JOBS.c.state == "running"))
            .scalars()
            .all()
        )


def test_addresses_that_are_none_are_refused_without_repeating_them():
    for wrong in ("mysql://root:secret@host/x", "secret nonsense"):
        with pytest.raises(InvalidRequest) as caught:
            open_server(wrong)
        assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_said_so(postgres_server):
    engine = open_server("postgresql://studio@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(DeviceUnavailable, match="does not answer"):
        tenancy_of(engine).take()
    engine.dispose()


def test_the_driver_is_asked_for_by_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeviceUnavailable, match="--extra postgres"):
        open_server("postgresql://studio@127.0.0.1/none")
