"""The first answer on the port: a page that says what is loading, replaced by the real application once it stands.

Plain ASGI with nothing imported beyond the standard library, so that the port answers while everything else is still
being imported.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from modules.support.studio import Status

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Atelier is starting</title>
<style>
:root{color-scheme:light dark;--ink:#1d1a16;--dim:#6f675d;--ground:#faf8f5;--bar:#bd4219}
@media (prefers-color-scheme:dark){:root{--ink:#f3efe9;--dim:#a39a8e;--ground:#141310;--bar:#ea7d55}}
body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;
color:var(--ink);background:var(--ground)}
main{width:min(24rem,80vw);text-align:center}
h1{font-weight:650;letter-spacing:-.02em;margin:0 0 .25rem}
p{color:var(--dim);margin:0 0 1.25rem;min-height:1.5em}
div{height:6px;border-radius:3px;overflow:hidden;background:color-mix(in srgb,var(--bar) 20%,transparent)}
div::after{content:"";display:block;width:35%;height:100%;border-radius:3px;background:var(--bar);
animation:go 1.4s ease-in-out infinite}
@keyframes go{from{transform:translateX(-110%)}to{transform:translateX(310%)}}
@media (prefers-reduced-motion:reduce){div::after{animation:none;width:100%}}
</style></head><body><main><h1>Atelier</h1><p role="status" id="s">Starting</p><div></div></main>
<script>
const look=async()=>{try{const r=await fetch("SUBPATH/healthz",{cache:"no-store"});const j=await r.json();
document.getElementById("s").textContent=j.message;if(j.page!==false)location.reload()}catch(e){}setTimeout(look,400)};look()
</script></body></html>"""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Content Security Policy of all that is answered here."""
PATIENCE_SECONDS = 60.0
"""How long an API call that came before the application waits for it."""


class Opening:
    """Answers by itself until `hand_over` gives it the application, then passes everything on."""

    def __init__(self, status: Status, subpath: str = "") -> None:
        self._status = status
        self._subpath = subpath
        self._application: Application | None = None
        self._arrived = asyncio.Event()
        self._leave = asyncio.Event()
        self._holding: asyncio.Task[None] | None = None

    async def hand_over(self, application: Application, lifespan: AbstractAsyncContextManager[Any]) -> None:
        """Start the application's lifespan and let it answer from now on. Raises what its start-up raises."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def hold() -> None:
            try:
                async with lifespan:
                    started.set_result(None)
                    await self._leave.wait()
            except BaseException as error:
                if started.done():
                    raise
                started.set_exception(error)

        self._holding = asyncio.create_task(hold())
        await started
        self._application = application
        self._arrived.set()

    async def close(self) -> None:
        """Run the application's shut-down."""
        self._leave.set()
        if self._holding is not None:
            await self._holding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection. A proxy may strip the sub-path or leave it; both arrive as the same address."""
        path = scope.get("path", "")
        if self._subpath and scope["type"] in ("http", "websocket"):
            if path != self._subpath and not path.startswith(self._subpath + "/"):
                path = self._subpath + path
            scope = {**scope, "path": path, "raw_path": path.encode("utf-8"), "root_path": self._subpath}
        if self._application is None and scope["type"] == "http":
            await self._answer(scope, path.removeprefix(self._subpath), receive, send)
        elif self._application is None:
            await send({"type": "websocket.close", "code": 1013})
        else:
            await self._application(scope, receive, send)

    async def _answer(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        if path == "/healthz":
            await self._reply(send, 200, "application/json", self._state(alive=True))
        elif path == "/readyz":
            await self._reply(send, 503, "application/json", self._state(alive=True))
        elif scope["method"] == "GET" and path in ("", "/"):
            await self._reply(send, 200, "text/html; charset=utf-8", PAGE.replace("SUBPATH", self._subpath))
        else:
            try:
                await asyncio.wait_for(self._arrived.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                await self._reply(send, 503, "application/json", self._state(alive=True))
                return
            application = self._application
            assert application is not None
            await application(scope, receive, send)

    def _state(self, *, alive: bool) -> str:
        state = {"status": "up" if alive else "down", "ready": False, "page": False}
        return json.dumps({**state, "phase": self._status.phase, "message": self._status.message})

    @staticmethod
    async def _reply(send: Send, status: int, kind: str, body: str) -> None:
        data = body.encode("utf-8")
        headers = [
            (b"content-type", kind.encode("ascii")),
            (b"content-length", str(len(data)).encode("ascii")),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", POLICY.encode("ascii")),
        ]
        if status == 503:
            headers.append((b"retry-after", b"2"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})
