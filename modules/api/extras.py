"""`extra-single-image` and `extra-batch-images`: finished pictures made larger.

Interpolation is done here; an upscaler that is a network works in the hires pass only, and says so.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from modules.api.fields import Whole, sound_text
from modules.api.images import decode_base64, open_picture, to_base64
from modules.api.messages import FAILURES
from modules.api.names import find_upscaler
from modules.api.services import Own, Owner, Services
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.outputs.metadata import encode
from modules.support.studio import Studio
from modules.upscalers.image import METHODS, enlarge_image

router = APIRouter(tags=["pictures"])
MOST = 64
"""Pictures of one call."""
LARGEST = 8192
"""Pixels along a side of what comes out."""
Share = Annotated[float, Field(ge=0, le=1)]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())
    resize_mode: Whole = Field(0, ge=0, le=1, description="0 by upscaling_resize, 1 to a size.")
    show_extras_results: bool | None = Field(True, description="Put the pictures into the answer.")
    gfpgan_visibility: Share = Field(0, description="Refused above 0: there is no face restoration yet.")
    codeformer_visibility: Share = Field(0, description="Refused above 0: there is no face restoration yet.")
    codeformer_weight: Share = Field(0, description="Accepted for old clients; it changes nothing here.")
    upscaling_resize: float = Field(2, gt=0, le=16, allow_inf_nan=False, description="By how much.")
    upscaling_resize_w: Whole = Field(512, ge=1, le=LARGEST)
    upscaling_resize_h: Whole = Field(512, ge=1, le=LARGEST)
    upscaling_crop: bool | None = Field(True, description="Fill the size and cut off what does not fit.")
    upscaler_1: str | None = Field("None", max_length=200, examples=["Lanczos"])
    upscaler_2: str | None = Field("None", max_length=200)
    extras_upscaler_2_visibility: Share = Field(0, description="How much of the second upscaler shows.")
    upscale_first: bool | None = Field(False, description="Accepted for old clients; it changes nothing here.")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """Null is the default, as everywhere in the old API."""
        given = sound_text(data)
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given


class ExtrasSingleImageRequest(_Wanted):
    """One picture to be made larger."""

    image: str = Field(description="In base64 or as a data URI.")


class FileData(BaseModel):
    """One picture of several."""

    data: str = Field(description="In base64 or as a data URI.")
    name: str = Field("", max_length=500, description="Accepted for old clients; nothing is named after it.")


class ExtrasBatchImagesRequest(_Wanted):
    """Several pictures to be made larger."""

    imageList: list[FileData] = Field(min_length=1, max_length=MOST)  # noqa: N815 - A1111's name


class ExtrasSingleImageResponse(BaseModel):
    """The larger picture."""

    html_info: str = Field(description="What was done, in words.")
    image: str


class ExtrasBatchImagesResponse(BaseModel):
    """The larger pictures, in the order of the request."""

    html_info: str
    images: list[str]


@router.post("/sdapi/v1/extra-single-image", responses=FAILURES)
async def extra_single_image(
    wanted: ExtrasSingleImageRequest, studio: Services, owner: Owner, own: Own
) -> ExtrasSingleImageResponse:
    """Make a finished picture larger."""
    settings = own.public(owner)
    text, (image,) = await asyncio.to_thread(_enlarge_all, wanted, [wanted.image], studio, settings)
    return ExtrasSingleImageResponse(html_info=text, image=image if wanted.show_extras_results is not False else "")


@router.post("/sdapi/v1/extra-batch-images", responses=FAILURES)
async def extra_batch_images(
    wanted: ExtrasBatchImagesRequest, studio: Services, owner: Owner, own: Own
) -> ExtrasBatchImagesResponse:
    """Make several finished pictures larger."""
    settings, given = own.public(owner), [item.data for item in wanted.imageList]
    text, images = await asyncio.to_thread(_enlarge_all, wanted, given, studio, settings)
    return ExtrasBatchImagesResponse(html_info=text, images=images if wanted.show_extras_results is not False else [])


def _enlarge_all(wanted: _Wanted, given: list[str], studio: Studio, settings: dict[str, Any]) -> tuple[str, list[str]]:
    """What was done, and the pictures in base64. Blocks. Raises `InvalidRequest` before anything large is made."""
    if wanted.gfpgan_visibility or wanted.codeformer_visibility:
        raise UnsupportedFeature("There is no face restoration yet; leave gfpgan_ and codeformer_visibility at 0.")
    first = _method(wanted.upscaler_1, studio)
    second = _method(wanted.upscaler_2, studio) if wanted.extras_upscaler_2_visibility else None
    made = []
    for place, text in enumerate(given):
        image = _plain(open_picture(decode_base64(text, f"picture {place}"), f"picture {place}")[0])
        size = _size(wanted, image.size)
        large = enlarge_image(image, size, first)
        if second is not None:
            large = Image.blend(large, enlarge_image(image, size, second), wanted.extras_upscaler_2_visibility)
        form, quality = str(settings["samples_format"]), int(settings["jpeg_quality"])
        data = encode(_cut(large, wanted), "jpeg" if form == "jpg" else form, infotext="", recipe={}, quality=quality)
        made.append(to_base64(data))
    return f"Upscaler: {first}", made


def _method(wanted: str | None, studio: Studio) -> str:
    """The interpolation of that name. Raises `InvalidRequest`, and `UnsupportedFeature` for a network."""
    name = wanted if wanted and wanted.strip().casefold() != "none" else "None"
    if name != "None":
        name = find_upscaler(studio.catalog, name)
    if name not in METHODS:
        known = ", ".join(METHODS)
        raise UnsupportedFeature(f"The upscaler {name!r} works in the hires pass only; here there are {known}.")
    return name


def _plain(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is transparent: interpolation between the numbers of a palette means nothing."""
    clear = "A" in image.getbands() or "transparency" in image.info
    return image.convert("RGBA" if clear else "RGB")


def _size(wanted: _Wanted, size: tuple[int, int]) -> tuple[int, int]:
    """To what size, before anything is cut off. Raises `InvalidRequest` for one that is too large."""
    factor = wanted.upscaling_resize
    if wanted.resize_mode == 1:
        sides = (wanted.upscaling_resize_w / size[0], wanted.upscaling_resize_h / size[1])
        factor = max(sides) if wanted.upscaling_crop is not False else min(sides)
    width, height = (max(1, round(side * factor)) for side in size)
    if max(width, height) > LARGEST:
        raise InvalidRequest(f"The picture would be {width} × {height}; at most {LARGEST} pixels a side are made.")
    return width, height


def _cut(image: Image.Image, wanted: _Wanted) -> Image.Image:
    if wanted.resize_mode != 1 or wanted.upscaling_crop is False:
        return image
    width, height = wanted.upscaling_resize_w, wanted.upscaling_resize_h
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
