"""What the page fetches beside Gradio's own files: its script and style, and pictures by opaque id.

No path of the disk is part of any address. A picture is found through its row in the gallery and nothing else.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable

from fastapi import APIRouter, HTTPException, Request, Response
from PIL import Image

from modules.contracts.pictures import PictureStore, StoredPicture
from modules.ui.assets import KINDS, read_assets

THUMB = 320
"""Longest side of a thumbnail in pixels."""
KEPT = 512
"""Thumbnails kept in memory, some 10 KB each."""
LASTING = "private, max-age=31536000, immutable"
ANSWER_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
Reader = Callable[[Request], str | None]
"""Who asks: the owner whose pictures the request may see, or None for nobody."""


class Thumbnails:
    """Small WebP copies of pictures, made when first asked for and kept in memory, the least used going first."""

    def __init__(self, store: PictureStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, picture_id: str) -> bytes | None:
        """The thumbnail, or None when the file is gone. Safe from any thread."""
        with self._lock:
            if picture_id in self._kept:
                self._kept.move_to_end(picture_id)
                return self._kept[picture_id]
        data = self._store.read(picture_id)
        if data is None:
            return None
        small = shrink(data)
        with self._lock:
            self._kept[picture_id] = small
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return small


def shrink(data: bytes) -> bytes:
    """An encoded picture as WebP with its longest side at most `THUMB` pixels; small ones keep their size."""
    with Image.open(io.BytesIO(data)) as picture:
        copy = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
    copy.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "WEBP", quality=82)
    return buffer.getvalue()


def file_routes(prefix: str, store: PictureStore, reader: Reader) -> APIRouter:
    """Routes below `prefix` for script, style, pictures and thumbnails. Not part of the OpenAPI document."""
    router = APIRouter(prefix=f"{prefix}/studio", include_in_schema=False)
    fixed = read_assets()
    thumbnails = Thumbnails(store)

    def visible(request: Request, picture_id: str) -> StoredPicture:
        owner = reader(request)
        picture = store.get(picture_id) if owner is not None else None
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
        return answer(store.read(picture_id), found.media_type, **{"Content-Disposition": disposition})

    @router.get("/thumbs/{picture_id}")
    def thumb(request: Request, picture_id: str) -> Response:
        return answer(thumbnails.get(visible(request, picture_id).id), "image/webp")

    @router.get("/{name}")
    def own_file(name: str) -> Response:
        if name not in fixed:
            raise HTTPException(404, "There is no such file.")
        headers = {"Cache-Control": "public, max-age=31536000", "X-Content-Type-Options": "nosniff"}
        return Response(fixed[name], media_type=KINDS[name], headers=headers)

    return router
