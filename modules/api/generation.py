"""`txt2img` and `img2img`."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from modules.api.answers import ImageToImageResponse, TextToImageResponse, make_answer
from modules.api.bodies import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img
from modules.api.infotext import fill_from_infotext
from modules.api.intake import Intake
from modules.api.messages import FAILURES
from modules.api.promise import PROMISED, Prefer, key_of, prefers_async, promise
from modules.api.reading import Wish, read_body
from modules.api.remarks import header_of
from modules.api.running import draw
from modules.api.services import Owner, Services, preferences_of
from modules.api.xyz_plot import answer_plot, draw_plot, forsake, is_plot, read_plot
from modules.contracts.errors import InvalidRequest
from modules.contracts.result import GenerationResult
from modules.experiments.legacy import Tab
from modules.support.studio import Studio

router = APIRouter(tags=["drawing"])
ANSWERS: dict[int | str, dict[str, Any]] = {**FAILURES, **PROMISED}


@router.post("/sdapi/v1/txt2img", response_model=TextToImageResponse, responses=ANSWERS)
async def txt2img(
    body: StableDiffusionProcessingTxt2Img, request: Request, studio: Services, owner: Owner, prefer: Prefer = None
) -> Response:
    """Draw pictures from words. Answers when all are finished; a client that hangs up cancels its job."""
    return await _generate("txt2img", body, request, studio, owner)


@router.post("/sdapi/v1/img2img", response_model=ImageToImageResponse, responses=ANSWERS)
async def img2img(
    body: StableDiffusionProcessingImg2Img, request: Request, studio: Services, owner: Owner, prefer: Prefer = None
) -> Response:
    """Draw pictures from words and a picture; with a mask, only where it is white."""
    return await _generate("img2img", body, request, studio, owner)


async def _generate(mode: str, body: BaseModel, request: Request, studio: Studio, owner: str) -> Response:
    if is_plot(body.model_dump()):
        return await _plot(mode, body, request, studio, owner)
    key = key_of(request) if prefers_async(request) else None
    wish = await read_call(mode, body, request, studio, owner, key)
    chosen = getattr(body, "force_task_id", None) or None
    if prefers_async(request):
        promised = await promise(request, studio, wish.request, owner, chosen)
        promised.headers.update(header_of(wish.notes))
        return promised
    result = await draw(request, studio, wish.request, owner, chosen)
    version = studio.versions.get("atelier", "")
    content = await run_in_threadpool(_render, wish, result, version)
    return Response(content, media_type="application/json", headers=header_of((*wish.notes, *result.notes)))


async def _plot(mode: str, body: BaseModel, request: Request, studio: Studio, owner: str) -> Response:
    """A1111's X/Y/Z plot of what the body asks for."""
    if prefers_async(request):
        raise InvalidRequest("X/Y/Z plot does not answer before it is drawn; POST /api/v1/experiments does.")
    said = {name: getattr(body, name) for name in ("script_name", "script_args")}
    tab: Tab = "img2img" if mode == "img2img" else "txt2img"
    wish = await read_call(mode, body, request, studio, owner, None, script_name=None)
    plot = await run_in_threadpool(read_plot, said["script_args"] or [], tab, studio, wish.request)
    record = await draw_plot(request, studio, plot, wish, owner)
    try:
        content = await run_in_threadpool(answer_plot, studio, plot, wish, record, said)
    finally:
        await run_in_threadpool(forsake, studio, record)
    return Response(content, media_type="application/json", headers=header_of(wish.notes))


async def read_call(
    mode: str, body: BaseModel, request: Request, studio: Studio, owner: str, key: str | None, **more: Any
) -> Wish:
    """What a body of the old API asks for, its infotext filled in; `more` fields go before those of the body.

    `key` is the idempotency key under which it will be submitted.
    """
    given = body.model_fields_set | set(more)
    values = fill_from_infotext({**body.model_dump(), **more}, given, mode, studio.scripts)
    own = await run_in_threadpool(preferences_of(request).of, owner)
    return await run_in_threadpool(read_body, values, mode, studio, Intake(studio, owner, key), own)


def _render(wish: Wish, result: GenerationResult, version: str) -> bytes:
    """The answer as JSON. Megabytes of base64 are not worth a trip through the response model's validation."""
    return json.dumps(make_answer(wish.body, wish, result, version), default=str).encode("utf-8")
