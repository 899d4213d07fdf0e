"""A burst of requests does not hold up a probe."""

from __future__ import annotations

import asyncio

import httpx

from modules.api.turnstile import Turnstile


def test_a_probe_overtakes_a_burst_and_everybody_is_answered_in_turn():
    order = []

    async def application(scope, receive, send):
        order.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        transport = httpx.ASGITransport(Turnstile(application))
        async with httpx.AsyncClient(transport=transport, base_url="http://studio") as http:
            burst = [asyncio.create_task(http.get(f"/call/{number}")) for number in range(20)]
            while not order:
                await asyncio.sleep(0)
            probe = asyncio.create_task(http.get("/healthz"))
            await asyncio.gather(probe, *burst)

    asyncio.run(main())
    calls = [path for path in order if path != "/healthz"]
    assert calls == [f"/call/{number}" for number in range(20)]
    assert order.index("/healthz") < 10


def test_several_loops_may_use_one_application():
    passed = []

    async def application(scope, receive, send):
        passed.append(scope["path"])

    turnstile = Turnstile(application)

    async def burst():
        await asyncio.gather(*(turnstile({"type": "http", "path": "/x"}, None, None) for _ in range(5)))

    for _ in range(2):
        asyncio.run(burst())
    assert len(passed) == 10
