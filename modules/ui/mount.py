"""Puts the page into the HTTP application: Gradio behind its gate, and the routes for the page's own files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from modules.support.studio import Studio
from modules.ui.assets import KINDS, mark, read_assets
from modules.ui.desk import LOCAL
from modules.ui.files import file_routes
from modules.ui.gate import Gate
from modules.ui.page import TITLE, build_page
from modules.ui.theme import Atelier

SIGN_IN = "Sign in to the studio."


def mount(app: FastAPI, studio: Studio, path: str = "/") -> FastAPI:
    """Serve the page at `path` and return the application. Call it last: a page at `/` answers whatever is left.

    With `--api-auth` the same names and passwords sign in here, and each person has their own jobs and pictures.
    """
    prefix = path.rstrip("/")
    door = _Door()
    app.include_router(file_routes(prefix, studio.pictures, door.owner))
    _describe(app, prefix)
    _in_a_loop(lambda: _mount_gradio(app, studio, path))
    door.gradio = app.router.routes[-1].app  # type: ignore[attr-defined]
    door.gradio.add_middleware(Gate)
    return app


def _in_a_loop(action: Callable[[], None]) -> None:
    """Gradio makes event loops of its own, and never closes them, when it is built while none runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:

        async def act() -> None:
            action()

        asyncio.run(act())
    else:
        action()


def _mount_gradio(app: FastAPI, studio: Studio, path: str) -> None:
    network = studio.options.network
    gr.mount_gradio_app(
        app,
        build_page(studio),
        path=path,
        footer_links=[],
        run_history=False,
        auth=list(network.api_auth) or None,
        auth_message=SIGN_IN,
        root_path=f"{network.subpath}{path}".rstrip("/") or None,
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=Atelier(),
        head=_head(mark()),
    )


class _Door:
    """Knows who is signed in, from Gradio's own sessions."""

    gradio: Any = None

    def owner(self, request: Request) -> str | None:
        """The signed-in name; `local` where nobody has to sign in; None for a stranger."""
        if self.gradio.auth is None:
            return LOCAL
        cookies, key = request.cookies, self.gradio.cookie_id
        token = cookies.get(f"access-token-{key}") or cookies.get(f"access-token-unsecure-{key}")
        name: str | None = self.gradio.tokens.get(token)
        return name


def _head(version: str) -> str:
    """What goes into the page's head. Addresses are relative to the page, so any mount point and sub-path will do."""
    return (
        f'<link rel="stylesheet" href="studio/studio.css?v={version}">'
        '<link rel="icon" type="image/svg+xml" href="studio/logo.svg">'
        '<meta name="description" content="Atelier draws pictures from words, on this machine.">'
        '<meta name="color-scheme" content="light dark">'
    )


def _describe(app: FastAPI, prefix: str) -> None:
    """Name and icon for a phone's home screen, at the address where Gradio's page looks for them."""
    icon = {"src": f"{prefix}/studio/logo.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}
    manifest = {
        "name": TITLE,
        "short_name": TITLE,
        "start_url": f"{prefix}/",
        "display": "standalone",
        "background_color": "#faf8f5",
        "theme_color": "#bd4219",
        "icons": [icon],
    }

    @app.get(f"{prefix}/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return Response(read_assets()["logo.svg"], media_type=KINDS["logo.svg"])

    @app.get("/manifest.json", include_in_schema=False)
    def describe(request: Request) -> JSONResponse:
        below = request.scope.get("root_path", "")
        here = {**manifest, "start_url": f"{below}{prefix}/", "icons": [{**icon, "src": f"{below}{icon['src']}"}]}
        return JSONResponse(here, media_type="application/manifest+json")
