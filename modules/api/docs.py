"""The OpenAPI document and its two readers, behind the same door as the rest of the API."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse

from modules.api.document import document_of

router = APIRouter(include_in_schema=False)
PARTS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
"""Files of the readers and their types; no other name is served."""
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Content Security Policy of the readers: both begin with an inline script, and Redoc searches in its own worker."""
OWN = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")


def take_over(app: FastAPI) -> None:
    """Remove the routes for documents that FastAPI has made by itself: no password guards them. And complete the one
    that there is."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) not in OWN]
    app.openapi = partial(document_of, app)  # type: ignore[method-assign]


@router.get("/openapi.json")
def openapi(request: Request) -> dict[str, Any]:
    """The document. Behind a sub-path it names that as its server."""
    app: FastAPI = request.app
    document = app.openapi()
    below = request.scope.get("root_path", "").rstrip("/")
    return {**document, "servers": [{"url": below}]} if below else document


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The document to try out."""
    return _sealed(
        get_swagger_ui_html(
            openapi_url=_own(request, "/openapi.json"),
            title=request.app.title,
            swagger_js_url=_own(request, "/docs/parts/swagger-ui-bundle.js"),
            swagger_css_url=_own(request, "/docs/parts/swagger-ui.css"),
            swagger_favicon_url=_own(request, "/docs/parts/favicon.png"),
        )
    )


@router.get("/redoc")
def redoc(request: Request) -> HTMLResponse:
    """The document to read."""
    return _sealed(
        get_redoc_html(
            openapi_url=_own(request, "/openapi.json"),
            title=request.app.title,
            redoc_js_url=_own(request, "/docs/parts/redoc.standalone.js"),
            redoc_favicon_url=_own(request, "/docs/parts/favicon.png"),
            with_google_fonts=False,
        )
    )


@router.get("/docs/parts/{name}")
def part(name: str) -> Response:
    """A file that the two readers need. They come with an installed package, so that no other host is asked."""
    kind = PARTS.get(name)
    if kind is None:
        raise HTTPException(404, "Not Found")
    return Response((files("fastapi_offline") / "static" / name).read_bytes(), media_type=kind)


def _sealed(page: HTMLResponse) -> HTMLResponse:
    page.headers["Content-Security-Policy"] = POLICY
    return page


def _own(request: Request, path: str) -> str:
    return f"{request.scope.get('root_path', '').rstrip('/')}{path}"
