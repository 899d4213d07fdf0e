"""Small pictures for galleries, kept in the cache folder; everything here can be made again."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from modules.outputs import mp4
from modules.support.atomic import write_bytes

SIDES = (64, 2048)
"""Smallest and largest side of a thumbnail."""


class Thumbnails:
    """A folder of WebP files by picture id and side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, picture_id: str, side: int) -> bytes | None:
        """The kept file, if there is one."""
        try:
            return self._path(picture_id, side).read_bytes()
        except FileNotFoundError:
            return None

    def make(self, picture_id: str, side: int, data: bytes) -> bytes:
        """Make and keep the thumbnail of an encoded picture; it is never larger than the picture."""
        with mp4.frames_of(data, 1)[0] if mp4.is_mp4(data) else Image.open(io.BytesIO(data)) as image:
            image.thumbnail((_bounded(side), _bounded(side)), Image.Resampling.LANCZOS)
            target = io.BytesIO()
            image.convert("RGBA" if "A" in image.getbands() else "RGB").save(target, "WEBP", quality=80)
        write_bytes(self._path(picture_id, side), target.getvalue())
        return target.getvalue()

    def forget(self, picture_id: str) -> None:
        """Remove every size of a picture."""
        for path in self._folder.glob(f"{picture_id}.*.webp"):
            path.unlink(missing_ok=True)

    def _path(self, picture_id: str, side: int) -> Path:
        return self._folder / f"{picture_id}.{_bounded(side)}.webp"


def _bounded(side: int) -> int:
    return max(SIDES[0], min(side, SIDES[1]))
