"""progress, interrupt and skip: about the caller's own jobs; readiness; clients that hang up."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

AUTH = {"api_auth": (("ann", "a"), ("bob", "b"))}
KEYS = {"progress", "eta_relative", "state", "current_image", "textinfo"}
STATE = {"skipped", "interrupted", "stopping_generation", "job", "job_count", "job_timestamp", "job_no"}


@pytest.fixture
def crowd():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_idle_is_all_zeros(client):
    told = client.get("/sdapi/v1/progress").json()
    assert set(told) == KEYS
    assert set(told["state"]) == STATE | {"sampling_step", "sampling_steps"}
    assert (told["progress"], told["eta_relative"], told["current_image"]) == (0, 0, None)
    assert (told["state"]["job_count"], told["state"]["job"]) == (0, "")


def test_a_running_job_shows_its_step_and_preview(client, rig, crowd):
    rig.engine.hold()
    drawing = crowd.submit(client.post, "/sdapi/v1/txt2img", json={"steps": 2, "n_iter": 2, "force_task_id": "mine"})
    assert rig.engine.entered.acquire(timeout=10)
    told = client.get("/sdapi/v1/progress").json()
    assert told["progress"] == 0.01
    assert told["state"]["job"] == "mine"
    assert told["state"]["job_count"] >= 1
    reached = threading.Event()
    rig.bus.subscribe(lambda event: reached.set() if type(event).__name__ == "Preview" else None)
    rig.engine.let_go()
    assert reached.wait(10)
    assert drawing.result(10).status_code == 200
    assert client.get("/sdapi/v1/progress").json()["progress"] == 0


def test_the_preview_can_be_left_out(client, rig):
    from modules.contracts.events import Preview, StepDone
    from modules.contracts.request import GenerationRequest

    rig.engine.hold()
    handle = rig.queue.submit(GenerationRequest(), "local")
    assert rig.engine.entered.acquire(timeout=10)
    tracker = rig.queue.handle(handle.id)._ticket
    tracker.publish(StepDone(handle.id, 3, 20, 1, 4, 0.5, 12.0))
    tracker.publish(Preview(handle.id, 3, b"jpeg"))
    told = client.get("/sdapi/v1/progress").json()
    assert base64.b64decode(told["current_image"]) == b"jpeg"
    assert (told["progress"], told["eta_relative"]) == (0.5, 12.0)
    state = told["state"]
    assert (state["job_no"], state["job_count"], state["sampling_step"], state["sampling_steps"]) == (1, 4, 3, 20)
    assert state["job_timestamp"].isdecimal()
    assert client.get("/sdapi/v1/progress?skip_current_image=true").json()["current_image"] is None


def test_a_waiting_job_is_not_idle(make_rig, crowd):
    rig = make_rig(lanes=1, network=AUTH)
    client = rig.client()
    rig.engine.hold()
    first = crowd.submit(client.post, "/sdapi/v1/txt2img", json={"steps": 1}, auth=("ann", "a"))
    assert rig.engine.entered.acquire(timeout=10)
    second = crowd.submit(client.post, "/sdapi/v1/txt2img", json={"steps": 1}, auth=("bob", "b"))
    while rig.queue.pending("bob") == 0:
        threading.Event().wait(0.01)
    told = client.get("/sdapi/v1/progress", auth=("bob", "b")).json()
    assert (told["progress"], told["state"]["job_count"]) == (0, 1)
    rig.engine.let_go()
    assert [first.result(10).status_code, second.result(10).status_code] == [200, 200]


def test_the_oldest_waiting_job_is_shown_however_many_wait(make_rig):
    from modules.contracts.request import GenerationRequest

    rig = make_rig(lanes=1, network=AUTH)
    rig.engine.hold()
    rig.queue.submit(GenerationRequest(), "ann")
    assert rig.engine.entered.acquire(timeout=10)
    waiting = [rig.queue.submit(GenerationRequest(), "bob").id for _ in range(103)]
    state = rig.client().get("/sdapi/v1/progress", auth=("bob", "b")).json()["state"]
    assert (state["job"], state["job_count"]) == (waiting[0], 103)


def test_interrupt_stops_the_callers_jobs_and_nobody_elses(make_rig, crowd):
    rig = make_rig(network=AUTH)
    client = rig.client()
    rig.engine.hold()
    body = {"steps": 2, "batch_size": 2}
    mine = crowd.submit(client.post, "/sdapi/v1/txt2img", json=body, auth=("ann", "a"))
    other = crowd.submit(client.post, "/sdapi/v1/txt2img", json=body, auth=("bob", "b"))
    for _ in range(2):
        assert rig.engine.entered.acquire(timeout=10)
    answer = client.post("/sdapi/v1/interrupt", auth=("ann", "a"))
    assert (answer.status_code, answer.json()) == (200, {})
    stopped = mine.result(10)
    assert stopped.status_code == 200
    assert (stopped.json()["images"], json.loads(stopped.json()["info"])["interrupted"]) == ([], True)
    assert not other.done()
    rig.engine.let_go()
    assert len(other.result(10).json()["images"]) == 2


def test_skip_leaves_one_batch_out(client, rig, crowd):
    rig.engine.hold()
    drawing = crowd.submit(client.post, "/sdapi/v1/txt2img", json={"steps": 2, "n_iter": 2})
    assert rig.engine.entered.acquire(timeout=10)
    answer = client.post("/sdapi/v1/skip")
    assert (answer.status_code, answer.json()) == (200, None)
    assert rig.engine.entered.acquire(timeout=10)
    rig.engine.let_go()
    assert len(drawing.result(10).json()["images"]) == 1


def test_nothing_to_interrupt_is_no_error(client):
    assert client.post("/sdapi/v1/interrupt").json() == {}
    assert client.post("/sdapi/v1/skip").json() is None


def test_health_tells_alive_from_ready(make_rig):
    rig = make_rig(ready=False)
    client = rig.client()
    rig.status.set("libraries", "Loading torch")
    alive, ready = client.get("/healthz"), client.get("/readyz")
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert (ready.json()["phase"], ready.json()["message"]) == ("libraries", "Loading torch")
    assert int(ready.headers["retry-after"]) > 0
    rig.status.set("ready", "Ready")
    assert client.get("/readyz").status_code == 200
    assert client.get("/readyz").json()["ready"] is True


def test_a_call_waits_for_the_start(make_rig, crowd):
    rig = make_rig(ready=False)
    client = rig.client()
    drawing = crowd.submit(client.post, "/sdapi/v1/txt2img", json={"steps": 1})
    assert client.get("/sdapi/v1/samplers").status_code == 200
    assert not drawing.done()
    rig.status.set("ready", "Ready")
    assert drawing.result(10).status_code == 200


def test_a_start_that_takes_too_long_or_failed_is_a_503(make_rig, monkeypatch):
    rig = make_rig(ready=False)
    client = rig.client()
    rig.status.set("failed", "There is no model.")
    answer = client.post("/sdapi/v1/txt2img", json={"steps": 1})
    assert answer.status_code == 503
    assert "There is no model." in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    rig.status.set("libraries", "Loading torch")
    monkeypatch.setattr("modules.api.running.wait_ready.__defaults__", (0.0,))
    assert client.post("/sdapi/v1/txt2img", json={"steps": 1}).status_code == 503
    assert rig.queue.list() == []


def converse(rig, leave):
    """Send a body, wait until the engine is at work, then `leave(request task, hang up)`; what was answered."""
    app, answered = rig.application(), []
    rig.engine.hold()

    async def talk():
        body = json.dumps({"steps": 3, "force_task_id": "left"}).encode()
        hang_up = asyncio.Event()
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if parts:
                return parts.pop()
            await hang_up.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            answered.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/sdapi/v1/txt2img", "raw_path": b"/sdapi/v1/txt2img", "query_string": b"", "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860),
        }  # fmt: skip
        request = asyncio.ensure_future(app(scope, receive, send))
        assert await asyncio.to_thread(rig.engine.entered.acquire, True, 10)
        leave(request, hang_up)
        await asyncio.wait((request,), timeout=10)
        assert request.done()

    asyncio.run(talk())
    return answered


def test_a_client_that_hangs_up_cancels_its_job(rig):
    converse(rig, lambda request, hang_up: hang_up.set())
    rig.queue.handle("left").wait(10)
    assert rig.queue.get("left").state == "cancelled"


def test_a_server_that_closes_says_so_and_leaves_the_job_alone(rig):
    answered = converse(rig, lambda request, hang_up: request.cancel())
    assert answered[0]["status"] == 503
    assert "goes on when it starts again" in json.loads(answered[1]["body"])["detail"]
    assert rig.queue.get("left").state == "running"
