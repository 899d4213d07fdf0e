"""Pictures that the Edit room sends beside the calls of the page, which are too small for them."""

from __future__ import annotations

import asyncio
import io
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable

from fastapi import APIRouter, HTTPException, Request
from PIL import Image, UnidentifiedImageError

HELD_BYTES = 256 << 20
"""Of everybody's pictures; those that were sent longest ago go first."""
HELD_EACH = 12
"""Pictures of one person: a picture and a mask for each of the jobs that were asked for last."""
BYTES_EACH = 80 << 20
"""Of one person's pictures: one as large as a call may be and its mask, and beside them room for those of others."""
MOST_PIXELS = 32_000_000
KINDS = ("PNG", "JPEG", "WEBP")
Reader = Callable[[Request], str | None]
"""Who asks: the owner of what is sent, or None for nobody."""


class Uploads:
    """Encoded pictures by opaque id, each for its owner alone. In memory, safe from any thread."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, owner: str, data: bytes) -> str:
        """Keep a picture and return its id; one too many takes the place of the owner's own oldest ones.

        Raises `ValueError`, with a sentence, for what is none or too large.
        """
        check_picture(data)
        if len(data) > BYTES_EACH:
            raise ValueError(f"The picture has {len(data) >> 20} MiB; up to {BYTES_EACH >> 20} MiB are taken.")
        key = secrets.token_urlsafe(12)
        with self._lock:
            own = {held: len(kept) for held, (whose, kept) in self._held.items() if whose == owner}
            while own and (len(own) >= HELD_EACH or sum(own.values()) + len(data) > BYTES_EACH):
                oldest = next(iter(own))
                del own[oldest], self._held[oldest]
            self._held[key] = (owner, data)
            while sum(len(kept) for _, kept in self._held.values()) > HELD_BYTES:
                self._held.popitem(last=False)
        return key

    def get(self, owner: str, key: str) -> bytes | None:
        """The picture of that id; None where it is gone, or somebody else's."""
        with self._lock:
            whose, data = self._held.get(key, ("", b""))
        return data if data and whose == owner else None


def check_picture(data: bytes) -> None:
    """Raise `ValueError`, with a sentence, for bytes that are no picture, or one that is too large to be drawn from."""
    try:
        with Image.open(io.BytesIO(data), formats=KINDS) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width} × {image.height}"
                raise ValueError(f"The picture has {size} pixels; {MOST_PIXELS // 1_000_000} million are taken.")
            image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError("That picture cannot be read; PNG, JPEG and WebP are understood.") from error


def upload_routes(prefix: str, uploads: Uploads, reader: Reader) -> APIRouter:
    """The route below `prefix` that takes such pictures. Not part of the OpenAPI document."""
    router = APIRouter(prefix=f"{prefix}/studio", include_in_schema=False)

    @router.post("/given")
    async def take(request: Request) -> dict[str, str]:
        owner = await asyncio.to_thread(reader, request)
        if owner is None:
            raise HTTPException(401, "Sign in first.")
        data = await request.body()
        try:
            return {"id": await asyncio.to_thread(uploads.put, owner, data)}
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    return router
