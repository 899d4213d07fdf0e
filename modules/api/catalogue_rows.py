"""What `/api/v1` says of models, families, VAEs, samplers, schedules and upscalers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modules.api.paging import Page
from modules.contracts.catalog import Family, FileEntry, ModelEntry, SamplerEntry, ScheduleEntry, UpscalerEntry

PROBLEM = "Why it cannot be used, as one sentence; null when it can."


class _Row(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class DefaultsRow(_Row):
    """What is taken where a request says nothing; null leaves it to the engine."""

    sampler: str | None = Field(None, examples=["DPM++ 2M"])
    scheduler: str | None = Field(None, examples=["Karras"])
    steps: int | None = Field(None, examples=[20])
    cfg_scale: float | None = Field(None, examples=[7.0])


class ModelRow(_Row):
    """A model. `name` is what requests call it by; title and hash are taken as well."""

    name: str = Field(examples=["pocket"])
    title: str = Field(
        description="A1111's title: the name, and the short hash once it is known.", examples=["pocket [0123456789]"]
    )
    hash: str | None = Field(description="First ten hex digits of the SHA-256, once known.", examples=["0123456789"])
    sha256: str | None = Field(examples=["ab" * 32])
    family: str | None = Field(description="Id of its family; null when not known.", examples=["sd15"])
    layout: str = Field(description="diffusers, single_file or hub.", examples=["diffusers"])
    native_size: int = Field(description="Side in pixels at which it draws best.", examples=[128])
    size_bytes: int = Field(examples=[27_000_000])
    current: bool = Field(description="A request that names no model gets this one.", examples=[True])
    usable: bool = Field(examples=[True])
    problem: str | None = Field(description=PROBLEM, examples=[None])
    prediction: str | None = Field(description="epsilon, v_prediction or flow.", examples=["epsilon"])
    capabilities: list[str] = Field(description="What can be asked of it.", examples=[["txt2img", "img2img", "hires"]])
    defaults: DefaultsRow


class ModelList(Page):
    """A page of models, usable ones first."""

    models: list[ModelRow]


class FamilyRow(_Row):
    """A family of models."""

    id: str = Field(examples=["sd15"])
    label: str = Field(examples=["Stable Diffusion 1.x"])
    native_size: int = Field(examples=[512])
    size_multiple: int = Field(description="Width and height are multiples of so many pixels.", examples=[8])
    prediction: str = Field(examples=["epsilon"])
    capabilities: list[str] = Field(examples=[["txt2img", "img2img", "inpaint", "hires"]])
    defaults: DefaultsRow


class FamilyList(Page):
    """A page of families."""

    families: list[FamilyRow]


class VaeRow(_Row):
    """A separate VAE."""

    name: str = Field(examples=["vae-ft-mse-840000"])
    usable: bool = Field(examples=[True])
    problem: str | None = Field(description=PROBLEM, examples=[None])


class VaeList(Page):
    """A page of VAEs."""

    vaes: list[VaeRow]


class SamplerRow(_Row):
    """A sampler."""

    name: str = Field(examples=["DPM++ 2M"])
    aliases: list[str] = Field(description="Other names that are taken for it.", examples=[["k_dpmpp_2m"]])
    flow: bool = Field(description="It can drive flow-matching models.", examples=[True])
    options: dict[str, Any] = Field(examples=[{"scheduler": "karras"}])


class SamplerList(Page):
    """A page of samplers, in display order."""

    samplers: list[SamplerRow]


class ScheduleRow(_Row):
    """A sigma schedule, which A1111 calls a scheduler."""

    name: str = Field(examples=["karras"])
    label: str = Field(
        description="What requests call it by; the name and the aliases are taken too.", examples=["Karras"]
    )
    aliases: list[str] = Field(examples=[[]])


class ScheduleList(Page):
    """A page of sigma schedules, in display order."""

    schedulers: list[ScheduleRow]


class UpscalerRow(_Row):
    """A way to make a picture larger."""

    name: str = Field(examples=["Lanczos"])
    latent: bool = Field(description="It works on latents, in the hires pass only.", examples=[False])
    scale: float | None = Field(description="By how much at once; null is by any factor.", examples=[None])
    model: bool = Field(description="It is a network of its own.", examples=[False])
    usable: bool = Field(examples=[True])
    problem: str | None = Field(description=PROBLEM, examples=[None])


class UpscalerList(Page):
    """A page of upscalers."""

    upscalers: list[UpscalerRow]


def model_row(entry: ModelEntry, family: Family | None, current: bool) -> ModelRow:
    """The row of a model; `family` None is for one whose family is not known."""
    drawn = None if family is None else family.drawn_with(entry)
    return ModelRow(
        name=entry.name,
        title=entry.title,
        hash=entry.short_hash,
        sha256=entry.sha256,
        family=entry.family,
        layout=entry.layout,
        native_size=entry.native_size,
        size_bytes=entry.size_bytes,
        current=current,
        usable=entry.problem is None,
        problem=entry.problem,
        prediction=None if drawn is None else drawn.prediction,
        capabilities=[] if drawn is None else sorted(drawn.capabilities),
        defaults=_defaults({} if drawn is None else drawn.defaults),
    )


def family_row(family: Family) -> FamilyRow:
    """The row of a family."""
    return FamilyRow(
        id=family.id,
        label=family.label,
        native_size=family.native_size,
        size_multiple=family.size_multiple,
        prediction=family.prediction,
        capabilities=sorted(family.capabilities),
        defaults=_defaults(family.defaults),
    )


def vae_row(entry: FileEntry) -> VaeRow:
    """The row of a VAE."""
    return VaeRow(name=entry.name, usable=entry.problem is None, problem=entry.problem)


def sampler_row(entry: SamplerEntry) -> SamplerRow:
    """The row of a sampler. Options of the table are plain JSON."""
    return SamplerRow(name=entry.name, aliases=list(entry.aliases), flow=entry.flow, options=dict(entry.options))


def schedule_row(entry: ScheduleEntry) -> ScheduleRow:
    """The row of a schedule."""
    return ScheduleRow(name=entry.name, label=entry.label, aliases=list(entry.aliases))


def upscaler_row(entry: UpscalerEntry) -> UpscalerRow:
    """The row of an upscaler; only a network has a scale of its own."""
    model = entry.path is not None
    return UpscalerRow(
        name=entry.name,
        latent=entry.latent,
        scale=entry.scale if model else None,
        model=model,
        usable=entry.problem is None,
        problem=entry.problem,
    )


def _defaults(values: Mapping[str, Any]) -> DefaultsRow:
    return DefaultsRow(**{key: values[key] for key in DefaultsRow.model_fields if key in values})
