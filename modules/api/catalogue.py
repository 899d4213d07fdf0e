"""`/api/v1/models` and what else there is to draw with: families, VAEs, samplers, schedules, upscalers.

Everything is named as the catalogue names it; no answer holds the place of a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from modules.api.catalogue_rows import (
    FamilyList,
    ModelList,
    ModelRow,
    SamplerList,
    ScheduleList,
    UpscalerList,
    VaeList,
    family_row,
    model_row,
    sampler_row,
    schedule_row,
    upscaler_row,
    vae_row,
)
from modules.api.jobs import CLEAN, REFUSED
from modules.api.paging import Paging, matches, one_of, page_of
from modules.api.services import Member, Services
from modules.contracts.catalog import Family, ModelEntry
from modules.contracts.errors import StudioError, UnknownModel
from modules.support.studio import Studio

router = APIRouter(prefix="/api/v1", tags=["catalogue"])
Text = Annotated[str, Field(max_length=200, pattern=CLEAN, description="Stands in the name, case aside.")]


class _Named(Paging):
    """A page of rows whose name holds a text."""

    text: Text = ""


class ModelsWanted(_Named):
    """Which models to list."""

    family: str | None = Field(None, max_length=64, pattern=CLEAN, description="Id of one of `/api/v1/families`.")
    layout: Literal["diffusers", "single_file", "hub"] | None = Field(None, description="How its files lie.")
    usable: bool | None = Field(None, description="Only those that can be used, or only those that cannot.")
    capability: str | None = Field(None, max_length=64, pattern=CLEAN, description="What it has to be able to do.")


class SamplersWanted(_Named):
    """Which samplers to list."""

    flow: bool | None = Field(None, description="Whether they drive flow-matching models.")


class UpscalersWanted(_Named):
    """Which upscalers to list."""

    latent: bool | None = Field(None, description="Whether they work on latents, in the hires pass only.")
    usable: bool | None = Field(None, description="Only those that can be used, or only those that cannot.")


@router.get("/models", responses=REFUSED)
def list_models(studio: Services, wanted: Annotated[ModelsWanted, Query()]) -> ModelList:
    """Models of the catalogue, usable ones first. 422 for a family that is not known."""
    families = _families(studio)
    one_of("family", wanted.family, list(families))
    current = _current(studio)
    rows = [
        model_row(entry, families.get(entry.family or ""), entry.name == current)
        for entry in studio.catalog.models()
        if _fits(entry, families.get(entry.family or ""), wanted)
    ]
    return page_of(ModelList, "models", rows, wanted)


@router.post("/models/refresh", responses=REFUSED)
def refresh_models(studio: Services, member: Member) -> ModelList:
    """Look at the model folders again, at most every two seconds; answers with the first page.

    Running jobs are not touched. Not for guests.
    """
    studio.catalog.refresh()
    return list_models(studio, ModelsWanted.model_validate({}))


@router.get("/models/{name:path}", responses=REFUSED)
def get_model(studio: Services, name: Annotated[str, Path(max_length=500)]) -> ModelRow:
    """One model by its name in the catalogue, which may hold a slash; one that is broken says why."""
    for entry in studio.catalog.models():
        if entry.name == name:
            return model_row(entry, _families(studio).get(entry.family or ""), entry.name == _current(studio))
    raise UnknownModel(f"There is no model {name[:64]!r} in the catalogue; /api/v1/models lists them.")


@router.get("/families", responses=REFUSED)
def list_families(studio: Services, wanted: Annotated[_Named, Query()]) -> FamilyList:
    """Families of models that can be drawn with, and what each can do."""
    rows = [family_row(row) for row in studio.catalog.families() if matches(wanted.text, row.id, row.label)]
    return page_of(FamilyList, "families", rows, wanted)


@router.get("/vaes", responses=REFUSED)
def list_vaes(studio: Services, wanted: Annotated[_Named, Query()]) -> VaeList:
    """Separate VAEs."""
    rows = [vae_row(entry) for entry in studio.catalog.vaes() if matches(wanted.text, entry.name)]
    return page_of(VaeList, "vaes", rows, wanted)


@router.get("/samplers", responses=REFUSED)
def list_samplers(studio: Services, wanted: Annotated[SamplersWanted, Query()]) -> SamplerList:
    """Samplers in display order."""
    rows = [
        sampler_row(entry)
        for entry in studio.catalog.samplers()
        if matches(wanted.text, entry.name, *entry.aliases) and wanted.flow in (None, entry.flow)
    ]
    return page_of(SamplerList, "samplers", rows, wanted)


@router.get("/schedulers", responses=REFUSED)
def list_schedulers(studio: Services, wanted: Annotated[_Named, Query()]) -> ScheduleList:
    """Sigma schedules in display order."""
    known = studio.catalog.schedulers()
    rows = [schedule_row(row) for row in known if matches(wanted.text, row.name, row.label, *row.aliases)]
    return page_of(ScheduleList, "schedulers", rows, wanted)


@router.get("/upscalers", responses=REFUSED)
def list_upscalers(studio: Services, wanted: Annotated[UpscalersWanted, Query()]) -> UpscalerList:
    """Upscalers of latents and of pictures."""
    rows = [
        upscaler_row(entry)
        for entry in studio.catalog.upscalers()
        if matches(wanted.text, entry.name)
        and wanted.latent in (None, entry.latent)
        and wanted.usable in (None, entry.problem is None)
    ]
    return page_of(UpscalerList, "upscalers", rows, wanted)


def _families(studio: Studio) -> Mapping[str, Family]:
    return {family.id: family for family in studio.catalog.families()}


def _current(studio: Studio) -> str | None:
    """Name of the model that a request without a name gets; None where there is none that can be used."""
    try:
        return studio.catalog.find_model(None).name
    except StudioError:
        return None


def _fits(entry: ModelEntry, family: Family | None, wanted: ModelsWanted) -> bool:
    able: Any = family.capabilities if family is not None else ()
    return (
        matches(wanted.text, entry.name, entry.title)
        and wanted.family in (None, entry.family)
        and wanted.layout in (None, entry.layout)
        and wanted.usable in (None, entry.problem is None)
        and (wanted.capability is None or wanted.capability in able)
    )
