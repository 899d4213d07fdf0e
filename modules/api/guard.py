"""What is refused before anything is read: foreign pages, foreign names, bodies that are no JSON or too large.

A web page that a person looks at can send requests to their own machine. Browsers mark them (`Origin`,
`Sec-Fetch-Site`), and a name that was rebound to this machine's address shows in `Host`; both are checked here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.api.messages import REFUSED, failure, local_path
from modules.bootstrap.options import NetworkOptions, is_loopback
from modules.contracts.accounts import Doorkeeper, Proof

MAX_BODY = 64 * 1024 * 1024
READING = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
JSON_ONLY = ("/sdapi/", "/internal/", "/api/", "/agent-scheduler/", "/controlnet/", "/adetailer/", "/v1/")
LIVE = ("/ws/", "/socket.io/")
"""Connections that begin with reading, and are guarded like the WebSockets that they turn into."""
UPLOADS = frozenset({"/v1/images/edits"})
"""Routes that take a form with files."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Which names and origins are ours."""

    hosts: frozenset[str]
    """Names that `Host` may say while nobody has to sign in, beside those of this machine."""
    origins: frozenset[str]
    """Foreign origins that were let in with `--cors-allow-origins`; may hold `*`."""
    door: Doorkeeper

    @classmethod
    def of(cls, network: NetworkOptions, door: Doorkeeper) -> Neighbours:
        """As the command line says."""
        origins = frozenset(origin.rstrip("/").lower() for origin in network.cors_allow_origins)
        named = {urlsplit(origin).hostname or "" for origin in origins} | {network.host.strip("[]").lower()}
        return cls(frozenset(named - {""}), origins, door)

    def knows_host(self, headers: Headers) -> bool:
        """Whether `Host` is a name of this machine. While nobody has to sign in only such names are answered."""
        if not self.door.open:
            return True
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self.hosts

    def trusts_origin(self, headers: Headers) -> bool:
        """Whether a change may come from where this request comes from. Programs that are no browsers say nothing."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        if origin.lower() in self.origins or "*" in self.origins:
            return True
        # A foreign page cannot set X-Forwarded-Host without a preflight, which nobody here answers.
        ours = {headers.get("host", "").lower(), headers.get("x-forwarded-host", "").split(",")[0].strip().lower()}
        try:
            return urlsplit(origin.lower()).netloc in ours - {""}
        except ValueError:
            return False

    async def admits(self, connection: HTTPConnection) -> bool:
        """Whether a change may come from there, its token seen.

        `null` is the Origin of sandboxed frames, files and redirects: of any page. A cookie or a password that a
        browser remembers would be sent along for it, so a valid token has to come with it, which no browser adds.
        """
        headers = connection.headers
        if self.trusts_origin(headers):
            return True
        if headers.get("origin") != "null" or not headers.get("authorization", "").lower().startswith("bearer "):
            return False
        caller = await asyncio.to_thread(self.door.identify, Proof.of(connection))
        return caller is not None and caller.means == "token"


class Guard:
    """ASGI middleware over everything the application answers."""

    def __init__(self, app: ASGIApp, neighbours: Neighbours, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._neighbours = neighbours
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._open_socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = local_path(scope)
        refusal = await self._refusal(HTTPConnection(scope), path)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if path.startswith(JSON_ONLY) and path.endswith("/"):
            # Old clients add a slash; a redirect would lose their body.
            # In place, so that whoever counts requests learns their route from the same scope.
            bare = scope["path"].rstrip("/")
            scope.update(path=bare, raw_path=bare.encode("utf-8"))
        await self._app(scope, self._counted(receive), send)

    async def _open_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Browsers let every page open a WebSocket to anywhere, so reading through one is guarded like a change."""
        connection = HTTPConnection(scope)
        if self._neighbours.knows_host(connection.headers) and await self._neighbours.admits(connection):
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": REFUSED, "reason": "This page may not connect here."})

    async def _refusal(self, connection: HTTPConnection, path: str) -> JSONResponse | None:
        headers, method = connection.headers, connection.scope["method"]
        if path not in OPEN_PATHS and not self._neighbours.knows_host(headers):
            host = headers.get("host", "")
            sentence = f"This studio does not answer to the name {host!r}; use 127.0.0.1 or localhost."
            return failure(403, "foreign_host", sentence, path=path)
        if method in READING and not path.startswith(LIVE):
            return None
        if not await self._neighbours.admits(connection):
            origin = headers.get("origin", "another site")
            way = "without a token" if origin == "null" else "(see --cors-allow-origins)"
            sentence = f"A page of {origin} may not change anything here {way}."
            return failure(403, "foreign_origin", sentence, path=path)
        return self._unfit_body(path, headers)

    def _unfit_body(self, path: str, headers: Headers) -> JSONResponse | None:
        text = headers.get("content-length", "")
        length = int(text) if text.isdecimal() else 0
        if length > self._max_body:
            return failure(413, "too_large", self._too_large(), path=path)
        has_body = length > 0 or "transfer-encoding" in headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if path in UPLOADS and kind == "multipart/form-data":
            return None  # a foreign page could send it, but not without the Origin that was looked at before
        if has_body and path.startswith(JSON_ONLY) and not (kind == "application/json" or kind.endswith("+json")):
            sentence = f"The body has to be JSON (Content-Type: application/json), not {kind or 'nameless'}."
            return failure(415, "unsupported_media_type", sentence, path=path)
        return None

    def _counted(self, receive: Receive) -> Receive:
        """A body without a declared length is counted while it is read."""
        total = 0

        async def counting() -> Message:
            nonlocal total
            message = await receive()
            if message["type"] == "http.request":
                total += len(message.get("body", b""))
                if total > self._max_body:
                    raise HTTPException(413, self._too_large())
            return message

        return counting

    def _too_large(self) -> str:
        return f"The body is larger than {self._max_body // (1024 * 1024)} MiB, which is the most that is read."
