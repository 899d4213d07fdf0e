"""Pictures while they are made larger, of eight bits a channel or of sixteen.

Both kinds go the same way; what has sixteen bits keeps them through interpolation, networks and mixing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.contracts.result import DeepImage
from modules.processing_diffusers.face_part import Faces
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.pictures import decode_layers
from modules.processing_diffusers.upscaler_part import UpscalerPart
from modules.upscalers.deep import TOP, enlarge_deep, read_deep
from modules.upscalers.image import enlarge_image

Size = tuple[int, int]
Check = Callable[[], None]


class Sheet(Protocol):
    """One picture, RGB or RGBA. Every method gives a new one."""

    @property
    def image(self) -> Image.Image:
        """It in eight bits."""

    @property
    def deep(self) -> DeepImage | None:
        """It in sixteen, where it has them."""

    @property
    def mode(self) -> str:
        """Channels, and bits where there are more than eight."""

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels."""

    def interpolated(self, size: Size, name: str) -> Self:
        """At that size, by an upscaler that is no network."""

    def grown(self, network: UpscalerPart, port: Port, size: Size, check: Check) -> Self:
        """At that size, by a network, which sees the colours; what is transparent is interpolated."""

    def mixed(self, other: Self, share: float) -> Self:
        """With so much of another one of the same size."""

    def cut(self, box: tuple[int, int, int, int]) -> Self:
        """Left, top, right and bottom of what remains."""

    def restored(self, faces: Faces, port: Port, check: Check) -> Self:
        """With its faces restored; pixels away from them stay bit for bit."""


@dataclass(frozen=True)
class PlainSheet:
    """Eight bits a channel."""

    image: Image.Image
    deep: None = None

    @property
    def mode(self) -> str:
        return self.image.mode

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.image.tobytes()).hexdigest()

    def interpolated(self, size: Size, name: str) -> PlainSheet:
        return PlainSheet(enlarge_image(self.image, size, name))

    def grown(self, network: UpscalerPart, port: Port, size: Size, check: Check) -> PlainSheet:
        made = network.enlarge(port, self.image, size, check)
        if self.image.mode == "RGBA":
            made.putalpha(enlarge_image(self.image.getchannel("A"), size, "Lanczos"))
        return PlainSheet(made)

    def mixed(self, other: PlainSheet, share: float) -> PlainSheet:
        return PlainSheet(Image.blend(self.image, other.image, share))

    def cut(self, box: tuple[int, int, int, int]) -> PlainSheet:
        return PlainSheet(self.image.crop(box))

    def restored(self, faces: Faces, port: Port, check: Check) -> PlainSheet:
        return PlainSheet(faces.restore(port, self.image, check))


@dataclass(frozen=True)
class DeepSheet:
    """Sixteen bits a channel; (height, width, 3 or 4)."""

    pixels: NDArray[np.uint16]

    @cached_property
    def image(self) -> Image.Image:
        # The upper byte, as Pillow reads such a file.
        return Image.fromarray((self.pixels >> 8).astype(np.uint8))

    @property
    def deep(self) -> DeepImage:
        return DeepImage(self.pixels, self.image)

    @property
    def mode(self) -> str:
        return f"{self.image.mode};16"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    def interpolated(self, size: Size, name: str) -> DeepSheet:
        return DeepSheet(enlarge_deep(self.pixels, size, name))

    def grown(self, network: UpscalerPart, port: Port, size: Size, check: Check) -> DeepSheet:
        made = network.grow(port, np.ascontiguousarray(self.pixels[..., :3]), size, check)
        if (made.shape[1], made.shape[0]) != size:
            made = enlarge_deep(made, size, "Lanczos")
        if self.pixels.shape[2] == 4:
            made = np.concatenate([made, enlarge_deep(self.pixels[..., 3:], size, "Lanczos")], axis=2)
        return DeepSheet(made)

    def mixed(self, other: DeepSheet, share: float) -> DeepSheet:
        both = self.pixels * np.float32(1 - share) + other.pixels * np.float32(share)
        return DeepSheet(both.round().clip(0, TOP).astype(np.uint16))

    def cut(self, box: tuple[int, int, int, int]) -> DeepSheet:
        left, top, right, bottom = box
        return DeepSheet(np.ascontiguousarray(self.pixels[top:bottom, left:right]))

    def restored(self, faces: Faces, port: Port, check: Check) -> DeepSheet:
        # Networks for faces draw eight bits; what they change is added to the sixteen that are there.
        seen = np.asarray(self.image, np.int32)
        change = (np.asarray(faces.restore(port, self.image, check), np.int32) - seen) * 257
        return DeepSheet((self.pixels + change).clip(0, int(TOP)).astype(np.uint16))


def open_sheet(data: bytes, label: str) -> Sheet:
    """An upright picture from a file, of sixteen bits where it is a PNG that has them.

    Raises `InvalidRequest` naming `label`.
    """
    plain = decode_layers(data, label)  # tells what is wrong with a file that is no picture
    pixels = read_deep(data)
    return PlainSheet(plain) if pixels is None else DeepSheet(pixels)
