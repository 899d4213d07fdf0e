"""Events by Server-Sent Events and WebSocket: order, resuming, previews, whose they are, and what is left behind."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading

import httpx
import pytest
from starlette.websockets import WebSocketDisconnect

from modules.api.events import EventStream
from modules.api.feed import MOST_READERS, Feed, FellBehind
from modules.api.watching import Message
from modules.contracts.errors import OverLimit
from modules.contracts.events import ImageReady, JobDone, Preview, StepDone
from modules.support.bus import EventBus
from tests.api.fakes import SMALL, made
from tests.api.test_webuiapi import serving

HERE = "ws://127.0.0.1:7860"


def parse(text):
    """Events of a stream as (id, name, data)."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found.append((lines.get("id"), lines["event"], json.loads(lines["data"])))
    return found


def finished(client, rig, **changes):
    job = made(client, **changes)["id"]
    rig.queue.handle(job).wait(10)
    return job


def test_a_job_is_followed_from_where_the_client_left_off(client, rig):
    job = finished(client, rig)
    feed = client.app.state.feed
    first = parse(client.get(f"/api/v1/jobs/{job}/events", headers={"last-event-id": f"{feed.epoch}-0"}).text)
    names = [name for _, name, _ in first]
    assert names[0] == "queued"
    assert names[-1] == "done"
    assert names.count("step") == 2
    assert "preview" not in names
    assert {data["job_id"] for _, _, data in first} == {job}
    numbers = [int(mark.split("-")[1]) for mark, _, _ in first]
    assert numbers == sorted(set(numbers))
    picture = next(data for _, name, data in first if name == "picture")
    assert picture["picture_id"] == f"{job}-0"
    assert (picture["width"], picture["height"], picture["index"]) == (64, 64, 0)
    middle = first[len(first) // 2][0]
    rest = client.get(f"/api/v1/jobs/{job}/events", headers={"last-event-id": middle})
    assert parse(rest.text) == first[len(first) // 2 + 1 :]
    assert client.get(f"/api/v1/jobs/{job}/events", headers={"last-event-id": first[-1][0]}).status_code == 204
    assert feed.readers == 0


def test_without_a_place_it_begins_with_a_snapshot(client, rig):
    job = finished(client, rig)
    for place in (None, "nonsense", "deadbeef-3", f"{client.app.state.feed.epoch}-999999"):
        answer = client.get(f"/api/v1/jobs/{job}/events", headers={"last-event-id": place} if place else {})
        assert answer.headers["content-type"].startswith("text/event-stream")
        (event,) = parse(answer.text)
        assert event[1] == "snapshot"
        assert event[2]["job"]["state"] == "done"


def test_all_jobs_of_a_caller_are_followed_and_nothing_stays_when_the_client_goes(rig):
    app = rig.application()
    rig.engine.hold()
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as web:
        with web.stream("GET", "/api/v1/events?previews=true") as stream:
            lines = stream.iter_lines()
            assert "event: snapshot" in (line for line in lines)
            job = web_post(port, SMALL)
            rig.engine.let_go()
            told = []
            for line in lines:
                told.append(line)
                if line == "event: done":
                    break
            looks = [json.loads(line[6:]) for line in told if line.startswith("data: ") and '"data"' in line]
            assert all(base64.b64decode(look["data"]) == b"preview" for look in looks)
            assert any(job in line for line in told)
            assert app.state.feed.readers == 1
        for _ in range(500):
            if app.state.feed.readers == 0:
                break
            threading.Event().wait(0.02)
        assert app.state.feed.readers == 0


def web_post(port, body):
    answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/jobs", json=body, timeout=20)
    assert answer.status_code == 202
    return answer.json()["id"]


def test_a_websocket_tells_the_same_with_previews_as_bytes(client, rig):
    feed = client.app.state.feed
    job = finished(client, rig)
    rig.engine.hold()
    with client.websocket_connect(f"{HERE}/api/v1/ws?after={feed.epoch}-0&job={job}") as socket:
        assert socket.receive_json()["event"] == "queued"
        names = []
        while "done" not in names:
            names.append(socket.receive_json()["event"])
    other = made(client)["id"]
    with client.websocket_connect(f"{HERE}/api/v1/ws?job={other}") as socket:
        assert socket.receive_json()["event"] == "snapshot"
        rig.bus.publish(Preview(other, 1, b"\x89PNG", "image/png"))
        while True:
            message = socket.receive()
            if message.get("bytes"):
                break
        data = message["bytes"]
        (length,) = struct.unpack(">I", data[:4])
        head = json.loads(data[4 : 4 + length])
        assert (head["event"], head["job_id"], head["media_type"]) == ("preview", other, "image/png")
        assert data[4 + length :] == b"\x89PNG"
    rig.engine.let_go()
    rig.queue.handle(other).wait(10)


def test_nobody_hears_of_what_belongs_to_others(people):
    rig, clients = people
    job = made(clients["ann"])["id"]
    rig.queue.handle(job).wait(10)
    assert clients["bob"].get(f"/api/v1/jobs/{job}/events").status_code == 403
    assert clients["bob"].get("/api/v1/events?owner=ann").status_code == 403
    epoch = clients["bob"].app.state.feed.epoch
    mine = made(clients["bob"])["id"]
    rig.queue.handle(mine).wait(10)
    with clients["bob"].websocket_connect(f"{HERE}/api/v1/ws?after={epoch}-0") as socket:
        heard = []
        while not heard or heard[-1]["event"] != "done":
            heard.append(socket.receive_json())
    assert {event["job_id"] for event in heard} == {mine}
    for query, code in ((f"job={job}", 1008), ("owner=*", 1008), ("job=nothing", 1008)):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            clients["bob"].websocket_connect(f"{HERE}/api/v1/ws?{query}"),
        ):
            pass
        assert refused.value.code == code


def test_strangers_and_foreign_pages_get_no_socket(people):
    rig, _ = people
    stranger = rig.client()
    with pytest.raises(WebSocketDisconnect) as refused, stranger.websocket_connect(f"{HERE}/api/v1/ws"):
        pass
    assert refused.value.code == 4401


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}])
def test_a_foreign_page_opens_no_socket_on_this_machine(client, headers):
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect(f"{HERE}/api/v1/ws", headers=headers):
        pass
    assert refused.value.code == 1008


class FakeQueue:
    def get(self, job_id):
        return None


def test_the_list_is_bounded_and_holds_no_pictures():
    bus = EventBus()
    feed = Feed(bus, FakeQueue(), length=4)
    for step in range(10):
        bus.publish(StepDone("a", step))
    assert [entry.fields["step"] for entry in feed.after(6)] == [6, 7, 8, 9]
    with pytest.raises(FellBehind):
        feed.after(5)
    bus.publish(Preview("a", 1, b"look"))
    (entry,) = feed.after(10)
    assert feed.look(entry).data == b"look"
    bus.publish(JobDone("a"))
    assert feed.look(entry) is None
    bus.publish(ImageReady("a", None))
    assert all(not isinstance(value, bytes) for entry in feed.after(9) for value in entry.fields.values())


def test_nobody_opens_streams_without_end():
    async def open_many():
        feed = Feed(EventBus(), FakeQueue())
        readers = [feed.reading("ann") for _ in range(MOST_READERS)]
        for reader in readers:
            reader.__enter__()
        with feed.reading("bob"):
            assert feed.readers == MOST_READERS + 1
        with pytest.raises(OverLimit):
            feed.check_room("ann")
        for reader in readers:
            reader.__exit__(None, None, None)
        assert feed.readers == 0

    asyncio.run(open_many())


def test_a_reader_that_takes_nothing_is_let_go_of():
    closed = []

    async def messages():
        try:
            while True:
                yield Message("step", {})
        finally:
            closed.append(True)

    async def stuck():
        sent = []

        async def send(message):
            sent.append(message)
            if len(sent) > 3:
                await asyncio.Event().wait()

        async def receive():
            await asyncio.Event().wait()

        await EventStream(messages(), patience=0.05)({"type": "http"}, receive, send)
        return sent

    assert len(asyncio.run(stuck())) == 4
    assert closed == [True]
