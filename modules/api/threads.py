"""Threads in which calls of the API wait for the database or a codec: all of them start with the server and stay.

A loop that starts a thread waits until the system and the interpreter let it run. Beside eight lanes that compute that
was 50 to 190 ms, in which nobody was answered; and AnyIO, which runs plain functions for FastAPI, lets threads go that
had nothing to do for ten seconds, so it came again with every burst of requests.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
from anyio import to_thread
from anyio._backends._asyncio import WorkerThread

CALLS = 16
"""More only stand in each other's way."""
FOREVER = 2**31
"""Seconds."""


async def stand(calls: int = CALLS) -> None:
    """Start the running loop's threads, for AnyIO and for `asyncio.to_thread` alike; `calls` of each."""
    WorkerThread.MAX_IDLE_TIME = FOREVER  # AnyIO has no other way of being told
    to_thread.current_default_thread_limiter().total_tokens = calls
    gate = threading.Barrier(calls)

    async def occupy() -> None:
        await to_thread.run_sync(gate.wait)

    async with anyio.create_task_group() as group:
        for _ in range(calls):
            group.start_soon(occupy)
    asyncio.get_running_loop().set_default_executor(_standing(calls))


def _standing(calls: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(calls, thread_name_prefix="call")
    gate = threading.Barrier(calls + 1)
    for _ in range(calls):
        pool.submit(gate.wait)
    gate.wait()
    return pool
