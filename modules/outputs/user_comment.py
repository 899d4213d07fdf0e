"""Infotext in EXIF: the UserComment field (EXIF 2.32, 4.6.5), as A1111 writes and reads it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
LABELLED = (0x010E, 0x010F, 0x0110)
"""ImageDescription, Make and Model."""
UNREADABLE = (struct.error, SyntaxError, ValueError, TypeError, LookupError, OSError, EOFError, OverflowError)
"""What PIL raises over broken EXIF blocks."""
UNICODE = b"UNICODE\x00"
ASCII = b"ASCII\x00\x00\x00"
UNDEFINED = b"\x00" * 8


def pack(text: str) -> bytes:
    """An EXIF block with `text` as UserComment: UTF-16, most significant byte first, as the TIFF header says."""
    exif = Image.Exif()
    exif.endian = ">"
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = UNICODE + text.encode("utf-16-be")
    return exif.tobytes()


def labelled(image: ImageFile) -> dict[str, str]:
    """Texts of the form `name:{…}` under other tags, by their names, as ComfyUI leaves them in WebP and JPEG."""
    if image.format == "PNG":
        return {}
    try:
        exif = image.getexif()
        values = [exif.get(tag) for tag in LABELLED]
    except UNREADABLE:
        return {}
    found = {}
    for value in values:
        name, colon, text = value.partition(":") if isinstance(value, str) else ("", "", "")
        if colon and name.isidentifier() and text.lstrip().startswith("{"):
            found[name.casefold()] = text.strip("\x00 ")
    return found


def find(image: ImageFile) -> str:
    """The UserComment of a picture; empty when it has none or its EXIF block cannot be read."""
    if image.format == "PNG" and "exif" not in image.info:
        return ""  # asking PIL would decode all pixels in search of a late chunk
    try:
        exif = image.getexif()
        value = exif.get_ifd(EXIF_IFD).get(USER_COMMENT) or exif.get(USER_COMMENT)  # Fooocus puts it there
    except UNREADABLE:
        return ""
    if isinstance(value, str):
        return value.strip("\x00 ")
    return decode(value) if isinstance(value, bytes) else ""


def decode(value: bytes) -> str:
    """Text of a UserComment, whichever of its codes and byte orders was used."""
    head, body = value[:8], value[8:]
    if head == UNICODE:
        return _decode_utf16(body)
    if head in (ASCII, UNDEFINED):
        return body.decode("utf-8", "replace").strip("\x00 ")
    return value.decode("utf-8", "replace").strip("\x00 ")


def _decode_utf16(body: bytes) -> str:
    """Writers disagree on the byte order. Texts in Latin letters show it by where their zero bytes stand."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", "replace").rstrip("\x00")
    little = body[1::2].count(0) > body[0::2].count(0)
    return body.decode("utf-16-le" if little else "utf-16-be", "replace").rstrip("\x00")
