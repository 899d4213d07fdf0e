"""Addresses that extensions answer at places of their own: an application each, outside of the studio's event loop.

A call is made in a thread and an event loop of its own, so an extension that takes its time holds nobody up, and what
it answers is taken whole. Who may ask is the business of the front.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Iterator
from typing import Any

from starlette.routing import Match

from modules.contracts.errors import ExtensionFailed, UnknownName, reason_of
from modules.contracts.extending import WebAnswer, WebCall
from modules.scripts.loading import Extension
from modules.scripts.shelf import QUICK_SECONDS, ScriptShelf
from modules.scripts.v1 import Script, overrides

log = logging.getLogger(__name__)
SECONDS = 120.0
"""How long an answer may take."""
LARGEST = 64 << 20
"""Bytes of one answer."""
KEPT_BACK = (b"cookie", b"authorization", b"proxy-authorization")
"""What a caller proves who they are with is not handed on."""


class Addresses:
    """The applications of the extensions that are on. Safe from several threads."""

    def __init__(self, shelf: ScriptShelf) -> None:
        self._shelf = shelf
        self._page: Any = None
        self._open = False
        self._applications: weakref.WeakKeyDictionary[Script, Any] = weakref.WeakKeyDictionary()

    def open(self, page: Any) -> None:
        """The server is about to answer; `page` is Gradio's, None without one. Builds what there is, and from now on
        what is loaded later."""
        self._page, self._open = page, True
        self._shelf.stands = self._build
        for extension in self._shelf.extensions():
            self._build(extension)

    def _build(self, extension: Extension) -> None:
        for script in extension.scripts if self._open else ():
            if overrides(script, "application") and script not in self._applications:
                try:
                    made = self._shelf.caller.call(lambda script=script: script.application(self._page), QUICK_SECONDS)  # type: ignore[misc]
                    routes = None if made is None else list(made.routes)
                except Exception as error:  # border 'extension'
                    self._shelf.report(extension, f"{script.title} failed in application", error)
                    continue
                self._applications[script] = made if routes else None

    def _there(self) -> Iterator[tuple[Extension, Any]]:
        for extension in self._shelf.extensions():
            for script in extension.scripts if extension.loaded and not extension.stopped else ():
                application = self._applications.get(script)
                if application is not None:
                    yield extension, application

    def find(self, method: str, path: str) -> tuple[Extension, Any] | None:
        """The extension that answers there, and its application; the first of several. None where there is none."""
        scope = _scope(WebCall(method, path))
        for extension, application in self._there():
            try:
                if any(route.matches(dict(scope))[0] is Match.FULL for route in application.routes):
                    return extension, application
            except Exception as error:  # border 'extension'
                self._shelf.report(extension, "its addresses could not be looked through", error)
        return None

    def serve(self, asked: WebCall) -> WebAnswer:
        """What is answered. Raises `UnknownName` where nobody answers, `ExtensionFailed`. Blocks."""
        found = self.find(asked.method, asked.path)
        if found is None:
            raise UnknownName(f"Nothing answers at {asked.path:.100}.")
        extension, application = found
        try:
            return self._shelf.caller.call(lambda: asyncio.run(_ask(application, asked)), SECONDS)
        except Exception as error:  # border 'extension'
            self._shelf.report(extension, f"{extension.name} failed at {asked.path:.100}", error)
            reason = f"{type(error).__name__}: {reason_of(error)}"
            raise ExtensionFailed(f"The extension {extension.name} failed: {reason}.") from error


def _scope(asked: WebCall) -> dict[str, Any]:
    kept = [(key, value) for key, value in asked.headers if key.lower() not in KEPT_BACK]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": asked.path.encode("utf-8"),
        "query_string": asked.query,
        "root_path": "",
        "headers": kept,
        "client": None,
        "server": None,
        "state": {},
    }


async def _ask(application: Any, asked: WebCall) -> WebAnswer:
    status, headers, body, given = 0, [], bytearray(), False

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:  # whoever asked waits for the whole answer
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": asked.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = int(message["status"]), list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if len(body) > LARGEST:
                raise ValueError(f"its answer is larger than {LARGEST >> 20} MiB")

    await application(_scope(asked), receive, send)
    if not status:
        raise ValueError("it gave no answer")
    return WebAnswer(status, tuple((bytes(key).lower(), bytes(value)) for key, value in headers), bytes(body))
