"""`extra-single-image` and `extra-batch-images`: finished pictures made larger, as jobs like those that draw."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool

from modules.api.enlarging import fill_enlarged, find_picture_upscaler
from modules.api.fields import Whole, sound_text
from modules.api.images import to_base64
from modules.api.intake import Intake
from modules.api.messages import FAILURES
from modules.api.promise import PROMISED, Prefer, key_of, prefers_async, promise
from modules.api.remarks import header_of, refuse_absent
from modules.api.running import draw
from modules.api.script_calls import ScriptIntake, legacy_calls
from modules.api.services import Own, Owner, Services
from modules.contracts.enlarging import LARGEST, MOST, NOTHING, EnlargeParams
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.infotext_enlarged import enlarged_fields, write_pairs
from modules.contracts.request import GenerationRequest, OutputParams
from modules.contracts.result import GenerationResult
from modules.outputs.metadata import encode
from modules.support.preferences import Preferences
from modules.support.studio import Studio

router = APIRouter(tags=["pictures"])
ANSWERS: dict[int | str, dict[str, Any]] = {**FAILURES, **PROMISED}
Share = Annotated[float, Field(ge=0, le=1)]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())
    resize_mode: Whole = Field(0, ge=0, le=1, description="0 by upscaling_resize, 1 to a size.")
    show_extras_results: bool | None = Field(True, description="Put the pictures into the answer.")
    gfpgan_visibility: Share = Field(0, description="How much shows of faces that a GFPGAN restores.")
    codeformer_visibility: Share = Field(0, description="The same for a CodeFormer; one of both at a time.")
    codeformer_weight: Share = Field(0, description="How like the given face CodeFormer's is; 0 is its own idea.")
    upscaling_resize: float = Field(2, ge=0.001, le=16, allow_inf_nan=False, description="By how much.")
    upscaling_resize_w: Whole = Field(512, ge=1, le=LARGEST)
    upscaling_resize_h: Whole = Field(512, ge=1, le=LARGEST)
    upscaling_crop: bool | None = Field(True, description="Fill the size and cut off what does not fit.")
    upscaler_1: str | None = Field("None", max_length=200, examples=["Lanczos"])
    upscaler_2: str | None = Field("None", max_length=200)
    extras_upscaler_2_visibility: Share = Field(0, description="How much of the second upscaler shows.")
    alwayson_scripts: dict[str, Any] = Field(
        {},
        description="Arguments of scripts of extensions that work on finished pictures, by title: a list in their"
        ' order or an object, under `args`, as in `{"Pixel art": {"args": {"enabled": true}}}`.',
        examples=[{}],
    )
    upscale_first: bool | None = Field(False, description="Restore faces in the larger picture, not in the given one.")

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
    image: str | None = Field(None, description="In bare base64; left out where there is none.")


class ExtrasBatchImagesResponse(BaseModel):
    """The larger pictures, in the order of the request."""

    html_info: str
    images: list[str]


@router.post("/sdapi/v1/extra-single-image", response_model=ExtrasSingleImageResponse, responses=ANSWERS)
async def extra_single_image(
    wanted: ExtrasSingleImageRequest, request: Request, studio: Services, owner: Owner, own: Own, prefer: Prefer = None
) -> Response:
    """Make a finished picture larger. Answers when it is done; a client that hangs up cancels its job."""
    made = await _make(wanted, [wanted.image], "image", request, studio, owner, own)
    if isinstance(made, Response):
        return made
    images = await run_in_threadpool(made.encode) if wanted.show_extras_results is not False else []
    # Clients open whatever stands under `image`, so an empty one would trip them.
    content = {"html_info": made.html_info, **({"image": images[0]} if images else {})}
    return JSONResponse(content, headers=header_of(made.notes))


@router.post("/sdapi/v1/extra-batch-images", response_model=ExtrasBatchImagesResponse, responses=ANSWERS)
async def extra_batch_images(
    wanted: ExtrasBatchImagesRequest, request: Request, studio: Services, owner: Owner, own: Own, prefer: Prefer = None
) -> Response:
    """Make several finished pictures larger, as one job."""
    given = [item.data for item in wanted.imageList]
    made = await _make(wanted, given, "imageList", request, studio, owner, own)
    if isinstance(made, Response):
        return made
    images = await run_in_threadpool(made.encode) if wanted.show_extras_results is not False else []
    return JSONResponse({"html_info": made.html_info, "images": images}, headers=header_of(made.notes))


async def _make(
    wanted: _Wanted, given: list[str], name: str, request: Request, studio: Studio, owner: str, own: Preferences
) -> _Made | Response:
    """What came of it, or the promise of it where that is preferred. `name` is the field of the given pictures."""
    settings = await run_in_threadpool(own.public, owner)
    intake = Intake(studio, owner, key_of(request) if prefers_async(request) else None)
    asked, notes = await run_in_threadpool(_read, wanted, given, name, studio, intake, settings)
    if prefers_async(request):
        promised = await promise(request, studio, asked, owner)
        promised.headers.update(header_of(notes))
        return promised
    return _Made(asked, await draw(request, studio, asked, owner, None), settings, notes)


class _Made:
    """What came of a job, on its way into the answer."""

    def __init__(
        self, asked: GenerationRequest, result: GenerationResult, settings: Mapping[str, Any], notes: list[str]
    ) -> None:
        self._asked, self._result, self._settings = asked, result, settings
        self.notes = [*notes, *result.notes, *(["Interrupted."] if result.interrupted else [])]
        """What there is to note: of the request, and of the job."""

    @property
    def html_info(self) -> str:
        """What was done, as A1111's extras tab shows it, and what there is to note."""
        assert self._asked.enlarge is not None
        done = write_pairs(enlarged_fields(self._asked.enlarge))
        return "".join(f"<p>{html.escape(text)}</p>" for text in (done, *self.notes))

    def encode(self) -> list[str]:
        """The pictures in base64. Blocks."""
        fmt, quality = self._asked.output.format, int(self._settings["jpeg_quality"])
        return [
            to_base64(encode(item.image, fmt, infotext=item.infotext, recipe=item.recipe, quality=quality))
            for item in self._result.pictures
        ]


def _read(
    wanted: _Wanted, given: list[str], name: str, studio: Studio, intake: Intake, settings: Mapping[str, Any]
) -> tuple[GenerationRequest, list[str]]:
    """The request for the queue, and what of the body changes nothing; `intake` takes the pictures in. Blocks.

    Raises `InvalidRequest`, also for a script that is not there, and what the queue would raise.
    """
    scripts_said = {"alwayson_scripts": wanted.alwayson_scripts}
    refuse_absent(scripts_said, "enlarge", studio.scripts)
    restorer = _restorer(wanted, studio)
    to_size = wanted.resize_mode == 1
    enlarge = EnlargeParams(
        upscaler=find_picture_upscaler(studio.catalog, wanted.upscaler_1),
        second=find_picture_upscaler(studio.catalog, wanted.upscaler_2),
        second_share=wanted.extras_upscaler_2_visibility,
        scale=wanted.upscaling_resize,
        width=wanted.upscaling_resize_w if to_size else 0,
        height=wanted.upscaling_resize_h if to_size else 0,
        crop=wanted.upscaling_crop is not False,
        restorer=restorer,
        restorer_share=max(wanted.gfpgan_visibility, wanted.codeformer_visibility) if restorer != NOTHING else 1.0,
        restorer_weight=wanted.codeformer_weight if wanted.codeformer_visibility else 0.5,
        upscale_first=bool(wanted.upscale_first) and restorer != NOTHING,
    )
    fmt = str(settings["samples_format"])
    output = OutputParams(save=False, format="jpeg" if fmt == "jpg" else fmt)
    notes: list[str] = []
    scripts = ScriptIntake(intake, legacy_calls(scripts_said, "enlarge", studio.scripts, notes))
    return scripts.fill(fill_enlarged(intake, GenerationRequest(enlarge=enlarge, output=output), given, name)), notes


def _restorer(wanted: _Wanted, studio: Studio) -> str:
    """The face restorer's name. Raises `UnsupportedFeature` for both at once."""
    if wanted.gfpgan_visibility and wanted.codeformer_visibility:
        raise UnsupportedFeature("Faces are restored once; give gfpgan_visibility or codeformer_visibility, not both.")
    kind = "gfpgan" if wanted.gfpgan_visibility else "codeformer" if wanted.codeformer_visibility else None
    if kind is None:
        return NOTHING
    own = (entry for entry in studio.catalog.restorers() if entry.kind == kind and entry.problem is None)
    return next((entry.name for entry in own), {"gfpgan": "GFPGAN", "codeformer": "CodeFormer"}[kind])
