"""The gate in front of Gradio: lets through what the page needs, and nothing else.

Gradio brings routes for files, uploads, proxies, recordings, its own API and more. Most of the field's holes were
there, the page uses none of them, so they do not exist here. Changes are taken from our own origin only.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

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
        "/logout",
        "/robots.txt",
    }
)
READ_BELOW = ("/static/", "/assets/", "/svelte/", "/gradio_api/heartbeat/")
WRITE_EXACT = frozenset({"/login", "/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset"})


class Gate:
    """ASGI middleware on the mounted Gradio app.

    `origins` are other origins that may talk to the page, as given with `--cors-allow-origins`.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str] = ()) -> None:
        self._app = app
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not passes(scope["method"], path):
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
        elif scope["method"] == "POST" and not self._same_origin(Headers(scope=scope)):
            detail = "This request came from a page of another origin."
            await JSONResponse({"detail": detail}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _same_origin(self, headers: Headers) -> bool:
        """Browsers send `Origin` with every POST; programs without one are not the danger here."""
        origin = headers.get("origin")
        if origin is None or origin.lower() in self._origins or "*" in self._origins:
            return True
        hosts = {headers.get("host", "").lower(), headers.get("x-forwarded-host", "").split(",")[0].strip().lower()}
        return urlsplit(origin).netloc.lower() in hosts - {""}


def passes(method: str, path: str) -> bool:
    """Whether Gradio may see a request of that method for that path, seen from where it is mounted."""
    if method in ("GET", "HEAD"):
        return path in READ_EXACT or path.startswith(READ_BELOW)
    if method == "POST":
        return path.rstrip("/") in WRITE_EXACT
    return method == "OPTIONS"
