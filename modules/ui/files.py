"""What the page fetches beside Gradio's own files: its script and style, and pictures by opaque id.

No path of the disk is part of any address. A picture is found through its row in the gallery and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fastapi import APIRouter, HTTPException, Request, Response

from modules.contracts.errors import UnknownName
from modules.contracts.experiments import Experiments
from modules.contracts.pictures import PictureStore, StoredPicture
from modules.ui.assets import kind_of, read_assets

THUMB = 320
"""Longest side of a thumbnail in pixels."""
LASTING = "private, max-age=31536000, immutable"
ANSWER_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
OWN_PAGE = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; sandbox allow-scripts"
)
"""Of a page of results: its script runs in an origin of its own, from which nothing of the studio can be asked."""
TABLES = ("text/csv", "application/json")
PARTS = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
Reader = Callable[[Request], str | None]
"""Who asks: the owner whose pictures the request may see, or None for nobody."""


def file_routes(prefix: str, store: PictureStore, reader: Reader) -> APIRouter:
    """Routes below `prefix` for script, style, pictures and thumbnails. Not part of the OpenAPI document."""
    router = APIRouter(prefix=f"{prefix}/studio", include_in_schema=False)
    fixed = read_assets()

    def visible(request: Request, picture_id: str) -> StoredPicture:
        owner = reader(request)
        if owner is None:
            raise HTTPException(401, "Sign in first.")
        picture = store.get(picture_id)
        if picture is None or picture.owner != owner:
            raise HTTPException(404, "There is no such picture.")
        return picture

    def answer(data: bytes | None, kind: str, **headers: str) -> Response:
        if data is None:
            raise HTTPException(404, "The file of this picture is gone.")
        return Response(data, media_type=kind, headers={"Cache-Control": LASTING, **ANSWER_HEADERS, **headers})

    @router.get("/pictures/{picture_id}")
    def picture(request: Request, picture_id: str) -> Response:
        found = visible(request, picture_id)
        name = "".join(mark for mark in found.name if mark.isascii() and mark.isprintable() and mark not in '"\\/')
        disposition = f'inline; filename="{name or "picture"}"'
        data, headers = store.read(picture_id), {"Content-Disposition": disposition}
        if data is None or not found.media_type.startswith("video/"):
            return answer(data, found.media_type, **headers)
        part, said = part_of(data, request.headers.get("range", ""))
        response = answer(part, found.media_type, **headers, **said)
        response.status_code = 206 if "Content-Range" in said else 200
        return response

    @router.get("/thumbs/{picture_id}")
    def thumb(request: Request, picture_id: str) -> Response:
        return answer(store.thumbnail(visible(request, picture_id).id, THUMB), "image/webp")

    @router.get("/{name}")
    def own_file(name: str) -> Response:
        if name not in fixed:
            raise HTTPException(404, "There is no such file.")
        headers = {"Cache-Control": "public, max-age=31536000", "X-Content-Type-Options": "nosniff"}
        return Response(fixed[name], media_type=kind_of(name), headers=headers)

    return router


def part_of(data: bytes, wanted: str) -> tuple[bytes, dict[str, str]]:
    """What a `Range` header asks for of a film, with the headers that say so (RFC 9110, section 14).

    Some browsers play nothing that they cannot ask for in parts. Several parts at once, and what cannot be read, are
    answered with the whole, as the RFC allows; raises `HTTPException` 416 for a part that begins beyond the end.
    """
    said, found = {"Accept-Ranges": "bytes"}, PARTS.fullmatch(wanted.strip())
    if found is None or not any(found.groups()):
        return data, said
    first, last = found.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    end = min(int(last) + 1, len(data)) if first and last else len(data)
    if first and last and int(last) < int(first):
        return data, said
    if start >= len(data):
        raise HTTPException(416, "That part is not in the file.", {"Content-Range": f"bytes */{len(data)}"})
    return data[start:end], {**said, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}


def result_routes(prefix: str, experiments: Experiments, reader: Reader) -> APIRouter:
    """Routes below `prefix` for results of experiments. Not part of the OpenAPI document."""
    router = APIRouter(prefix=f"{prefix}/studio/experiments", include_in_schema=False)

    @router.get("/{experiment_id}/{name}")
    def result(request: Request, experiment_id: str, name: str) -> Response:
        owner = reader(request)
        if owner is None:
            raise HTTPException(401, "Sign in first.")
        record = experiments.get(experiment_id) if experiment_id.isalnum() else None
        if record is None or record.owner != owner:
            raise HTTPException(404, "There is no such experiment.")
        try:
            data, kind = experiments.file(record.id, name)
        except UnknownName as error:
            raise HTTPException(404, error.message) from error
        # As it is now: a cell that is resumed changes it.
        headers = {**ANSWER_HEADERS, "Cache-Control": "no-store", "Content-Disposition": f'inline; filename="{name}"'}
        if name.endswith(".html"):
            headers["Content-Security-Policy"] = OWN_PAGE
        elif kind.startswith(TABLES):
            headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return Response(data, media_type=kind, headers=headers)

    return router
