"""The port answers before the application exists, and passes everything on afterwards."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from modules.api.opening import Opening
from modules.support.studio import Status


async def application(scope, receive, send):
    """Says which address it was called with."""
    body = f"{scope['path']} root={scope.get('root_path', '')}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


class Lifespan(contextlib.AbstractAsyncContextManager):
    def __init__(self, fails: bool = False):
        self.fails, self.steps = fails, []

    async def __aenter__(self):
        if self.fails:
            raise RuntimeError("no start")
        self.steps.append("start")

    async def __aexit__(self, *error):
        self.steps.append("stop")


def client(opening):
    return httpx.AsyncClient(transport=httpx.ASGITransport(opening), base_url="http://studio")


def test_before_the_application_there_is_a_page_and_an_honest_state():
    async def main():
        status = Status()
        opening = Opening(status)
        status.set("page", "Building the page")
        async with client(opening) as http:
            page, health, ready = [await http.get(path) for path in ("/", "/healthz", "/readyz")]
        assert (page.status_code, health.status_code, ready.status_code) == (200, 200, 503)
        assert "Atelier" in page.text
        assert health.json()["message"] == "Building the page"
        assert health.json()["page"] is False
        assert ready.headers["retry-after"]

    asyncio.run(main())


def test_a_call_that_came_early_waits_and_is_answered_by_the_application():
    async def main():
        opening, life = Opening(Status()), Lifespan()
        async with client(opening) as http:
            early = asyncio.create_task(http.post("/sdapi/v1/txt2img", json={}))
            await asyncio.sleep(0.01)
            assert not early.done()
            await opening.hand_over(application, life)
            assert (await early).text.startswith("/sdapi/v1/txt2img")
            assert (await http.get("/")).text.startswith("/ ")
        assert life.steps == ["start"]
        await opening.close()
        assert life.steps == ["start", "stop"]

    asyncio.run(main())


def test_a_failing_start_up_is_raised_to_whoever_hands_over():
    async def main():
        opening = Opening(Status())
        with pytest.raises(RuntimeError, match="no start"):
            await opening.hand_over(application, Lifespan(fails=True))
        async with client(opening) as http:
            assert (await http.get("/readyz")).status_code == 503

    asyncio.run(main())


def test_a_proxy_may_strip_the_sub_path_or_leave_it():
    async def main():
        opening = Opening(Status(), "/art")
        await opening.hand_over(application, Lifespan())
        async with client(opening) as http:
            texts = {(await http.get(path)).text for path in ("/sdapi", "/art/sdapi")}
        assert texts == {"/art/sdapi root=/art"}
        await opening.close()

    asyncio.run(main())
