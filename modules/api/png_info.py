"""`png-info`: what a picture says about how it was drawn."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from modules.api.fetched import source_for
from modules.api.images import open_picture
from modules.api.infotext import parameters_of
from modules.api.services import Services
from modules.outputs.metadata import read_metadata
from modules.outputs.mp4 import is_mp4

router = APIRouter(tags=["pictures"])


class PNGInfoRequest(BaseModel):
    """A picture in base64 or as a data URI."""

    image: str = Field(description="The picture as a file: PNG, JPEG, WebP or AVIF; or a film as MP4.")


class PNGInfoResponse(BaseModel):
    """What was found."""

    info: str = Field(description="A1111 infotext, empty when there is none.")
    items: dict[str, Any] = Field(description="Other text in the file.")
    parameters: dict[str, Any] = Field(description="The infotext, taken apart.")


@router.post("/sdapi/v1/png-info", response_model=PNGInfoResponse)
def png_info(body: PNGInfoRequest, studio: Services) -> PNGInfoResponse:
    """Read the parameters that a picture carries. A picture without any answers with empty fields."""
    data = source_for(studio)(body.image, "image")
    if not is_mp4(data):
        open_picture(data, "image")
    found = read_metadata(data)
    text = found.infotext or ""
    return PNGInfoResponse(info=text, items=dict(found.items), parameters=parameters_of(text, studio.scripts))
