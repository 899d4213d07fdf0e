"""The OpenAPI document and its two readers, behind the same door as the rest of the API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)
OWN = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")


def take_over(app: FastAPI) -> None:
    """Remove the routes for documents that FastAPI has made by itself: no password guards them."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) not in OWN]


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
    return get_swagger_ui_html(openapi_url=_document(request), title=request.app.title)


@router.get("/redoc")
def redoc(request: Request) -> HTMLResponse:
    """The document to read."""
    return get_redoc_html(openapi_url=_document(request), title=request.app.title)


def _document(request: Request) -> str:
    return f"{request.scope.get('root_path', '').rstrip('/')}/openapi.json"
