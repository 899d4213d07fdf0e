"""Events reach everybody in order; log lines are JSON when asked for."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import threading

import pytest

from modules.contracts.events import JobDone, StepDone
from modules.support.bus import EventBus
from modules.support.log import JsonFormatter, Tagger, about, configure, subject
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


@pytest.fixture
def lines():
    """A logger of its own that writes JSON lines; gives the logger and a function that reads them."""
    stream, logger = io.StringIO(), logging.Logger("here")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Tagger())
    logger.addHandler(handler)
    return logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_say_what_they_are_about(lines):
    logger, read = lines
    with about(request_id="r1"):
        logger.info("outer")
        with about(job_id="j1"):
            logger.info("inner", extra={"seconds": 2.5})
            logger.info("of another", extra={"job_id": "j2"})
        logger.info("outer again")
    logger.info("about nothing")
    tags = [(line.get("request_id"), line.get("job_id"), line.get("seconds")) for line in read()]
    assert tags == [("r1", None, None), ("r1", "j1", 2.5), ("r1", "j2", None), ("r1", None, None), (None, None, None)]


def test_what_a_line_is_about_follows_tasks_and_threads_that_are_told_and_no_others(lines):
    logger, read = lines

    async def main():
        with about(job_id="j1"):
            await asyncio.to_thread(logger.info, "a thread of the loop")
        await asyncio.to_thread(logger.info, "none")

    asyncio.run(main())
    with about(job_id="j2"):
        for action in (logger.info, contextvars.copy_context().run):
            words = ("alone",) if action == logger.info else (logger.info, "told")
            thread = threading.Thread(target=action, args=words)
            thread.start()
            thread.join()
    assert [line.get("job_id") for line in read()] == ["j1", None, None, "j2"]
    assert subject() == {}


def test_status_is_ready_only_in_its_last_phase():
    status = Status()
    assert not status.ready
    status.set("ready", "Ready")
    assert status.ready
    assert status.wait(0)
    status.set("failed", "The model is broken")
    assert not status.ready
    assert status.message == "The model is broken"


def test_the_root_logger_writes_json_with_tags_to_standard_error(capsys):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure(json_lines=True)
        with about(job_id="j9"):
            logging.getLogger("somewhere.else").info("drawn")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["message"], entry["job_id"], entry["logger"]) == ("drawn", "j9", "somewhere.else")
