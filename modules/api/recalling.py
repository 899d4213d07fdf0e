"""`/api/v1/pictures/read`: what a picture from anywhere says of how it was drawn, and what of it is understood."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from modules.api.images import decode_base64
from modules.api.infotext import parameters_of
from modules.api.jobs import REFUSED
from modules.api.services import Services
from modules.contracts.infotext import parse, to_request
from modules.contracts.infotext_recall import SILENT
from modules.contracts.request import GenerationRequest
from modules.outputs.metadata import read_metadata

router = APIRouter(prefix="/api/v1/pictures", tags=["pictures"])


class PictureGiven(BaseModel):
    """A picture or MP4 as a file, in base64 or as a data URI. Pixels are not looked at."""

    model_config = ConfigDict(extra="forbid")
    image: str = Field(description="The file as it is, in base64 or as a data URI.")


class PictureSaid(BaseModel):
    """What it says."""

    program: str = Field(description="What drew it, where that can be told; else empty.", examples=["ComfyUI"])
    infotext: str = Field(description="A1111 infotext, whatever program it was; empty where there is none.")
    parameters: dict[str, str] = Field(description="The infotext, taken apart.", examples=[{"Seed": "1"}])
    understood: list[str] = Field(description="Labels that a request is made of.", examples=[["Prompt", "Seed"]])
    unknown: list[str] = Field(description="Labels that mean nothing here.", examples=[[]])
    notes: list[str] = Field(description="Sentences about what else was left out.", examples=[[]])


@router.post("/read", responses=REFUSED)
def read_picture(studio: Services, given: PictureGiven) -> PictureSaid:
    """Read a picture of A1111, SD.Next, Forge, ComfyUI, InvokeAI, NovelAI, Fooocus or our own. Nothing is kept."""
    found = read_metadata(decode_base64(given.image, "image"))
    said = parameters_of(found.infotext, studio.scripts)
    _, unknown = to_request(said, GenerationRequest())
    silent = {*unknown, *SILENT}
    labels = [key for key, value in parse(found.infotext, defaults=False).items() if value and key not in silent]
    return PictureSaid(
        program=found.program,
        infotext=found.infotext,
        parameters=said,
        understood=list(dict.fromkeys(label.removesuffix("-1").removesuffix("-2") for label in labels)),
        unknown=list(unknown),
        notes=list(found.notes),
    )
