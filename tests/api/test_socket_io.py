"""Socket.IO with the library's own client against a server on loopback: who may, what they hear, in both transports."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util

import aiohttp
import httpx
import pytest
import socketio
from starlette.websockets import WebSocketDisconnect

from modules.api import socket_io
from modules.contracts.events import Preview, StepDone
from tests.api.fakes import SMALL, made
from tests.api.test_webuiapi import serving

HELLO = "EIO=4&transport=polling"
TRANSPORTS = [["websocket"], ["polling", "websocket"]]


class Ear:
    """A client that writes down what it hears."""

    def __init__(self):
        self.client = socketio.AsyncClient(reconnection=False)
        self.heard = []
        self.gone = asyncio.Event()
        self._news = asyncio.Event()
        self.client.on("*", self._hear)
        self.client.on("disconnect", self._part)

    async def _hear(self, name, *data):
        self.heard.append((name, data[0] if data else None))
        self._news.set()

    async def _part(self, reason):
        self.gone.set()

    async def until(self, name, count=1):
        async with asyncio.timeout(20):
            while [heard for heard, _ in self.heard].count(name) < count:
                self._news.clear()
                await self._news.wait()
        return [data for heard, data in self.heard if heard == name]

    def names(self):
        return [name for name, _ in self.heard]


@contextlib.asynccontextmanager
async def listening(port, query="", path="/ws/socket.io", transports=None, **more):
    ear = Ear()
    address = f"http://127.0.0.1:{port}/?{query}"
    await ear.client.connect(address, socketio_path=path, transports=transports, wait_timeout=20, **more)
    try:
        yield ear
    finally:
        await ear.client.disconnect()
        await ear.client.shutdown()


async def asked(port, headers=None, **changes):
    async with httpx.AsyncClient(timeout=20) as web:
        answer = await web.post(f"http://127.0.0.1:{port}/api/v1/jobs", json={**SMALL, **changes}, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def refused(port, query="", **more):
    """What a client is told that must not come in."""
    told = []
    # Its own session would be left open by a client that was refused.
    async with aiohttp.ClientSession() as session:
        client = socketio.AsyncClient(reconnection=False, http_session=session)
        client.on("connect_error", told.append)
        with pytest.raises(socketio.exceptions.ConnectionError):
            address = f"http://127.0.0.1:{port}/?{query}"
            await client.connect(address, socketio_path="ws/socket.io", wait_timeout=5, **more)
        await client.shutdown()
    return told


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_a_client_hears_our_events_and_those_of_iopaint(rig, transports):
    app = rig.application()

    async def follow(port):
        async with listening(port, transports=transports) as ear:
            assert (await ear.until("snapshot"))[0]["pending"] == 0
            rig.engine.hold()
            job = await asked(port)
            await ear.until("queued")
            rig.bus.publish(Preview(job, 0, b"preview"))
            await ear.until("preview")  # one that another has not overtaken is sure to come
            rig.engine.let_go()
            await ear.until("diffusion_finish")
            return job, ear.heard

    with serving(app) as port:
        job, heard = asyncio.run(follow(port))
    ours = [name for name, _ in heard if not name.startswith("diffusion_")]
    assert [ours[0], ours[1], ours[-1]] == ["snapshot", "queued", "done"]
    steps = [data["step"] for name, data in heard if name == "step"]
    theirs = [data for name, data in heard if name == "diffusion_progress"]
    assert theirs == [{"step": step - 1, "job_id": job} for step in steps]
    assert [data for name, data in heard if name == "diffusion_finish"] == [None]
    assert {data["job_id"] for name, data in heard if name in ("queued", "step", "picture", "done")} == {job}
    looks = [data["data"] for name, data in heard if name == "preview"]
    assert looks
    assert set(looks) == {b"preview"}
    picture = next(data for name, data in heard if name == "picture")
    assert (picture["picture_id"], picture["width"]) == (f"{job}-0", 64)


def test_the_place_where_the_page_of_iopaint_looks(rig):
    async def follow(port):
        async with listening(port, path="/socket.io") as ear:
            await ear.until("snapshot")
            return [name for name, _ in ear.heard]

    with serving(rig.application()) as port:
        assert asyncio.run(follow(port)) == ["snapshot"]


def test_one_job_is_followed_from_where_the_client_left_off_and_then_the_line_is_cut(rig):
    app = rig.application()

    async def follow(port):
        job = await asked(port)
        await asyncio.to_thread(rig.queue.handle(job).wait, 10)
        other = await asked(port)
        await asyncio.to_thread(rig.queue.handle(other).wait, 10)
        feed = app.state.feed
        async with listening(port, f"job={job}&after={feed.epoch}-0&previews=false") as ear:
            async with asyncio.timeout(20):
                await ear.gone.wait()
            return job, ear.heard

    with serving(app) as port:
        job, heard = asyncio.run(follow(port))
    assert [heard[0][0], heard[-1][0]] == ["queued", "diffusion_finish"]
    assert "preview" not in {name for name, _ in heard}
    assert {data["job_id"] for _, data in heard[:-1]} == {job}


def test_nobody_hears_of_what_belongs_to_others(people):
    _, clients = people
    keys = {name: {"authorization": client.headers["authorization"]} for name, client in clients.items()}

    async def follow(port):
        async with (
            listening(port, headers=keys["bob"]) as bob,
            listening(port, "owner=*", headers=keys["ada"], transports=["websocket"]) as ada,
        ):
            await asyncio.gather(bob.until("snapshot"), ada.until("snapshot"))
            first = await asked(port, keys["ann"])
            second = await asked(port, keys["bob"])
            await asyncio.gather(bob.until("diffusion_finish"), ada.until("diffusion_finish", 2))
            return first, second, bob.heard, ada.heard

    with serving(clients["ann"].app) as port:
        first, second, bob, ada = asyncio.run(follow(port))
    assert {data["job_id"] for name, data in bob if name not in ("snapshot", "diffusion_finish")} == {second}
    assert [name for name, _ in bob].count("diffusion_finish") == 1
    assert {data["job_id"] for name, data in ada if name not in ("snapshot", "diffusion_finish")} == {first, second}


def test_strangers_are_not_let_in_and_what_cannot_be_followed_is_refused_with_a_sentence(people):
    _, clients = people
    headers = {"authorization": clients["bob"].headers["authorization"]}

    async def knock(port):
        for transport in ("polling", "websocket"):
            await refused(port, transports=[transport])
        for query in ("owner=*", "owner=ann", "job=nothing", "previews=perhaps", "after=" + "1" * 65):
            (told,) = await refused(port, query, headers=headers)
            assert told["message"], query

    with serving(clients["bob"].app) as port:
        asyncio.run(knock(port))


@pytest.mark.parametrize("place", ["/ws/socket.io/", "/socket.io/"])
def test_a_foreign_page_neither_reads_nor_writes_nor_opens_a_socket(client, place):
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
    ):
        for method in ("GET", "POST"):
            answer = client.request(method, f"{place}?{HELLO}", headers=headers)
            assert (answer.status_code, answer.json()["error"].split("_")[0]) == (403, "foreign")
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            client.websocket_connect(f"{place}?EIO=4&transport=websocket", headers=headers),
        ):
            pass
        assert refused.value.code == 1008


def test_a_lent_id_of_a_connection_opens_nothing(people):
    _, clients = people
    with serving(clients["ann"].app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        keys = {name: {"authorization": clients[name].headers["authorization"]} for name in ("ann", "bob")}
        opened = web.get(f"/ws/socket.io/?{HELLO}", headers=keys["ann"])
        sid = opened.json()["sid"] if opened.text.startswith("{") else opened.text.split('"sid":"')[1].split('"')[0]
        place = f"/ws/socket.io/?{HELLO}&sid={sid}"
        assert web.get(place).status_code == 401
        assert web.get(place, headers=keys["bob"]).status_code == 403
        assert web.post(place, headers=keys["bob"], content="40").status_code == 403
        assert web.post(place, headers=keys["ann"], content="40").status_code == 200
        heard = web.get(place, headers=keys["ann"]).text
        while "snapshot" not in heard:
            heard += web.get(place, headers=keys["ann"]).text
        assert heard.startswith("40{")


def test_answers_that_any_page_could_read_as_a_script_are_not_given(client):
    answer = client.get(f"/ws/socket.io/?{HELLO}&j=0")
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")


def test_nobody_opens_connections_without_end(people, monkeypatch):
    _, clients = people
    monkeypatch.setattr(socket_io, "MOST_READERS", 2)
    with serving(clients["ann"].app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        keys = {name: {"authorization": clients[name].headers["authorization"]} for name in ("ann", "bob")}
        statuses = [web.get(f"/ws/socket.io/?{HELLO}", headers=keys["ann"]).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert web.get(f"/ws/socket.io/?{HELLO}", headers=keys["bob"]).status_code == 200


def test_what_is_too_large_or_nonsense_breaks_nothing(rig, monkeypatch):
    monkeypatch.setattr(socket_io, "SEND_SECONDS", 0.2)
    with serving(rig.application()) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        for content, status in (
            ("4" + "x" * socket_io.LARGEST_MESSAGE, 422),
            ("0", 422),
            ("nonsense", 200),
            ("42[", 200),
            ("451-[]", 200),
            ("\x00", 200),
        ):
            sid = web.get(f"/ws/socket.io/?{HELLO}").text.split('"sid":"')[1].split('"')[0]
            answer = web.post(f"/ws/socket.io/?{HELLO}&sid={sid}", content=content)
            assert answer.status_code == status, content
        assert web.get("/ws/other").status_code == 404
        assert web.get("/ws/socket.io/?transport=polling").status_code == 400
        assert web.get("/healthz").status_code == 200


def test_what_a_client_would_attach_is_not_kept(rig):
    app = rig.application()
    live = next(route.app for route in app.router.routes if getattr(route, "path", "") == "/ws")
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        sid = web.get(f"/ws/socket.io/?{HELLO}").text.split('"sid":"')[1].split('"')[0]
        place = f"/ws/socket.io/?{HELLO}&sid={sid}"
        assert web.post(place, content="40").status_code == 200
        assert web.get(place).text.startswith("40{")
        for content in ('4599999999-["a",{"_placeholder":true,"num":0}]', "bAAAA", "bAAAA"):
            assert web.post(place, content=content).status_code == 200
        assert live._server._binary_packet == {}


def test_a_client_that_takes_nothing_is_let_go_of(rig, monkeypatch):
    monkeypatch.setattr(socket_io, "SEND_SECONDS", 0.2)
    app = rig.application()
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        sid = web.get(f"/ws/socket.io/?{HELLO}").text.split('"sid":"')[1].split('"')[0]
        place = f"/ws/socket.io/?{HELLO}&sid={sid}"
        assert web.post(place, content="40").status_code == 200
        assert web.get(place).text.startswith("40{")
        for _ in range(500):
            if app.state.feed.readers == 1:
                break
            asyncio.run(asyncio.sleep(0.01))
        job = made(rig.client(app))["id"]
        rig.queue.handle(job).wait(10)
        for step in range(4 * socket_io.MOST_UNSENT):
            rig.bus.publish(StepDone(job, step))
            rig.bus.publish(Preview(job, step, b"look"))
        for _ in range(500):
            if app.state.feed.readers == 0:
                break
            asyncio.run(asyncio.sleep(0.02))
        assert app.state.feed.readers == 0


def test_a_client_that_has_gone_before_it_is_answered_is_no_error(rig, caplog):
    answered = []

    async def ask():
        async def gone():
            return {"type": "http.disconnect"}

        async def send(message):
            answered.append(message)

        headers = [(b"host", b"127.0.0.1")]
        scope = {"type": "http", "method": "GET", "path": "/ws/socket.io/", "query_string": HELLO.encode()}
        await rig.application()({**scope, "headers": headers, "raw_path": b"", "scheme": "http"}, gone, send)

    asyncio.run(ask())
    assert answered == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_without_the_extra_it_says_how_to_get_it(client, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "socketio" else found(name))
    answer = client.get(f"/ws/socket.io/?{HELLO}")
    assert (answer.status_code, answer.json()["error"]) == (422, "unsupported_feature")
    assert "--extra socketio" in answer.json()["detail"]


def test_it_stands_below_a_sub_path_as_well(make_rig):
    client = make_rig(network={"subpath": "/atelier"}).client()
    for place in ("/atelier/ws/socket.io/", "/atelier/socket.io/"):
        assert '"sid":"' in client.get(f"{place}?{HELLO}").text
        refused = client.get(f"{place}?{HELLO}", headers={"sec-fetch-site": "cross-site"})
        assert refused.status_code == 403, place


def test_it_is_gone_with_the_api(make_rig):
    rig = make_rig(network={"api": False})
    assert rig.client().get(f"/ws/socket.io/?{HELLO}").status_code == 404
