"""What a request costs the database: a bound on the statements from the HTTP call to the settled job.

Every statement of one owner's submissions used to run under one lock. The bounds are what it takes now and no more, so
that whoever adds one notices.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from tests.accounts.fronts import MeteredRig
from tests.api.fakes import SMALL, Rig

SUBMITTED, FINISHED = 16, 17
"""Of a job with accounts: until it is stored and announced, and from then until it is settled and the lane is idle."""
OPEN_SUBMITTED, OPEN_FINISHED = 12, 15
"""The same where nobody has an account and nothing is charged."""
BODY = {"steps": 2, "width": 64, "height": 64, "save_images": False}


@contextmanager
def counted(rig):
    """What every thread runs within, by the beginning of its name."""
    seen, lock = {}, threading.Lock()

    def note(connection, cursor, statement, parameters, context, many):
        with lock:
            seen.setdefault("lane" if threading.current_thread().name.startswith("lane") else "front", []).append(
                statement
            )

    event.listen(rig.database, "before_cursor_execute", note)
    yield seen
    event.remove(rig.database, "before_cursor_execute", note)


def run_one(rig, client):
    """One picture from the call to the end; what the front ran, and what the lane."""
    client.post("/sdapi/v1/txt2img", json=BODY)  # whatever is looked up once, is looked up now
    idle(rig)
    with counted(rig) as seen:
        assert client.post("/sdapi/v1/txt2img", json=BODY).status_code == 200
        idle(rig)
    return seen["front"], seen["lane"]


def idle(rig):
    """Returns when the lane has looked for another job and found none."""
    queue = getattr(rig.queue, "_inner", rig.queue)
    with queue._change:
        assert queue._change.wait_for(lambda: not queue._stirred and not queue._running, 10)


@pytest.fixture
def metered(tmp_path):
    made = MeteredRig(tmp_path)
    yield made
    made.close()


def test_a_job_with_accounts_takes_few_statements(metered):
    front, lane = run_one(metered, *metered.clients("bob"))
    assert len(front) <= SUBMITTED, front
    assert len(lane) <= FINISHED, lane
    assert len(metered.accounts.ledger("bob")) == 4  # it was charged and settled like the one before


def test_a_job_without_accounts_takes_fewer(tmp_path):
    rig = Rig(tmp_path, lanes=1)
    try:
        front, lane = run_one(rig, rig.client())
    finally:
        rig.close()
    assert len(front) <= OPEN_SUBMITTED, front
    assert len(lane) <= OPEN_FINISHED, lane


def test_only_counting_and_charging_happens_in_an_owners_turn(metered):
    """Whoever waits for the lock waits for these; the rest of a submission goes on beside others of the same owner."""
    (client,) = metered.clients("bob")
    client.post("/api/v1/jobs", json=SMALL)
    metered.finish()
    turn, inside = metered.queue._turn("bob"), []

    def note(connection, cursor, statement, parameters, context, many):
        if turn._is_owned():
            inside.append(statement)

    event.listen(metered.database, "before_cursor_execute", note)
    assert client.post("/api/v1/jobs", json=SMALL).status_code == 202
    event.remove(metered.database, "before_cursor_execute", note)
    assert 0 < len(inside) <= 5, inside
    assert not [statement for statement in inside if "INSERT INTO jobs" in statement or "shares" in statement]


def test_a_month_of_lines_is_asked_for_at_once(metered):
    for number in range(3):
        metered.accounts.grant("bob", 1.0, f"line {number}")
    with counted(metered) as seen:
        left = metered.accounts.allowance("bob")
    assert len(seen["front"]) == 2  # the tier, and the sums
    assert left.left_today == left.tier.credits_per_day + 3
