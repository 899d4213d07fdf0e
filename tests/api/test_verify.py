"""Verifying over HTTP: callers that wait hold nobody up, and what nobody waits for any more is not drawn."""

from __future__ import annotations

import asyncio

import anyio.to_thread
import httpx
import pytest

from tests.accounts.test_limits import RECIPE
from tests.api.fakes import Rig, made

CALLERS = 20
THREADS = 4
"""Of the pool in which plain handlers run: fewer than callers, so that callers that kept one would use it up."""


@pytest.fixture
def rig(tmp_path):
    studio = Rig(tmp_path, lanes=1, gallery=True)
    studio.engine.recipe = RECIPE
    yield studio
    studio.close()


@pytest.fixture
def picture(rig):
    """The id of a picture that can be drawn again."""
    return drawn(rig)


def drawn(rig, **changes):
    job = made(rig.client(), seeds={"seed": 3}, **changes)["id"]
    rig.queue.handle(job).wait(10)
    return rig.pictures.list(job_id=job)[0].id


def talk(rig, conversation):
    """Run `conversation(http)` in one loop with the application and a small pool of threads."""

    async def main():
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        transport = httpx.ASGITransport(rig.application())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860", timeout=30) as http:
            return await conversation(http)

    return asyncio.run(main())


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_callers_that_wait_leave_the_others_their_threads(rig, picture):
    rig.engine.hold()

    async def conversation(http):
        callers = [asyncio.create_task(http.post(f"/api/v1/pictures/{picture}/verify")) for _ in range(CALLERS)]
        await until(lambda: rig.queue.pending() >= CALLERS)
        other = await asyncio.wait_for(http.get("/api/v1/pictures"), 10)
        assert not any(caller.done() for caller in callers)
        rig.engine.let_go()
        return other, await asyncio.gather(*callers)

    other, answers = talk(rig, conversation)
    assert other.status_code == 200
    assert [answer.status_code for answer in answers] == [200] * CALLERS
    for answer in answers:
        told = answer.json()
        assert (told["same"], told["alone"]["largest"], told["company"]["largest"]) == (True, 0, 0)
    assert rig.queue.pending() == 0


def test_a_caller_who_hangs_up_cancels_what_was_drawn_for_them(rig, picture):
    rig.engine.hold()
    before = {job.id for job in rig.queue.list()}
    application = rig.application()
    gone = asyncio.Event()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    sent = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": f"/api/v1/pictures/{picture}/verify", "raw_path": b"", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"127.0.0.1:7860")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860),
    }  # fmt: skip

    async def main():
        call = asyncio.create_task(application(scope, receive, send))
        await until(lambda: rig.queue.pending() == 1)
        gone.set()
        await asyncio.wait_for(call, 10)

    asyncio.run(main())
    (job,) = [job for job in rig.queue.list() if job.id not in before]
    rig.queue.handle(job.id).wait(10)
    assert rig.queue.get(job.id).state == "cancelled"


def test_a_picture_that_is_not_there_or_cannot_be_drawn_again(rig, picture):
    client = rig.client()
    assert client.post("/api/v1/pictures/nothing/verify").status_code == 404
    rig.engine.recipe = {**RECIPE, "format": 99}
    answer = client.post(f"/api/v1/pictures/{drawn(rig)}/verify")
    assert (answer.status_code, "format 99" in answer.json()["detail"]) == (422, True)
