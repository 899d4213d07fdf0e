"""Routes for what extensions bring to the page; it is looked up at each request, so switching acts at once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from modules.contracts.scripts import Scripts
from modules.ui.files import ANSWER_HEADERS, LASTING, Reader


def extension_routes(prefix: str, scripts: Scripts, reader: Reader) -> APIRouter:
    """Routes below `prefix` for scripts, styles and translations. Not part of the OpenAPI document."""
    router = APIRouter(prefix=f"{prefix}/studio/extensions", include_in_schema=False)

    def known(request: Request) -> None:
        if reader(request) is None:
            raise HTTPException(401, "Sign in first.")

    @router.get("")
    def files(request: Request) -> list[dict[str, Any]]:
        known(request)
        return [
            {
                "extension": one.extension,
                "path": one.path,
                "kind": one.kind,
                "language": one.language,
                "mark": one.mark,
            }
            for one in scripts.page_files()
        ]

    @router.get("/{name}/{path:path}")
    def file(request: Request, name: str, path: str) -> Response:
        known(request)
        found = scripts.page_file(name, path)
        if found is None:
            raise HTTPException(404, "There is no such file.")
        one, data = found
        # An address with the mark of these very bytes may be kept for ever; any other is asked for again.
        lasting = request.query_params.get("v") == one.mark
        headers = {**ANSWER_HEADERS, "Cache-Control": LASTING if lasting else "no-store"}
        return Response(data, media_type=one.media_type, headers=headers)

    return router
