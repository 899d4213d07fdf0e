"""What a job asks for that makes finished pictures larger instead of drawing some, and the sizes that follow from it.

Pictures come as PNG, so that their sizes, and with them the cost of the job, are known before anything is decoded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import param

Size = tuple[int, int]
"""Width and height in pixels."""
LARGEST = 8192
"""Pixels along a side of what comes out."""
MOST = 64
"""Pictures of one job."""
MOST_MEGAPIXELS = 256
"""Of all pictures of one job together, as they come out: they are held in memory until the job is answered."""
LONGEST_INFOTEXT = 100_000
NOTHING = "None"
"""The upscaler that leaves the enlarging to the final resize; as the second one, none at all."""
_PNG_HEAD = struct.Struct(">8s4x4sII")


@dataclass(frozen=True, slots=True)
class EnlargeParams:
    """Finished pictures that are made larger. Nothing is drawn, and no checkpoint is needed."""

    images: tuple[bytes, ...] = field(default=(), repr=False)
    """PNG files, each by itself; they may differ in size."""
    infotexts: tuple[str, ...] = field(default=(), repr=False)
    """What each picture said of how it was drawn; empty, or one text a picture."""
    upscaler: str = param("Lanczos", "Upscaler", choices="upscalers")
    second: str = param(NOTHING, "Second upscaler", choices="upscalers")
    second_share: float = param(
        0.0, "Visibility of the second upscaler", help="0 is not at all.", minimum=0, maximum=1, step=0.001
    )
    scale: float = param(2.0, "Upscale by", help="Where no size is given.", minimum=0.001, maximum=16, step=0.05)
    width: int = param(0, "Resize width to", help="0 follows the height.", minimum=0, maximum=LARGEST, step=8)
    height: int = param(0, "Resize height to", help="0 follows the width.", minimum=0, maximum=LARGEST, step=8)
    crop: bool = param(True, "Crop to fit", help="Cut off what goes beyond the size.")
    restorer: str = param(NOTHING, "Face restorer", help="Draws faces anew.", choices="restorers")
    restorer_share: float = param(
        1.0, "Visibility of restored faces", help="0 is not at all.", minimum=0, maximum=1, step=0.001
    )
    restorer_weight: float = param(
        0.5,
        "Fidelity of CodeFormer",
        help="0 draws the most beautiful face, 1 the one most like the given.",
        minimum=0,
        maximum=1,
        step=0.001,
    )
    upscale_first: bool = param(False, "Upscale first", help="Restore faces after the picture was made larger.")

    @property
    def restores(self) -> bool:
        """Whether faces are restored."""
        return self.restorer_share > 0 and self.restorer.casefold() != NOTHING.casefold()

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """The upscalers at work, each with how much of it shows; they add up to 1."""
        if self.second_share <= 0 or self.second.casefold() == NOTHING.casefold():
            return ((self.upscaler, 1.0),)
        return ((self.upscaler, 1 - self.second_share), (self.second, self.second_share))


@dataclass(frozen=True, slots=True)
class EnlargedSize:
    """`whole` is what a picture is brought to, `final` what is cut out of its middle."""

    whole: Size
    final: Size

    @property
    def box(self) -> tuple[int, int, int, int]:
        """What is cut out: left, top, right, bottom."""
        left, top = (self.whole[0] - self.final[0]) // 2, (self.whole[1] - self.final[1]) // 2
        return left, top, left + self.final[0], top + self.final[1]


def plan_enlarged(size: Size, wish: EnlargeParams) -> EnlargedSize:
    """How large a picture of that size becomes.

    As in A1111, a picture that is brought to a size covers it with its ratio kept; what stands over is cut off, or
    kept without `crop`. Other than there a side may be any number of pixels and not only a multiple of eight.
    """
    goals = [goal / side for goal, side in zip((wish.width, wish.height), size, strict=True) if goal]
    factor = max(goals, default=wish.scale)
    whole = (max(round(size[0] * factor), wish.width, 1), max(round(size[1] * factor), wish.height, 1))
    cut = wish.crop and wish.width > 0 and wish.height > 0
    return EnlargedSize(whole, (wish.width, wish.height) if cut else whole)


def png_size(data: bytes) -> Size | None:
    """Width and height that a PNG file says it has (PNG specification, section 11.2.2); None for any other file."""
    if len(data) < _PNG_HEAD.size:
        return None
    mark, kind, width, height = _PNG_HEAD.unpack_from(data)
    if mark != b"\x89PNG\r\n\x1a\n" or kind != b"IHDR" or not width or not height:
        return None
    return width, height


def png_head(size: Size) -> bytes:
    """The beginning of a PNG file of that size, all that `png_size` reads: it stands for a picture that nobody has
    decoded yet, where only its size counts."""
    return _PNG_HEAD.pack(b"\x89PNG\r\n\x1a\n", b"IHDR", *size)


def sizes_of(wish: EnlargeParams) -> tuple[EnlargedSize, ...]:
    """The sizes of all pictures. Raises `InvalidRequest` for one that is no PNG."""
    return tuple(plan_enlarged(size, wish) for size in given_sizes(wish))


def given_sizes(wish: EnlargeParams) -> tuple[Size, ...]:
    """The sizes of the pictures as they come. Raises `InvalidRequest` for one that is no PNG."""
    sizes: list[Size] = []
    for number, data in enumerate(wish.images, 1):
        size = png_size(data)
        if size is None:
            raise InvalidRequest(f"Picture {number} to enlarge is no PNG; pictures have to be PNG here.")
        sizes.append(size)
    return tuple(sizes)


def check_enlarging(wish: EnlargeParams) -> None:
    """Raise `InvalidRequest` for pictures that are missing, too many, or would become too large."""
    count = len(wish.images)
    if not 1 <= count <= MOST:
        raise InvalidRequest(f"{count} pictures were given to be made larger; allowed are 1 to {MOST}.")
    if len(wish.infotexts) not in (0, count):
        raise InvalidRequest(
            f"{len(wish.infotexts)} infotexts were given for {count} pictures; give none, or one each."
        )
    if any(len(text) > LONGEST_INFOTEXT for text in wish.infotexts):
        raise InvalidRequest(f"An infotext has more than {LONGEST_INFOTEXT} characters; at most so many are kept.")
    pixels = 0
    for size in sizes_of(wish):
        width, height = size.whole
        if max(width, height) > LARGEST:
            raise InvalidRequest(f"The picture would be {width} × {height}; at most {LARGEST} pixels a side are made.")
        pixels += width * height
    if pixels > MOST_MEGAPIXELS * 1e6:
        raise InvalidRequest(
            f"All pictures together would have {pixels / 1e6:.0f} megapixels; at most {MOST_MEGAPIXELS} are made "
            "at once."
        )
