"""The gate in front of Gradio: lets through what the page needs, and nothing else.

Gradio brings routes for files, uploads, proxies, recordings, its own API and more. Most of the field's holes were
there, the page uses none of them, so they do not exist here.
"""

from __future__ import annotations

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
    """ASGI middleware on the mounted Gradio app. Foreign origins are the business of the application's own guard."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not passes(scope["method"], path):
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def passes(method: str, path: str) -> bool:
    """Whether Gradio may see a request of that method for that path, seen from where it is mounted."""
    if method in ("GET", "HEAD"):
        return path in READ_EXACT or path.startswith(READ_BELOW)
    if method == "POST":
        return path.rstrip("/") in WRITE_EXACT
    return method == "OPTIONS"
