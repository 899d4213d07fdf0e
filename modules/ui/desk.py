"""What the page does for people: takes their jobs to the queue, follows them, stops their own and nobody else's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from modules.contracts.errors import InvalidRequest, StudioError
from modules.contracts.request import GenerationRequest
from modules.contracts.style import STATISTICS
from modules.support.studio import Studio
from modules.ui.jobview import payload
from modules.ui.watch import follow


def check_words(request: GenerationRequest) -> None:
    """Raise `InvalidRequest` when something is to be drawn and the prompt is empty."""
    styled = request.style.acts and request.style.method == STATISTICS
    drawn = request.mode != "enlarge" and not styled
    if drawn and not request.prompt.text.strip() and not request.prompt.negative.strip():
        raise InvalidRequest("The prompt is empty; write what you want to see.")


class Desk:
    """The page's line to the queue. One per process; a `session` is one open page.

    Pages are told apart by owner and session, because a browser chooses its session itself. All methods run in the
    server's event loop, so the tables need no lock.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lines: dict[tuple[str, str], deque[str]] = {}

    async def submit(self, request: GenerationRequest, owner: str) -> str:
        """Store the job and return its id. Raises `StudioError` when it was refused."""
        check_words(request)
        handle = await asyncio.to_thread(self._studio.queue.submit, request, owner)
        # The handle is not kept: it would keep the pictures of a job that nobody follows to its end.
        return handle.id

    async def unfinished(self, owner: str) -> list[str]:
        """Ids of that owner's running and waiting jobs, in the order in which they were asked for."""

        def ask() -> list[str]:
            queue = self._studio.queue
            running = queue.list(owner=owner, state="running", oldest_first=True)
            return [row.id for row in (*running, *queue.list(owner=owner, state="queued", oldest_first=True))]

        return await asyncio.to_thread(ask)

    async def follow(self, session: str, owner: str, jobs: list[str]) -> AsyncGenerator[dict[str, Any], None]:
        """Payloads for the stage until all jobs of that owner's page have ended.

        A page that is following already takes the jobs into its line, and this call gives nothing.
        """
        page = (owner, session)
        line = self._lines.get(page)
        if line is not None:
            line.extend(job for job in jobs if job not in line)
            return
        line = self._lines[page] = deque(jobs)
        try:
            while line:
                async with aclosing(self._follow_one(line[0], line)) as tellings:
                    async for told in tellings:
                        yield told
                line.popleft()
        finally:
            del self._lines[page]

    async def _follow_one(self, job_id: str, line: deque[str]) -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(follow(self._studio.queue, self._studio.bus, job_id)) as views:
            async for view in views:
                told = payload(view, loading=self._loading(), waiting=len(line) - 1)
                if view.ended:
                    told.update(await self._outcome(job_id))
                yield told

    def _loading(self) -> str | None:
        status = self._studio.status
        return None if status.ready else status.message

    async def _outcome(self, job_id: str) -> dict[str, Any]:
        """Notes and error of an ended job."""
        handle = await asyncio.to_thread(self._studio.queue.handle, job_id)
        if handle is None:
            return {"error": None}
        try:
            result = await handle.result()
        except StudioError as error:
            record = await asyncio.to_thread(self._studio.queue.get, job_id)
            # A job that ended well and long ago has lost its notes together with its pictures; that is no error.
            ended_well = record is not None and record.state in ("done", "cancelled")
            return {"error": None if ended_well else error.message}
        return {"notes": list(result.notes), "seconds": result.seconds}

    async def stop(self, session: str, owner: str) -> bool:
        """Stop the job that this page shows, or else the owner's oldest; False when there is none of theirs."""
        job_id = await self._current(session, owner)
        return job_id is not None and await asyncio.to_thread(self._studio.queue.cancel, job_id)

    async def skip(self, session: str, owner: str) -> bool:
        """Leave the current batch of the job that this page shows; False when none runs."""
        job_id = await self._current(session, owner)
        return job_id is not None and await asyncio.to_thread(self._studio.queue.skip, job_id)

    async def _current(self, session: str, owner: str) -> str | None:
        line = self._lines.get((owner, session))
        unfinished = await self.unfinished(owner)
        return next((job_id for job_id in (*(line or ()), *unfinished) if job_id in unfinished), None)
