"""The project's own request body, made from the declarations in `contracts.request`: one declaration per parameter.

Types, bounds, lawful words and defaults are those of the declarations; nothing is written down a second time. Unlike
the old API this one is strict: unknown fields and values of another type are errors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, create_model, model_validator

from modules.api.details import DetailCall, DetailIntake
from modules.api.enlarging import fill_enlarged, find_picture_upscaler
from modules.api.examples import FILM
from modules.api.fields import sound_text
from modules.api.intake import Intake
from modules.api.names import (
    SAME,
    find_checkpoint,
    find_sampler,
    find_scheduler,
    find_text_encoder,
    find_upscaler,
    find_vae,
)
from modules.api.script_calls import ScriptCall, ScriptIntake
from modules.api.sd_upscale import name_upscaler
from modules.api.units import UnitCall, UnitIntake
from modules.contracts.control import MOST_UNITS, build_unit, unit_parameters
from modules.contracts.detailer import MOST_DETAILS, build_detail
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import JobTerms
from modules.contracts.parameters import Declared, declared
from modules.contracts.request import GROUPS, GenerationRequest
from modules.contracts.scripts import Scripts
from modules.contracts.validation import MAX_PROMPT_CHARACTERS
from modules.support.studio import Studio
from modules.support.usual import usual_steps

KINDS: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "tuple[str, ...]": list[str]}
NOT_ASKED = {("output", "save")}
"""Pictures of these jobs are always kept: their ids are the only way to them."""
LEFT_TO_THE_MODEL = {("sampling", "steps")}
BEST = "left out, the number that the model is best drawn with"
MOST_PICTURES = 64
NO_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
PICTURE = "in base64 or as a data URI; PNG, JPEG, WebP, AVIF, GIF or BMP."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


def _definition(item: Declared) -> tuple[Any, Any]:
    """Type and `Field` of one declared parameter."""
    param = item.param
    name, _, optional = item.annotation.partition(" | ")
    bounds: dict[str, Any] = {}
    kind = KINDS[name]
    if isinstance(param.choices, tuple):
        kind = Literal[param.choices]
    elif kind is str:
        bounds = {"max_length": MAX_PROMPT_CHARACTERS}
    elif kind in (int, float):
        bounds = {"ge": param.minimum, "le": param.maximum}
        bounds |= {"allow_inf_nan": False} if kind is float else {}
    kind = Annotated[kind, Field(**{key: value for key, value in bounds.items() if value is not None})]
    text = ". ".join(part.rstrip(".") for part in (param.label, param.help) if part)
    default = list(item.default) if isinstance(item.default, tuple) else item.default
    return (kind | None if optional else kind, Field(default, title=param.label, description=text))


_UNIT: dict[str, Any] = {item.path[-1]: _definition(item) for item in unit_parameters()}
_Unit: Any = create_model("_Unit", __base__=_Strict, **_UNIT)


class UnitWanted(_Unit):
    """A ControlNet with the picture that it reads."""

    image: str | None = Field(None, description=f"Left out, it is the picture that the job starts from; {PICTURE}")
    mask: str | None = Field(None, description=f"White where the unit acts, or where inpaint draws anew; {PICTURE}")


def _group(name: str) -> type[BaseModel]:
    wanted = {item.path[1]: item for item in declared(GROUPS[name], (name,)) if item.path not in NOT_ASKED}
    fields: dict[str, Any] = {key: _definition(item) for key, item in wanted.items()}
    for key in (item.path[1] for item in wanted.values() if item.path in LEFT_TO_THE_MODEL):
        kind, field = fields[key]
        fields[key] = (kind | None, Field(None, title=field.title, description=f"{field.description}; {BEST}"))
    if name == "image":
        several = Annotated[list[str], Field(min_length=1, max_length=MOST_PICTURES)]
        fields["images"] = (
            several,
            Field(description=f"One picture for all, or one per picture of the batch, {PICTURE}"),
        )
    if name == "enlarge":
        given = Annotated[list[str], Field(min_length=1, max_length=MOST_PICTURES)]
        fields["images"] = (given, Field(description=f"Pictures to be made larger instead of drawn, {PICTURE}"))
    if name == "inpaint":
        fields["mask"] = (str, Field(description=f"What is white is drawn anew; {PICTURE}"))
        fields["latent_mask"] = (
            str | None,
            Field(None, description=f"Of the latents this is drawn anew, and mask says what is shown; {PICTURE}"),
        )
    if name == "regions":
        fields["mask"] = (str | None, Field(None, description=f"White where to draw, for the detector Mask; {PICTURE}"))
    if name == "hires":
        fields["first_pass"] = (str | None, Field(None, description=f"In place of the first pass, {PICTURE}"))
    if name == "style":
        fields["image"] = (str | None, Field(None, description=f"The picture whose style is wanted, {PICTURE}"))
    if name == "control":
        fields["units"] = (Annotated[list[UnitWanted], Field(max_length=MOST_UNITS)], Field(default_factory=list))
    made: type[BaseModel] = create_model(f"{name.capitalize()}Wanted", __base__=_Strict, **fields)
    made.__doc__ = GROUPS[name].__doc__
    return made


GROUP_MODELS = {name: _group(name) for name in GROUPS}
_DETAIL: dict[str, Any] = {
    name: (GROUP_MODELS[name], Field(default_factory=GROUP_MODELS[name])) for name in ("regions", "detailer")
}
_Detail: Any = create_model("_Detail", __base__=_Strict, **_DETAIL)


class DetailWanted(_Detail):
    """Regions to look for in the finished picture, and how each of them is drawn once more."""


OPTIONAL = tuple(item.name for item in dataclasses.fields(GenerationRequest) if item.default is None)
"""Groups that a request may be without."""


class ScriptWanted(_Strict):
    """A script with its parameters; those that are left out have their defaults."""

    name: str = Field(max_length=100, description="Its title.", examples=["Haze"])
    values: dict[str, Any] = Field(
        default_factory=dict, description="By name; pictures in base64.", examples=[{"amount": 0.5}]
    )


class ScriptsWanted(_Strict):
    """Scripts of extensions. Those that are always on take part with their defaults where they are not named."""

    always: Annotated[list[ScriptWanted], Field(max_length=100)] = Field(default_factory=list)
    run: ScriptWanted | None = Field(None, description="The script that owns the run, if one does.")

    def calls(self, scripts: Scripts, mode: str) -> list[ScriptCall]:
        """The scripts with their values. Raises `InvalidRequest` for one that is not there."""
        found = [ScriptCall(scripts.find(one.name, mode, always_on=True), one.values) for one in self.always]
        if self.run is not None:
            found.append(ScriptCall(scripts.find(self.run.name, mode, always_on=False), self.run.values))
        return found


class TermsWanted(_Strict):
    """On what terms a job runs."""

    priority: int = Field(0, ge=-10, le=10, description="A higher one goes before others of yours.")
    deadline: Annotated[AwareDatetime, Strict(False)] | None = Field(
        None, description="When it has to be done, with a time zone; a job that is not by then fails."
    )
    timeout: float | None = Field(None, gt=0, le=7 * 86_400, description="For how many seconds it may run.")
    keep_partial: bool = Field(False, description="When it is cancelled, keep what is there.")

    def terms(self, key: str | None) -> JobTerms:
        """The same for the queue, with the idempotency key of the header."""
        return JobTerms(self.priority, self.deadline, self.timeout, key, self.keep_partial)


_GROUPS: dict[str, Any] = {
    name: (model | None, Field(None)) if name in OPTIONAL else (model, Field(default_factory=model))
    for name, model in GROUP_MODELS.items()
}
_Wanted: Any = create_model("_Wanted", __base__=_Strict, **_GROUPS)


class JobWanted(_Wanted):
    """A picture, or several, to be drawn. Everything may be left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "prompt": {"text": "a red circle on a white background"},
                    "canvas": {"width": 128, "height": 128},
                    "seeds": {"seed": 1},
                    "sampling": {"steps": 12},
                    "terms": {"priority": 1},
                },
                FILM,
            ]
        }
    )
    further: Annotated[list[DetailWanted], Field(max_length=MOST_DETAILS - 1)] = Field(
        default_factory=list, description="Details beyond that of `regions` and `detailer`, drawn after it."
    )
    scripts: ScriptsWanted = Field(
        default_factory=lambda: ScriptsWanted.model_validate({}), description="What scripts of extensions are told."
    )
    terms: TermsWanted = Field(default_factory=lambda: TermsWanted.model_validate({}))

    @model_validator(mode="before")
    @classmethod
    def _sound(cls, data: Any) -> Any:
        return sound_text(data)


def read_wanted(
    wanted: JobWanted, studio: Studio, intake: Intake, defaults: Mapping[str, Mapping[str, Any]] = NO_DEFAULTS
) -> GenerationRequest:
    """The request for the queue, names looked up. Blocks while pictures are decoded. Raises `StudioError`.

    `intake` takes the pictures in. `defaults`, by group and field, stand for what was left out or null.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name in GROUPS:
        given = getattr(wanted, name)
        if given is not None:
            values = given.model_dump().items()
            groups[name] = {key: tuple(value) if isinstance(value, list) else value for key, value in values}
            for key, value in defaults.get(name, {}).items():
                if key not in given.model_fields_set or groups[name][key] is None:
                    groups[name][key] = value
    groups["model"] = {
        "checkpoint": find_checkpoint(studio.catalog, groups["model"]["checkpoint"]),
        "vae": find_vae(studio.catalog, groups["model"]["vae"] or ""),
        "text_encoder": find_text_encoder(studio.catalog, groups["model"]["text_encoder"] or ""),
    }
    if groups["sampling"]["steps"] is None:
        groups["sampling"]["steps"] = usual_steps(studio.catalog, groups["model"]["checkpoint"])
    wanted_refiner = groups["refiner"]["checkpoint"]
    groups["refiner"]["checkpoint"] = find_checkpoint(studio.catalog, wanted_refiner) if wanted_refiner else None
    _look_up(groups["sampling"], studio)
    name_upscaler(groups["upscale"], studio.catalog)
    first = groups["hires"].pop("first_pass")
    if first and not groups["hires"]["enabled"]:
        raise InvalidRequest("hires.first_pass stands for the first of two passes, and hires.enabled is false.")
    if groups["hires"]["enabled"]:
        hires = groups["hires"]
        _look_up(hires, studio)
        hires["upscaler"] = find_upscaler(studio.catalog, hires["upscaler"])
        hires["checkpoint"] = find_checkpoint(studio.catalog, hires["checkpoint"]) if hires["checkpoint"] else None
    else:
        groups["hires"] = {}
    style = groups["style"].pop("image")
    images = groups["image"].pop("images") if "image" in groups else ()
    mask, latent = (groups["inpaint"].pop(key) if "inpaint" in groups else None for key in ("mask", "latent_mask"))
    larger = groups["enlarge"].pop("images") if "enlarge" in groups else ()
    for key in ("upscaler", "second") if "enlarge" in groups else ():
        groups["enlarge"][key] = find_picture_upscaler(studio.catalog, groups["enlarge"][key])
    units = UnitIntake(intake, _unit_calls(groups.pop("control")["units"]), "control.units")
    details = DetailIntake(intake, _detail_calls(groups, wanted), studio, "regions.mask")
    asked = GenerationRequest(**{name: GROUPS[name](**values) for name, values in groups.items()}, control=units.heads)
    asked = details.into(asked)
    scripts = ScriptIntake(intake, wanted.scripts.calls(studio.scripts, asked.mode))
    if asked.image is not None:
        asked = intake.fill(asked, images, "image.images", mask, "inpaint.mask", latent=latent)
    elif first:
        asked = intake.fill_first(asked, first, "hires.first_pass")
    elif asked.enlarge is not None:
        return scripts.fill(fill_enlarged(intake, _undrawn(asked, style), larger, "enlarge.images"))
    asked = intake.fill_style(asked, style, "style.image") if style else asked
    return scripts.fill(details.fill(units.fill(asked)))


def _undrawn(asked: GenerationRequest, style: str | None) -> GenerationRequest:
    if style:
        raise InvalidRequest("A job that makes pictures larger gives them no style; leave style.image out.")
    return asked


def _detail_calls(groups: dict[str, dict[str, Any]], wanted: JobWanted) -> list[DetailCall]:
    """The first detail, out of its groups, and the further ones."""
    given = [{**groups.pop("regions"), **groups.pop("detailer")}]
    given += [{**one.regions.model_dump(), **one.detailer.model_dump()} for one in wanted.further]
    masks = [values.pop("mask") for values in given]
    return [DetailCall(build_detail(values), mask) for values, mask in zip(given, masks, strict=True)]


def _unit_calls(given: Iterable[dict[str, Any]]) -> list[UnitCall]:
    calls = []
    for values in given:
        image, mask = values.pop("image"), values.pop("mask")
        calls.append(UnitCall(build_unit(values), image, mask))
    return calls


def _look_up(values: dict[str, Any], studio: Studio) -> None:
    """Sampler and schedule as the catalogue calls them; a schedule at the end of the sampler's name wins."""
    sampler, scheduler = values["sampler"], values["scheduler"]
    label = None
    if sampler is not None and sampler.strip().casefold() not in SAME:
        values["sampler"], label = find_sampler(studio.catalog, sampler)
    else:
        values["sampler"] = None
    values["scheduler"] = label or (find_scheduler(studio.catalog, scheduler) if scheduler else None)
