"""Every request gets an id, which the log carries, and is counted with the template of its route."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.api.messages import REFUSED_FOR
from modules.monitoring.requests import RequestMeter
from modules.support.log import about

HEADER = "X-Request-ID"
DECENT = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""An id of the client's own that may go into the log."""
PAGE = "page"
"""What belongs to the page and its files, as one route."""
UNKNOWN = "unknown"
"""Addresses that no route knows."""
HUNG_UP = 499
"""The status of a request whose client did not wait for an answer, as nginx writes it."""


class Metering:
    """ASGI middleware around everything else, so that it sees what the others refuse."""

    def __init__(self, app: ASGIApp, meter: RequestMeter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        number = given if DECENT.fullmatch(given) else uuid.uuid4().hex
        with about(request_id=number):
            if scope["type"] == "http":
                await self._count(scope, receive, send, number)
            else:
                await self._app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send, number: str) -> None:
        # The one thing that all middleware shares, though some of it works on copies of the scope.
        notes = scope.setdefault("state", {})
        status, began = HUNG_UP, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = number
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            self._meter.count(scope["method"], route_of(scope), status, seconds, notes.get(REFUSED_FOR))


def route_of(scope: Mapping[str, Any]) -> str:
    """The template of the route that answered; never a part of the address itself."""
    path = getattr(scope.get("route"), "path", None)
    if path is None:
        return UNKNOWN if scope.get("endpoint") is None else PAGE
    return str(path) or PAGE
