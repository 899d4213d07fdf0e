"""Ended jobs leave the table after their time; whatever else there is stays."""

from __future__ import annotations

import json
import time
from queue import SimpleQueue

import pytest
from sqlalchemy import func, insert, select, update

from modules.call_queue.pruning import DAY, PORTION, Pruner, Retention, prune
from modules.call_queue.tables import JOBS, LOG
from modules.contracts.codec import encode
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest, PromptParams

NOW = 1_800_000_000.0


def fill(store, rows):
    """Jobs as (id, state, days since the end)."""
    request = json.dumps(encode(GenerationRequest(prompt=PromptParams("a dot"))))
    values = [
        {
            "id": name,
            "owner": "ann",
            "state": state,
            "request": request,
            "created": NOW - 400 * DAY,
            "ended": NOW - days * DAY if state in ("done", "failed", "cancelled") else None,
        }
        for name, state, days in rows
    ]
    with store.engine.begin() as connection:
        connection.execute(insert(JOBS), values)
        logs = [{"job_id": row[0], "attempt": 1, "moment": NOW, "level": "info", "text": "a line"} for row in rows]
        connection.execute(insert(LOG), logs)


def left(store):
    with store.engine.connect() as connection:
        jobs = set(connection.execute(select(JOBS.c.id)).scalars())
        assert set(connection.execute(select(LOG.c.job_id)).scalars()) == jobs
    return jobs


ROWS = (
    ("old-done", "done", 40),
    ("old-failed", "failed", 31),
    ("old-cancelled", "cancelled", 300),
    ("young", "done", 29),
    ("younger", "failed", 1),
    ("waiting", "queued", 0),
    ("running", "running", 0),
)


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Retention(), set()),
        (Retention(days=30), {"old-done", "old-failed", "old-cancelled"}),
        (Retention(number=4), {"old-cancelled"}),
        (Retention(number=1), {"old-done", "old-failed", "old-cancelled", "young"}),
        (Retention(days=35, number=3), {"old-done", "old-cancelled"}),
        (Retention(days=30, number=1), {"old-done", "old-failed", "old-cancelled", "young"}),
    ],
)
def test_what_is_beyond_either_bound_goes_with_its_log(store, keep, gone):
    fill(store, ROWS)
    assert prune(store.engine, keep, NOW) == len(gone)
    assert left(store) == {name for name, _, _ in ROWS} - gone
    assert prune(store.engine, keep, NOW) == 0


def test_bookmarked_jobs_stay_and_do_not_count(store):
    fill(store, ROWS)
    assert store.mark("old-failed", bookmarked=True)
    assert prune(store.engine, Retention(days=35, number=1), NOW) == 3
    assert left(store) == {"old-failed", "younger", "waiting", "running"}
    assert store.mark("old-failed", bookmarked=False)
    assert prune(store.engine, Retention(days=30), NOW) == 1


def test_the_history_of_one_owner_is_forgotten_and_of_all(store):
    fill(store, ROWS)
    with store.engine.begin() as connection:
        connection.execute(update(JOBS).where(JOBS.c.id.in_(("young", "old-done"))).values(owner="bob"))
    store.mark("young", bookmarked=True)
    assert store.forget("bob") == 1
    assert left(store) == {name for name, _, _ in ROWS} - {"old-done"}
    assert store.forget() == 3
    assert left(store) == {"young", "waiting", "running"}


def test_a_large_table_is_pruned_in_portions(store):
    fill(store, [(f"job-{number}", "done", 100 + number) for number in range(2 * PORTION + 30)])
    assert prune(store.engine, Retention(number=7), NOW) == 2 * PORTION + 23
    assert left(store) == {f"job-{number}" for number in range(7)}


def test_the_pruner_begins_at_once_and_goes_by_what_the_settings_say_then(store):
    fill(store, ROWS)
    keep, passes = [Retention()], SimpleQueue()

    def retention():
        passes.put(keep[0])
        return keep[0]

    beside = SimpleQueue()
    pruner = Pruner(store.engine, retention, clock=lambda: NOW, every=0.02, beside=lambda: beside.put(left(store)))
    pruner.start()
    try:
        assert passes.get(timeout=10) == Retention()
        keep[0] = Retention(days=30)
        seen = [passes.get(timeout=10)]
        while seen.count(keep[0]) < 2:  # when a pass begins, the one before it is over
            seen.append(passes.get(timeout=10))
    finally:
        pruner.stop(10)
    assert left(store) == {"young", "younger", "waiting", "running"}
    assert beside.get(timeout=10) == {name for name, _, _ in ROWS}


def test_the_pruner_outlives_a_file_that_cannot_be_deleted(store):
    fill(store, ROWS)
    keep, passes = [Retention()], SimpleQueue()

    def beside():
        passes.put(left(store))
        raise PermissionError(13, "Permission denied")

    pruner = Pruner(store.engine, lambda: keep[0], clock=lambda: NOW, every=0.02, beside=beside)
    pruner.start()
    try:
        assert passes.get(timeout=10) == {name for name, _, _ in ROWS}
        keep[0] = Retention(days=30)
        seen = [passes.get(timeout=10) for _ in range(3)]
    finally:
        pruner.stop(10)
    # It failed before, and what is old went all the same.
    assert seen[-1] == left(store) == {"young", "younger", "waiting", "running"}


def test_pictures_outlive_their_job_whose_id_is_not_given_again(make_queue, store, pictures):
    queue = make_queue()
    queue.start()
    request = GenerationRequest(prompt=PromptParams("a dot"))
    handle = queue.submit(request, "ann", job_id="mine")
    handle.wait(10)
    with store.engine.begin() as connection:
        connection.execute(update(JOBS).values(ended=time.time() - 50 * DAY))
    kept = pictures.list(job_id="mine")
    assert len(kept) == 1
    assert prune(store.engine, Retention(days=30), time.time()) == 1
    with store.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(JOBS)).scalar() == 0
    assert pictures.list(job_id="mine") == kept
    with pytest.raises(InvalidRequest, match="There is a job 'mine' already"):
        queue.submit(request, "ann", job_id="mine")
