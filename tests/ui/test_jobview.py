"""Events and queue rows put into words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from modules.contracts import events
from modules.contracts.jobs import JobProgress, JobRecord
from modules.ui.jobview import JobView, clock, data_url, describe, fold, payload, view_of

JPEG = b"\xff\xd8\xff\xe0 and so on"


def run(*happened: events.Event) -> JobView:
    view = JobView("j")
    for event in happened:
        view = fold(view, event)
    return view


def test_a_job_from_queue_to_end():
    begun = [
        events.JobQueued("j", position=2),
        events.JobStarted("j"),
        events.StageStarted("j", "denoise", 0, 2),
        events.StepDone("j", 5, 20, 0, 2, 0.125, 9.0),
        events.Preview("j", 5, JPEG),
    ]
    view = run(*begun)
    assert (view.state, view.step, view.steps, view.progress, view.preview) == ("running", 5, 20, 0.125, JPEG)
    assert describe(view) == ("Drawing, step 5 of 20", "batch 1 of 2, about 9 s left")
    ended = run(*begun, events.ImageReady("j"), events.JobDone("j", 3.0))
    assert (ended.state, ended.progress, ended.pictures, ended.ended) == ("done", 1.0, 1, True)


@pytest.mark.parametrize(
    ("event", "state"),
    [(events.JobFailed("j"), "failed"), (events.JobCancelled("j"), "cancelled"), (events.JobDone("j"), "done")],
)
def test_nothing_happens_after_the_end(event, state):
    view = run(event, events.StepDone("j", 1, 2, 0, 1, 0.5), events.JobStarted("j"))
    assert view.state == state


def test_progress_never_runs_backwards():
    view = run(events.StepDone("j", 2, 4, 0, 1, 0.5), events.StepDone("j", 1, 4, 0, 1, 0.25))
    assert view.progress == 0.5


def test_a_queued_job_says_why_it_waits():
    assert describe(JobView("j", position=1)) == ("Waiting in the queue", "1 job before it")
    assert describe(JobView("j", position=0)) == ("Waiting in the queue", "It is next")
    assert describe(JobView("j"), loading="Loading torch") == ("Waiting for the studio", "Loading torch")


def test_the_hires_pass_keeps_its_own_words():
    view = run(events.StageStarted("j", "hires"), events.StepDone("j", 22, 30, 0, 1, 0.7))
    assert describe(view)[0] == "Refining at full size, step 22 of 30"


def test_a_job_met_half_way():
    record = JobRecord("j", "local", "running", datetime.now(UTC), pictures=1)
    progress = JobProgress("j", "running", 0.5, 10, 20, 0, 1, "denoise", 3.2, JPEG)
    view = view_of("j", record, progress)
    assert (view.state, view.step, view.preview, view.pictures) == ("running", 10, JPEG, 1)
    assert view_of("j", None, None).state == "cancelled"
    assert view_of("j", JobRecord("j", "local", "done", datetime.now(UTC), pictures=2), None).pictures == 2


def test_payload_has_a_picture_to_show_and_no_stale_preview():
    drawing = payload(run(events.StepDone("j", 1, 2, 0, 1, 0.5), events.Preview("j", 1, JPEG)), waiting=2)
    assert drawing["preview"].startswith("data:image/jpeg;base64,")
    assert (drawing["phase"], drawing["known"], drawing["waiting"]) == ("running", True, 2)
    assert payload(run(events.Preview("j", 1, JPEG), events.JobDone("j")))["preview"] is None


@pytest.mark.parametrize(
    ("data", "kind"), [(JPEG, "jpeg"), (b"\x89PNG\r\n", "png"), (b"RIFF....WEBP", "webp"), (b"?", "png")]
)
def test_the_kind_of_a_preview_is_seen_in_its_bytes(data, kind):
    assert data_url(data).startswith(f"data:image/{kind};")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3725, "1 h 2 min"), (-1, "0 s")]
)
def test_seconds_as_people_say_them(seconds, words):
    assert clock(seconds) == words
