"""The gate in front of Gradio: lets through what the page needs, and nothing else.

Gradio brings routes for files, uploads, proxies, recordings, its own API and more. Most of the field's holes were
there, the page uses none of them, so they do not exist here. What a call of the page brings may name no file either:
Gradio would fetch or copy whatever such an object names, before it looks at what the input is.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.contracts.accounts import Doorkeeper, Proof
from modules.contracts.errors import NotReady, OverLimit

READ_EXACT = frozenset(
    {
        "",
        "/",
        "/config",
        "/theme.css",
        "/gradio_api/theme.css",
        "/gradio_api/app_id",
        "/gradio_api/startup-events",
        "/gradio_api/login_check",
        "/gradio_api/queue/data",
        "/robots.txt",
    }
)
READ_BELOW = ("/static/", "/assets/", "/svelte/", "/gradio_api/heartbeat/")
PUBLIC = ("/static/", "/assets/", "/svelte/")
STYLES = frozenset({"/theme.css", "/gradio_api/theme.css"})
WRITE_EXACT = frozenset({"/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset"})


LONGEST_CALL = 4_000_000
"""Bytes of a call of the page: the form's values."""
SIGN_IN = "sign-in"
"""Where the page for it is, seen from the studio's page."""


class Reader:
    """Knows who looks at the page, from the session's cookie or an Authorization header."""

    def __init__(self, door: Doorkeeper) -> None:
        self._door = door

    def owner(self, connection: HTTPConnection) -> str | None:
        """Whose jobs and pictures the page shows; None for a stranger, and while passwords are not looked at."""
        try:
            caller = self._door.identify(Proof.of(connection))
        except (OverLimit, NotReady):
            return None
        return None if caller is None else caller.name


class Gate:
    """ASGI middleware on the mounted Gradio app. Foreign origins are the business of the application's own guard."""

    def __init__(self, app: ASGIApp, reader: Reader, prefix: str = "") -> None:
        """`prefix` is where Gradio is mounted, without a slash at its end."""
        self._app = app
        self._reader = reader
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _without_cors(send)
        path, method = scope["path"].removeprefix(scope.get("root_path", "")), scope["method"]
        known = passes(method, path)
        if not (known and is_public(path)) and await self._is_stranger(scope):
            if known and path in ("", "/") and method in ("GET", "HEAD"):
                root = scope.get("root_path", "").rstrip("/").removesuffix(self._prefix)
                await RedirectResponse(f"{root}/{SIGN_IN}", 303)(scope, receive, send)
            else:
                await JSONResponse({"detail": "Sign in first."}, 401)(scope, receive, send)
        elif not known:
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
        elif scope["method"] == "POST":
            await self._call(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _is_stranger(self, scope: Scope) -> bool:
        return await asyncio.to_thread(self._reader.owner, HTTPConnection(scope)) is None

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call of the page, whose body is looked through first."""
        body, more = bytearray(), True
        while more and len(body) <= LONGEST_CALL:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if more or len(body) > LONGEST_CALL:
            await JSONResponse({"detail": f"A call has at most {LONGEST_CALL} bytes."}, 413)(scope, receive, send)
            return
        try:
            named = names_file(json.loads(body))
        except (ValueError, RecursionError):
            await JSONResponse({"detail": "The body is no JSON."}, 422)(scope, receive, send)
            return
        if named:
            await JSONResponse({"detail": "The page takes no files."}, 422)(scope, receive, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, again, send)


def _without_cors(send: Send) -> Send:
    """Gradio tells every page of this machine that it may read, also with the visitor's cookies. Who may is said by
    the application's own settings, further out."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [row for row in message["headers"] if not row[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return tell


def names_file(value: Any) -> bool:
    """Whether a JSON value holds an object that Gradio takes for a file, or for one of its messages about files."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            meta = item.get("meta")
            if isinstance(meta, dict) and "_type" in meta:
                return True
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return False


def is_public(path: str) -> bool:
    """Whether that is a file that came with Gradio, or its colours: the same for everybody, signed in or not."""
    return path.startswith(PUBLIC) or path in STYLES


def passes(method: str, path: str) -> bool:
    """Whether Gradio may see a request of that method for that path, seen from where it is mounted."""
    if method in ("GET", "HEAD"):
        return path in READ_EXACT or path.startswith(READ_BELOW)
    if method == "POST":
        return path.rstrip("/") in WRITE_EXACT
    return method == "OPTIONS"
