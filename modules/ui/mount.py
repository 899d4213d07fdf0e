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
from modules.ui.extension_files import extension_routes
from modules.ui.files import file_routes, result_routes
from modules.ui.gate import Gate, Reader
from modules.ui.page import TITLE, build_page
from modules.ui.theme import Atelier
from modules.ui.uploads import Uploads, upload_routes


def mount(app: FastAPI, studio: Studio, path: str = "/") -> FastAPI:
    """Serve the page at `path` and return the application. Call it last: a page at `/` answers whatever is left.

    Once there are accounts or `--api-auth`, whoever is not signed in is sent to the page for it, and each person has
    their own jobs and pictures.
    """
    prefix = path.rstrip("/")
    reader = Reader(studio.door)
    app.include_router(result_routes(prefix, studio.experiments, reader.owner))
    app.include_router(extension_routes(prefix, studio.scripts, reader.owner))
    app.include_router(file_routes(prefix, studio.pictures, reader.owner))
    _describe(app, prefix)
    uploads = Uploads()
    app.include_router(upload_routes(prefix, uploads, reader.owner))
    _in_a_loop(lambda: _mount_gradio(app, studio, path, reader, uploads))
    studio.scripts.open(app.router.routes[-1].app.get_blocks())  # type: ignore[attr-defined]
    gradio: Any = app.router.routes[-1].app  # type: ignore[attr-defined]
    gradio.add_middleware(Gate, reader=reader, prefix=prefix)
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


def _mount_gradio(app: FastAPI, studio: Studio, path: str, reader: Reader, uploads: Uploads) -> None:
    network = studio.options.network
    gr.mount_gradio_app(
        app,
        build_page(studio, uploads),
        path=path,
        footer_links=[],
        run_history=False,
        auth_dependency=reader.owner,
        root_path=f"{network.subpath}{path}".rstrip("/") or None,
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=Atelier(),
        head=_head(mark(), api=network.api),
    )


def _head(version: str, *, api: bool) -> str:
    """What goes into the page's head. Addresses are relative to the page, so any mount point and sub-path will do.

    Verifying and reading dropped pictures are calls of the API, so without it neither is offered.
    """
    names = ("verify.js", "dropped.js") if api else ()
    calling = "".join(f'<script src="studio/{name}?v={version}"></script>' for name in names)
    return (
        f'<link rel="stylesheet" href="studio/studio.css?v={version}">'
        f'<script src="studio/language.js?v={version}"{" data-api=true" if api else ""}></script>'
        f'<link rel="stylesheet" href="studio/aids.css?v={version}">'
        f'<script src="studio/tools.js?v={version}"></script>'  # first: the others are made with it
        f'<script src="studio/rooms.js?v={version}"></script>'
        f'<script src="studio/editing.js?v={version}"></script>'
        f'<script src="studio/sliders.js?v={version}"></script>'
        f'<script src="studio/keys.js?v={version}"></script>'
        f'<script src="studio/weights.js?v={version}"></script>'
        f'<script src="studio/history.js?v={version}"></script>'
        f'<script src="studio/notices.js?v={version}"></script>'
        f'<script src="studio/control.js?v={version}"></script>'
        f'<script src="studio/archive.js?v={version}"></script>'
        f"{calling}"
        f'<script src="studio/line.js?v={version}"></script>'
        f'<script src="studio/extensions.js?v={version}"></script>'
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
