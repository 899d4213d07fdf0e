"""Films as MP4: H.264 by PyAV, and what travels inside, read without it.

Infotext is the comment that players show (`moov/udta/meta/ilst/©cmt`, QuickTime File Format, "Metadata"); the recipe is
the XMP packet of a `uuid` box at the end of the file (ISO 16684-3, "ISO base media file format"). A file that somebody
sends is only walked box by box for these two: no decoder ever sees it.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from modules.contracts.errors import InvalidRequest
from modules.outputs import xmp
from modules.support.film_files import MP4, check_film_format

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from modules.contracts.result import Film

XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The identity of a `uuid` box that holds XMP."""
WORST, FINEST = 51, 10
"""H.264's constant rate factor for `quality` 18 and less, and for 100."""
MOST_BOXES = 10_000
"""Boxes of one level that are looked at."""
_HEAD = 8
_FULL = 4
"""Bytes of version and flags before the boxes inside `meta`."""
_DATA = 8
"""Bytes of type and language before the value inside `data`."""


def is_mp4(data: bytes) -> bool:
    """Whether the file begins as an MP4 does. AVIF, which begins alike, is none."""
    return data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis", b"heic", b"mif1", b"msf1")


def pack(film: Film, *, infotext: str, recipe: str, quality: int) -> bytes:
    """The film as one file that begins to play before it is all there.

    8 bits, colours at half the resolution (4:2:0, BT.709), as every browser plays it; a side of an odd number of pixels
    gets its last ones twice. `quality` is 1 to 100. The same film gives the same bytes. Raises `UnsupportedFeature`
    where PyAV is not installed.
    """
    check_film_format(MP4)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "film.mp4"  # what is written last is put in front, for which it has to have a name
        _write(film, target, infotext, quality)
        packed = target.read_bytes()
    return packed + (_box(b"uuid", XMP_BOX + xmp.pack(recipe)) if recipe else b"")


def _write(film: Film, target: Path, infotext: str, quality: int) -> None:
    import av
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        if infotext:
            container.metadata["comment"] = infotext.replace("\0", "")
        stream = container.add_stream("libx264", rate=film.fps)
        width, height = film.frames[0].size
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.time_base = Fraction(1, film.fps)
        codec.options = {"crf": str(_rate_factor(quality)), "preset": "medium", "threads": "1"}
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for number, picture in enumerate(film.frames):
            frame = av.VideoFrame.from_ndarray(_even(picture), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = number, codec.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frames_of(data: bytes, most: int | None = None) -> list[Image.Image]:
    """The frames as pictures, RGB, at most that many. For files of our own: they are decoded.

    Raises `UnsupportedFeature` where PyAV is not installed.
    """
    check_film_format(MP4)
    import av

    found: list[Image.Image] = []
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        for frame in container.decode(video=0):
            found.append(frame.to_image())
            if len(found) == most:
                break
    return found


def texts_of(data: bytes) -> tuple[str, str]:
    """Infotext and recipe in a file; each is empty where it is not there. Needs no PyAV and decodes nothing.

    Raises `InvalidRequest` for boxes that lead beyond the file.
    """
    comment, packet = b"", b""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"moov":
            comment = comment or _comment(data, start, end)
        elif kind == b"uuid" and data[start : start + len(XMP_BOX)] == XMP_BOX:
            packet = data[start + len(XMP_BOX) : end]
    return comment.decode("utf-8", "replace"), xmp.unpack(packet)


def _comment(data: bytes, start: int, end: int) -> bytes:
    """The value of the comment below the box between those places."""
    for name, skip in ((b"udta", 0), (b"meta", 0), (b"ilst", _FULL), (b"\xa9cmt", 0), (b"data", 0)):
        inside = next((place for kind, *place in _boxes(data, start + skip, end) if kind == name), None)
        if inside is None:
            return b""
        start, end = inside
    return data[start + _DATA : end]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of the content of each box between two places."""
    for _ in range(MOST_BOXES):
        if start + _HEAD > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = _HEAD
        if size == 1 and start + 16 <= end:
            (size,), head = struct.unpack_from(">Q", data, start + _HEAD), 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            raise InvalidRequest("The film is broken: a box of it leads beyond its end.")
        yield kind, start + head, start + size
        start += size


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", _HEAD + len(content), kind) + content


def _rate_factor(quality: int) -> int:
    return min(WORST, FINEST + (100 - quality) // 2)


def _even(picture: Image.Image) -> np.ndarray:
    """The picture as (height, width, 3), both of an even number."""
    import numpy as np

    shown = np.asarray(picture.convert("RGB"))
    return np.pad(shown, ((0, shown.shape[0] % 2), (0, shown.shape[1] % 2), (0, 0)), mode="edge")
