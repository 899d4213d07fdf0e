"""Requests that come in a burst begin one after the other, so that the loop has a look at everything else in between.

A loop runs whatever is ready before it listens again. When sixty requests arrive at once, each needs a millisecond or
two before it first waits for something, and a probe that arrives a moment later would stand behind all of them.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from starlette.types import ASGIApp, Receive, Scope, Send

from modules.api.guard import OPEN_PATHS
from modules.api.messages import local_path


class Turnstile:
    """ASGI middleware that lets one HTTP request begin in a round of the loop; the probes go past it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and local_path(scope) not in OPEN_PATHS:
            async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                await asyncio.sleep(0)
        await self._app(scope, receive, send)
