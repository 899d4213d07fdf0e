"""What the load benchmark takes for a failure, and what it makes of figures."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import httpx
import pytest

from modules.bench.crowd import KINDS, Crowd, ask_once, percentile, summary
from modules.bench.load import Pulse, Watch


def crowd_of(answers):
    """What a crowd of one hears from a server that answers so, until the answers are used up."""
    left = iter(answers)

    async def main():
        transport = httpx.MockTransport(lambda request: next(left))
        async with httpx.AsyncClient(base_url="http://studio", transport=transport) as http:
            chance = random.Random(1)
            return [await ask_once(http, chance) for _ in answers]

    return asyncio.run(main())


def test_refusals_count_as_such_only_when_they_say_when_to_come_again():
    later = {"retry-after": "5"}
    answers = [httpx.Response(429, headers=later), httpx.Response(503, headers=later), httpx.Response(503),
               httpx.Response(500, headers=later), httpx.Response(200, json={"something": "else"})]  # fmt: skip
    outcomes = crowd_of(answers)
    assert [(one.refused, one.failed) for one in outcomes] == [
        (True, False), (True, False), (False, True), (False, True), (False, True),
    ]  # fmt: skip


def test_a_connection_that_breaks_is_a_failure():
    def broken(request):
        raise httpx.ReadError("gone")

    async def main():
        async with httpx.AsyncClient(base_url="http://studio", transport=httpx.MockTransport(broken)) as http:
            return await ask_once(http, random.Random(1))

    outcome = asyncio.run(main())
    assert (outcome.failed, outcome.status, outcome.detail) == (True, 0, "ReadError")


def test_a_crowd_gets_what_it_asked_for_from_the_api(client, rig, monkeypatch):
    seen = Counter()
    crowd = Crowd("http://127.0.0.1:7860", 3)

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            answer = await asyncio.to_thread(
                client.request, request.method, request.url.path, content=await request.aread(), headers=request.headers
            )
            seen[request.url.path] += 1
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    plain = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **options: plain(**options, transport=Transport()))
    asyncio.run(crowd.ask(2))
    report = summary(crowd.outcomes, 2)
    assert report["failures"] == {}
    assert report["admitted_failed"] == 0
    assert report["requests"] == sum(seen.values()) == sum(row["answered"] for row in report["kinds"].values())
    assert set(report["kinds"]) == set(KINDS)


@pytest.mark.parametrize(("values", "share", "value"), [([], 0.5, 0.0), ([3], 0.99, 3), (list(range(100)), 0.95, 95)])
def test_percentiles(values, share, value):
    assert percentile(values, share) == value


def test_a_watch_tells_the_memory_of_a_process():
    import psutil

    with Watch(psutil.Process()) as watch:
        asyncio.run(asyncio.sleep(0.01))
    report = watch.report()
    assert report["start_mib"] > 10
    assert report["end_over_third"] == pytest.approx(1, abs=0.5)
    assert report["most_threads"] >= 1


def test_a_pulse_that_nobody_answers_says_so():
    import socket
    import time

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))  # taken, and not listened on
        with Pulse(f"http://127.0.0.1:{door.getsockname()[1]}") as pulse:
            time.sleep(2.5)
    report = pulse.report()
    assert report["beats"] >= 1
    assert report["failed"] == report["beats"]
    assert report["idle_process_waits_for_a_core"]["max_ms"] >= 0
