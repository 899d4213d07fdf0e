"""What every answer says to browsers: take the type as it is told, and run nothing that comes with it.

Pages of the studio bring a policy of their own, or are the page of the interface, whose policy is here. Everything else
is data, and a browser that shows it must not find code in it: many holes of similar programs began with a file that was
served under a type of the visitor's choice.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.api.messages import local_path

DATA = (
    *("/api/", "/sdapi/", "/internal/", "/agent-scheduler/", "/controlnet/", "/adetailer/", "/v1/"),
    *("/ws/", "/socket.io/"),
    *("/healthz", "/readyz", "/metrics", "/openapi.json"),
)
NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""Content Security Policy Level 3: nothing may be loaded, run or framed."""
PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Of the interface: Gradio has its settings in an inline script and compiles the handlers that run in the browser, so
both have to be allowed; nothing comes from, goes to, or is framed by another site."""


class Seal:
    """ASGI middleware that adds the headers where a route has not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        data = local_path(scope).startswith(DATA)

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("Content-Security-Policy", NOTHING if data else PAGE)
                if data:
                    headers.setdefault("Cross-Origin-Resource-Policy", "same-site")
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, sealed)
