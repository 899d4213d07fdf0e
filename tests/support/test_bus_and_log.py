"""Events reach everybody in order; log lines are JSON when asked for."""

from __future__ import annotations

import json
import logging

from modules.contracts.events import JobDone, StepDone
from modules.support.bus import EventBus
from modules.support.log import JsonFormatter
from modules.support.studio import Status


def test_listeners_hear_everything_in_order_and_a_failing_one_harms_nobody(caplog):
    bus, heard = EventBus(), []

    def broken(event):
        raise RuntimeError("deaf")

    bus.subscribe(broken)
    leave = bus.subscribe(heard.append)
    events = [StepDone("a", step=index) for index in range(5)]
    for event in events:
        bus.publish(event)
    leave()
    leave()
    bus.publish(JobDone("a"))
    assert heard == events
    assert "deaf" in caplog.text


def test_json_lines_carry_extras_and_errors():
    record = logging.makeLogRecord({"name": "a.b", "levelname": "INFO", "msg": "hello %s", "args": ("you",)})
    record.job_id = "j1"
    try:
        raise ValueError("bad")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    entry = json.loads(JsonFormatter().format(record))
    assert (entry["message"], entry["level"], entry["job_id"]) == ("hello you", "info", "j1")
    assert "ValueError: bad" in entry["error"]


def test_status_is_ready_only_in_its_last_phase():
    status = Status()
    assert not status.ready
    status.set("ready", "Ready")
    assert status.ready
    assert status.wait(0)
    status.set("failed", "The model is broken")
    assert not status.ready
    assert status.message == "The model is broken"
