"""One job on behalf of one HTTP request: wait until the studio can draw, submit, wait, and notice when nobody waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from modules.contracts.errors import NotReady, StudioError
from modules.contracts.jobs import JobHandle
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult
from modules.support.studio import Studio

log = logging.getLogger(__name__)
T = TypeVar("T")
PATIENCE_SECONDS = 120.0
"""How long a call waits for a studio that is still starting: clients of the old API retry badly, if at all."""
LOOK_SECONDS = 0.2


class ClientGone(StudioError):
    """Nobody reads the answer any more; nginx's 499 says so in its log."""

    kind = "client_gone"
    status = 499


async def wait_ready(studio: Studio, patience: float = PATIENCE_SECONDS) -> None:
    """Return once the studio can draw. Raises `NotReady` when it failed to start, or has not started in time.

    The start ends once in the life of a process, so looking now and then is cheaper than a thread for each caller.
    """
    end = asyncio.get_running_loop().time() + patience
    while not studio.status.ready:
        if studio.status.phase == "failed" or asyncio.get_running_loop().time() >= end:
            raise NotReady(f"The studio cannot draw now ({studio.status.phase}): {studio.status.message}")
        await asyncio.sleep(LOOK_SECONDS)


async def draw(
    request: Request, studio: Studio, wanted: GenerationRequest, owner: str, job_id: str | None
) -> GenerationResult:
    """Run one job to its end. When the client hangs up, the job is cancelled and `ClientGone` raised.

    When this task is cancelled instead, because the server closes, the job is left alone: it goes on at the next start.
    """
    await wait_ready(studio)
    handle = await run_in_threadpool(studio.queue.submit, wanted, owner, job_id=job_id)
    result: asyncio.Future[GenerationResult] = asyncio.ensure_future(handle.result())
    gone: asyncio.Future[Any] = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        await _abandon(handle)
        raise ClientGone("The client hung up, so its job was cancelled.")
    finally:
        gone.cancel()
        result.cancel()


async def attended(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, unless the client hangs up first: then it is cancelled, and `ClientGone` raised."""
    task = asyncio.ensure_future(work)
    gone: asyncio.Future[Any] = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone("The client hung up, so what it asked for was cancelled.")
    finally:
        gone.cancel()
        if task.cancel():
            await asyncio.wait((task,))  # it tidies up after itself


async def _hung_up(request: Request) -> None:
    """Returns when the client's connection ends."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _abandon(handle: JobHandle) -> None:
    log.info("the client of job %s hung up; cancelling it", handle.id)
    await run_in_threadpool(handle.cancel)
