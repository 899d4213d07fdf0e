"""`/v1/images` and `/v1/models` as OpenAI's image API has them, so that its clients work.

Pictures come as `b64_json`, or by their addresses in the gallery.
Errors have OpenAI's shape (see `messages`), and a model that is not here is an error too.
"""

from __future__ import annotations

import dataclasses
import re
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image, ImageChops
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from modules.api.images import open_picture, to_base64, to_png
from modules.api.intake import Intake
from modules.api.messages import told
from modules.api.names import find_checkpoint, find_vae
from modules.api.openai_wishes import MOST, EditWanted, ImagesWanted, Wanted
from modules.api.promise import PROMISED, Prefer, key_of, prefers_async, promise
from modules.api.remarks import header_of
from modules.api.running import draw
from modules.api.services import Own, Owner, Services
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import (
    CanvasParams,
    FaceParams,
    GenerationRequest,
    ImageParams,
    InpaintParams,
    ModelParams,
    OutputParams,
    PromptParams,
    SamplingParams,
)
from modules.contracts.result import GenerationResult
from modules.contracts.validation import validate
from modules.outputs.metadata import encode, format_of
from modules.support.preferences import Preferences
from modules.support.studio import Studio
from modules.support.usual import usual_steps

router = APIRouter(prefix="/v1", tags=["openai"])
QUALITY = "jpeg_quality"
"""The setting for files that may be smaller and worse."""


class OpenAIError(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIFailure(BaseModel):
    """The body of an answer with a 4xx or 5xx status."""

    error: OpenAIError


WRONG: dict[int | str, dict[str, Any]] = {
    status: told("", OpenAIFailure)
    for status in (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503, 504, 507, "default")
}


class ImageRow(BaseModel):
    """One picture."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class ImagesAnswer(BaseModel):
    """The pictures."""

    created: int
    data: list[ImageRow]
    output_format: str
    size: str
    quality: str
    background: str


class OpenAIModel(BaseModel):
    """A model that can be used."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "atelier"


class ModelsAnswer(BaseModel):
    """All models that can be used."""

    object: str = "list"
    data: list[OpenAIModel]


@router.get("/models", responses=WRONG)
def list_models(studio: Services) -> ModelsAnswer:
    """Models that can be used."""
    return ModelsAnswer(data=[OpenAIModel(id=row.name) for row in studio.catalog.models() if row.problem is None])


@router.get("/models/{name:path}", responses=WRONG)
def get_model(studio: Services, name: str) -> OpenAIModel:
    """One model by its name in the catalogue, which may hold a slash."""
    return OpenAIModel(id=find_checkpoint(studio.catalog, name))


@router.post("/images/generations", response_model=ImagesAnswer, responses={**WRONG, **PROMISED})
async def generate(
    wanted: ImagesWanted, request: Request, studio: Services, owner: Owner, own: Own, prefer: Prefer = None
) -> Response:
    """Draw pictures from words."""
    asked = await run_in_threadpool(lambda: _request(wanted, studio, own.defaults(owner)))
    return await _draw(wanted, asked, request, studio, owner, own)


@router.post("/images/edits", response_model=ImagesAnswer, responses={**WRONG, **PROMISED})
async def edit(
    wanted: Annotated[EditWanted, Form()],
    request: Request,
    studio: Services,
    owner: Owner,
    own: Own,
    prefer: Prefer = None,
) -> Response:
    """Draw a picture anew, or the part of it where the mask is transparent."""
    picture = await wanted.image[0].read()
    mask = await wanted.mask.read() if wanted.mask is not None else None
    drawn = await run_in_threadpool(lambda: _request(wanted, studio, own.defaults(owner)))
    intake = Intake(studio, owner, key_of(request) if prefers_async(request) else None)
    asked = await run_in_threadpool(_edited, drawn, picture, mask, intake)
    return await _draw(wanted, asked, request, studio, owner, own)


def _request(wanted: Wanted, studio: Studio, defaults: Mapping[str, Mapping[str, Any]]) -> GenerationRequest:
    """The request without pictures; what it leaves open is in `defaults`. Raises `InvalidRequest`, `UnknownModel`."""
    wanted.check()
    form = wanted.output_format or defaults.get("output", {}).get("format", "png")
    quality = wanted.file_quality(form)
    width, height = _size(wanted.size)
    model = defaults.get("model", {})
    checkpoint = find_checkpoint(studio.catalog, wanted.model or model.get("checkpoint"))
    asked = GenerationRequest(
        prompt=PromptParams(wanted.prompt, **defaults.get("prompt", {})),
        faces=FaceParams(**defaults.get("faces", {})),
        canvas=CanvasParams(width, height, wanted.n or 1),
        sampling=SamplingParams(steps=wanted.steps(usual_steps(studio.catalog, checkpoint))),
        model=ModelParams(checkpoint, find_vae(studio.catalog, model.get("vae") or "")),
        output=OutputParams(save=wanted.response_format == "url", format=form),
        own=() if quality is None else ((QUALITY, quality),),
    )
    validate(asked)
    return asked


def _size(text: str | None) -> tuple[int | None, int | None]:
    if text is None or text == "auto":
        return None, None
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if found is None:
        raise InvalidRequest(f"size is {text!r}; 'auto' or width and height such as 512x512 are allowed.")
    return int(found[1]), int(found[2])


def _edited(asked: GenerationRequest, picture: bytes, mask: bytes | None, intake: Intake) -> GenerationRequest:
    """The request with its picture and mask. Blocks while they are decoded."""
    head = intake.look_at(picture, "image").head
    if mask is not None:
        intake.look_at(mask, "mask")
    intake.ask(dataclasses.replace(asked, image=ImageParams((head,))))
    image, _ = open_picture(picture, "image")
    alpha = open_picture(mask, "mask")[0] if mask is not None else image
    inpaint = InpaintParams(to_png(_holes(alpha)), fill="original") if mask is not None or _has_holes(image) else None
    return dataclasses.replace(asked, image=ImageParams((to_png(image.convert("RGB")),)), inpaint=inpaint)


def _holes(image: Image.Image) -> Image.Image:
    """White where the picture is transparent; nothing else is drawn anew."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        raise InvalidRequest("mask is not transparent anywhere; a PNG with an alpha channel is needed.")
    return ImageChops.invert(image.convert("RGBA").getchannel("A"))


def _has_holes(image: Image.Image) -> bool:
    return "A" in image.getbands() and image.getchannel("A").getextrema() != (255, 255)


async def _draw(
    wanted: Wanted, asked: GenerationRequest, request: Request, studio: Studio, owner: str, own: Preferences
) -> Response:
    if prefers_async(request):
        promised = await promise(request, studio, asked, owner)
        promised.headers.update(header_of(wanted.notes()))
        return promised
    job_id = uuid.uuid4().hex
    result = await draw(request, studio, asked, owner, job_id)
    if asked.output.save:
        below = f"{str(request.base_url).rstrip('/')}/api/v1/pictures"
        rows = await run_in_threadpool(lambda: studio.pictures.list(job_id=job_id, limit=MOST))
        data = [
            {"url": f"{below}/{row.id}/file", "revised_prompt": picture.prompt}
            for row, picture in zip(sorted(rows, key=lambda row: row.index), result.pictures, strict=False)
        ]
    else:
        quality = int(dict(asked.own).get(QUALITY) or own.public(owner)[QUALITY])
        data = await run_in_threadpool(_packed, asked, result, quality)
    notes = header_of((*wanted.notes(), *result.notes))
    return JSONResponse(_answer(wanted, asked, result, data), headers=notes)


def _packed(asked: GenerationRequest, result: GenerationResult, quality: int) -> list[dict[str, Any]]:
    """The pictures inside the answer."""
    return [
        {
            "b64_json": to_base64(
                encode(item.content, asked.output.format, infotext=item.infotext, recipe=item.recipe, quality=quality)
            ),
            "revised_prompt": item.prompt,
        }
        for item in result.pictures
    ]


def _answer(
    wanted: Wanted, asked: GenerationRequest, result: GenerationResult, data: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "created": int(time.time()),
        "data": data,
        "output_format": next(
            (format_of(item.content, asked.output.format) for item in result.pictures), asked.output.format
        ),
        "size": "x".join(map(str, result.pictures[0].image.size)) if result.pictures else "",
        "quality": wanted.told_quality(),
        "background": "opaque",
    }
