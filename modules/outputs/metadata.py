"""Pictures to files and back, with everything that travels inside them.

Infotext is where A1111 puts it: PNG chunk `parameters`, EXIF UserComment in JPEG, WebP and AVIF. The recipe is JSON in
the PNG chunk `atelier-recipe`, in an XMP packet elsewhere. Films in MP4 are `mp4`'s.
"""

from __future__ import annotations

import io
import json
import logging
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin, features

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.result import DeepImage, Film
from modules.outputs import deep_png, foreign, mp4, user_comment, xmp
from modules.support.film_files import MP4, check_film_format

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

log = logging.getLogger(__name__)

PARAMETERS = "parameters"
RECIPE = "atelier-recipe"
FILE = "file"
"""Part of the recipe of a picture in a file that loses a little: how it was encoded."""
LOSSLESS = "image/png"
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif", "mp4": "video/mp4"}
ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "avif": ".avif", "mp4": ".mp4"}
FILMS_ALONE = ("mp4",)
"""Formats of `MEDIA_TYPES` that hold no picture."""

SIDES = {"jpeg": 65_500, "webp": 16_383, "avif": 65_535, "mp4": 16_384}
"""Longest side that a format can hold, in pixels."""

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 89_000_000
"""Below the size at which PIL itself begins to warn of a decompression bomb."""
MAX_TEXT = 2_000_000
"""Characters of one text in a file."""
_SEGMENT = 65_000
"""Bytes that one segment of a JPEG can hold, less its headers."""

READABLE = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
_TECHNICAL = frozenset(
    {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "exif", "loop", "background", "timestamp", "duration"}
    | {"progressive", "progression", "icc_profile", "chromaticity", "photoshop", "gamma", "transparency", "srgb", "xmp"}
    | {"XML:com.adobe.xmp", "interlace", "version", "extension", "mp", "mpoffset", PARAMETERS, RECIPE}
)
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, RuntimeError, MemoryError),
    *(struct.error, zlib.error),
)
"""What PIL's readers throw over damaged or hostile files."""


@dataclass(frozen=True, slots=True)
class PictureMetadata:
    """What a file says about its picture."""

    infotext: str
    """A1111 infotext; empty when there is none."""
    items: Mapping[str, str] = field(default_factory=dict)
    """Other text in the file, by its name."""
    recipe: Mapping[str, Any] | None = None
    """The recipe, when the file is one of ours and it is sound."""
    program: str = ""
    """What drew it, as far as that can be told from what it says; empty otherwise."""
    notes: tuple[str, ...] = ()
    """Whole sentences about what another program says and the infotext does not."""


def encode(
    image: Image.Image | Film | DeepImage, fmt: str, *, infotext: str, recipe: Mapping[str, Any], quality: int
) -> bytes:
    """The picture as a file of format `png`, `jpeg`, `webp` or `avif`, with infotext and recipe inside.

    A film becomes an animated file of its own format, whatever `fmt` is, that plays again and again; frames that are
    equal become one that is shown longer. Or it becomes an MP4, which has all of its frames.

    PNG keeps every pixel, of sixteen bits too; `quality` (1 to 100) is for the others, which hold eight bits. JPEG has
    no transparency, which is put on white, and holds texts up to 64 KB, a longer one is left out. Raises
    `InvalidRequest` for an unknown format and `UnsupportedFeature` for one that this installation cannot write.
    """
    fmt = format_of(image, fmt)
    check_format(fmt)
    if not isinstance(image, Film) and fmt in FILMS_ALONE:
        raise InvalidRequest(f"Files of format {fmt} hold films, and this is a picture.")
    deep = image if isinstance(image, DeepImage) and fmt == "png" else None
    if isinstance(image, DeepImage):
        image = image.shown
    first = image.frames[0] if isinstance(image, Film) else image
    if max(first.size) > SIDES.get(fmt, MAX_PIXELS):
        raise UnsupportedFeature(
            f"A side of {max(first.size)} pixels is too long for {fmt}, which ends at {SIDES[fmt]}."
        )
    infotext = infotext.encode("utf-8", "replace").decode("utf-8")
    if deep is not None:
        return deep_png.pack(deep.pixels, _texts(infotext, recipe))
    if not isinstance(image, Film):
        return _encode(image, fmt, infotext, recipe, quality, {})
    if fmt == MP4:
        return mp4.pack(image, infotext=infotext, recipe=_json(recipe) if recipe else "", quality=quality)
    return _encode(first, fmt, infotext, recipe, quality, _moving(image, fmt))


def _encode(
    image: Image.Image, fmt: str, infotext: str, recipe: Mapping[str, Any], quality: int, moving: Mapping[str, Any]
) -> bytes:
    """As `encode`; `moving` is what there is to say of further frames."""
    target = io.BytesIO()
    if fmt == "png":
        _paintable(image, fmt).save(target, "PNG", pnginfo=_texts(infotext, recipe), compress_level=4, **moving)
        return target.getvalue()
    packets: dict[str, bytes] = {}
    if infotext:
        packets["exif"] = user_comment.pack(infotext)
    if recipe:
        packets["xmp"] = xmp.pack(_json(recipe))
    if fmt == "jpeg":
        for name in [name for name, packet in packets.items() if len(packet) > _SEGMENT]:
            log.warning("the %s of a picture is too long for JPEG and was left out of the file", name)
            del packets[name]
    _paintable(image, fmt).save(target, fmt.upper(), quality=quality, **packets, **moving)
    return target.getvalue()


def _texts(infotext: str, recipe: Mapping[str, Any]) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    for key, text in ((PARAMETERS, infotext), (RECIPE, _json(recipe) if recipe else "")):
        if text:
            chunks.add_text(key, text)
    return chunks


def format_of(image: Image.Image | Film | DeepImage, fmt: str) -> str:
    """The format that a file of it has where pictures are of format `fmt`."""
    return image.format if isinstance(image, Film) else fmt


def _moving(film: Film, fmt: str) -> dict[str, Any]:
    """What PIL is told of the frames after the first, and of how long each is shown, in milliseconds."""
    further = [_paintable(frame, fmt) for frame in film.frames[1:]]
    return {"save_all": True, "append_images": further, "duration": round(1000 / film.fps), "loop": 0}


def check_format(fmt: str) -> None:
    """Raise unless `encode` can write that format."""
    check_film_format(fmt)
    if fmt not in MEDIA_TYPES:
        raise InvalidRequest(f"There is no file format {fmt!r}; known are {', '.join(MEDIA_TYPES)}.")
    if fmt in ("webp", "avif") and not features.check(fmt):
        able = ", ".join(name for name in MEDIA_TYPES if name not in ("webp", "avif") or features.check(name))
        raise UnsupportedFeature(f"This build of PIL cannot write {fmt}; it can write {able}.")


def read_metadata(data: bytes) -> PictureMetadata:
    """Everything a picture or MP4 file says, found by its content and not by a name. Pixels are not decoded.

    Raises `InvalidRequest` for what is no picture, is damaged where it matters, or is too large to be handled.
    """
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"The file has {len(data)} bytes; at most {MAX_BYTES} are read.")
    if mp4.is_mp4(data):
        infotext, stored = mp4.texts_of(data)
        _check_length(infotext, stored)
        infotext = infotext.strip()
        return PictureMetadata(infotext, {}, _recipe(stored), foreign.maker(infotext))
    try:
        with Image.open(io.BytesIO(data), formats=READABLE) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InvalidRequest(
                    f"The picture has {image.width} × {image.height} pixels; {MAX_PIXELS} are allowed."
                )
            return _read(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidRequest(f"The picture is larger than {MAX_PIXELS} pixels.") from None
    except _BROKEN as error:
        raise InvalidRequest(f"The file cannot be read as a picture: {str(error) or type(error).__name__}.") from None


def _read(image: ImageFile) -> PictureMetadata:
    info = {str(key): text for key, value in image.info.items() if (text := _text(value)) is not None}
    items = {key: value for key, value in info.items() if key not in _TECHNICAL}
    items |= user_comment.labelled(image)
    infotext = user_comment.find(image) or info.get(PARAMETERS, "")
    if not infotext and image.format == "GIF":
        infotext = items.pop("comment", "")
    packet = image.info.get("xmp")
    stored = info.get(RECIPE) or (xmp.unpack(packet) if isinstance(packet, bytes) else "")
    _check_length(infotext, stored, *items.values())
    recipe = _recipe(stored)
    other = None
    if not infotext or infotext.lstrip().startswith("{"):
        other = foreign.translate({**items, PARAMETERS: infotext}, image.width, image.height)
    if other is not None:
        return PictureMetadata(other.infotext, items, recipe, other.program, other.notes)
    infotext = infotext.strip()
    return PictureMetadata(infotext, items, recipe, foreign.maker(infotext))


def _check_length(*texts: str) -> None:
    for text in texts:
        if len(text) > MAX_TEXT:
            raise InvalidRequest(f"The picture carries a text of {len(text)} characters; {MAX_TEXT} are allowed.")


def _text(value: Any) -> str | None:
    """Text entries of a file as text; None for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None


def _recipe(stored: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(stored) if stored else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _json(recipe: Mapping[str, Any]) -> str:
    return json.dumps(dict(recipe), default=str, separators=(",", ":"))


def _paintable(image: Image.Image, fmt: str) -> Image.Image:
    """The picture in a mode that the format can hold."""
    if fmt == "png":
        return image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGBA")
    if image.mode in ("LA", "PA", "P", "RGBA"):
        image = image.convert("RGBA")
        if fmt != "jpeg":
            return image
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image).convert("RGB")
    return image if image.mode == "RGB" or (image.mode == "L" and fmt == "jpeg") else image.convert("RGB")
