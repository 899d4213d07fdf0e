"""The threads of calls are there from the beginning and stay, so that no loop waits for one to start."""

from __future__ import annotations

import asyncio
import threading

import pytest
from anyio import to_thread
from anyio._backends import _asyncio as backend

from modules.api.threads import stand

CALLS = 5


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(backend.WorkerThread, "MAX_IDLE_TIME", backend.WorkerThread.MAX_IDLE_TIME)


def workers():
    return {thread for thread in threading.enumerate() if isinstance(thread, backend.WorkerThread)}


def test_no_call_starts_a_thread_and_none_goes_for_want_of_work():
    async def main():
        await stand(CALLS)
        first, everything = workers(), set(threading.enumerate())
        assert to_thread.current_default_thread_limiter().total_tokens == CALLS
        for idle in backend._threadpool_idle_workers.get():
            idle.idle_since -= 3600
        together = threading.Barrier(CALLS)
        await asyncio.gather(*(to_thread.run_sync(together.wait) for _ in range(CALLS)))
        again = threading.Barrier(CALLS)
        await asyncio.gather(*(asyncio.to_thread(again.wait) for _ in range(CALLS)))
        return first, everything, set(threading.enumerate())

    before = workers()
    first, everything, after = asyncio.run(main())
    assert len(first - before) == CALLS
    assert after <= everything
    assert first - before <= after
