"""Following jobs for one page: pushes views as they change, never more often than a person can see."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace

from modules.contracts.events import Event
from modules.contracts.jobs import JobQueue
from modules.support.bus import EventBus
from modules.ui.jobview import JobView, fold, view_of

TICK = 0.1
"""Shortest time between two pushes, seconds: steps that come faster are folded together."""
CHECK = 2.0
"""Longest time without a push, seconds; then the queue is asked again, so that a lost event cannot hang a page."""


async def follow(queue: JobQueue, bus: EventBus, job_id: str) -> AsyncGenerator[JobView, None]:
    """Views of the job from now to its end; the last one has `ended` set.

    Listening begins before the queue is asked, so nothing falls between the two.
    """
    loop = asyncio.get_running_loop()
    heard: deque[Event] = deque()
    changed = asyncio.Event()

    def hear(event: Event) -> None:
        if event.job_id == job_id and not loop.is_closed():
            heard.append(event)
            loop.call_soon_threadsafe(changed.set)

    with bus.listening(hear, looks_at=job_id):
        view = await _look(queue, job_id)
        yield view
        while not view.ended:
            try:
                await asyncio.wait_for(changed.wait(), CHECK)
            except TimeoutError:
                fresh = await _look(queue, job_id)
                view = replace(fresh, pictures=max(view.pictures, fresh.pictures))
            changed.clear()
            while heard:
                view = fold(view, heard.popleft())
            yield view
            if not view.ended:
                await asyncio.sleep(TICK)


async def _look(queue: JobQueue, job_id: str) -> JobView:
    def ask() -> JobView:
        return view_of(job_id, queue.get(job_id), queue.progress(job_id))

    return await asyncio.to_thread(ask)
