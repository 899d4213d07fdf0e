"""From a body of the old API to a `GenerationRequest`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from modules.api.details import DetailCall, DetailIntake, read_script, said_details
from modules.api.fields import LegacyField, fields_of
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
from modules.api.remarks import notes_of, refuse_absent
from modules.api.script_calls import ScriptIntake, legacy_calls
from modules.api.sd_upscale import fill_script, is_sd_upscale, name_upscaler
from modules.api.tiled import fill_tiled
from modules.api.units import UnitIntake, legacy_units
from modules.contracts.detailer import build_detail
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GROUPS, GenerationRequest, HiresParams
from modules.support.studio import Studio

Values = Mapping[str, Any]
READ_BY_ANSWER = ("jpeg_quality", "return_grid")
"""Settings that no parameter carries and that shape the answer."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants: the request for the queue, the settings for the answer, and what could not be honoured."""

    request: GenerationRequest
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    body: Values = field(default_factory=dict, repr=False)
    """The body as it was understood, for the echo."""


class InitImageMissing(InvalidRequest):
    """A1111 answers 404 here."""

    kind = "init_image_missing"
    status = 404


def read_body(body: Values, mode: str, studio: Studio, intake: Intake, own: Values = MappingProxyType({})) -> Wish:
    """Check and translate a body. Blocks while pictures are decoded. Raises `StudioError` with one sentence.

    `intake` takes the pictures in. `own` are settings that the caller has changed for their own calls.
    """
    refuse_absent(body, mode, studio.scripts)
    notes = notes_of(body, mode)
    overrides = _overrides(body)
    public = {**studio.settings.public(), **own}
    settings = {**public, **{key: value for key, value in overrides.items() if value is not None}}
    # Which model is the default is the catalogue's to say: the command line may have named one.
    defaults = {key: value for key, value in public.items() if key != "sd_model_checkpoint" or key in own}
    groups = _groups(body, mode, overrides, defaults)
    _name_samplers(groups["sampling"], body, studio)
    _name_second(groups["handover"], studio)
    wanted = groups["refiner"].get("checkpoint")
    groups["refiner"]["checkpoint"] = find_checkpoint(studio.catalog, wanted) if _says_something(wanted) else None
    groups["prompt"]["styles"] = tuple(name for name in groups["prompt"].get("styles", ()) if name != "None")
    groups["model"] = {
        "checkpoint": find_checkpoint(studio.catalog, groups["model"].get("checkpoint")),
        "vae": find_vae(studio.catalog, groups["model"].get("vae") or ""),
        "text_encoder": find_text_encoder(studio.catalog, groups["model"].get("text_encoder") or ""),
    }
    if mode == "txt2img":
        _hires(groups, body, studio)
    else:
        _pictures(groups, body)
        name_upscaler(groups["upscale"], studio.catalog)
        if is_sd_upscale(body):
            fill_script(groups, body, studio.catalog)
    fill_tiled(groups, body, mode, studio.catalog, notes)
    if groups["output"].get("format") == "jpg":
        groups["output"]["format"] = "jpeg"
    if body.get("do_not_save_samples"):
        groups["output"]["save"] = False
    known = {item.declared.param.override for item in fields_of(mode)}
    unknown = sorted(set(overrides) - known - set(READ_BY_ANSWER))
    if unknown:
        notes.append(f"override_settings: {', '.join(unknown)} changed nothing.")
    units = UnitIntake(intake, legacy_units(body, notes), "ControlNet.args")
    if "ControlNet 0: " in str(body.get("infotext") or "") and not units.heads.units:
        notes.append("infotext: ControlNet units were left out, as their pictures are not in it.")
    scripts = ScriptIntake(intake, legacy_calls(body, mode, studio.scripts, notes))
    details = DetailIntake(intake, _details(groups, body, notes), studio, "detailer_mask")
    made = {name: GROUPS[name](**values) for name, values in groups.items()}
    answer = _answer_settings(settings, studio)
    # What is saved of this job is of the quality that its answer is.
    said = tuple((key, answer[key]) for key in ("jpeg_quality",) if overrides.get(key) is not None)
    asked = details.into(GenerationRequest(**made, own=said, control=units.heads))
    if asked.image is not None:
        asked = intake.fill(asked, body["init_images"], "init_images", body.get("mask"), latent=body.get("latent_mask"))
    elif body.get("firstpass_image") and asked.hires.enabled:
        asked = intake.fill_first(asked, body["firstpass_image"], "firstpass_image")
    if body.get("style_image"):
        asked = intake.fill_style(asked, body["style_image"], "style_image")
    return Wish(scripts.fill(details.fill(units.fill(asked))), answer, tuple(notes), body)


def _details(groups: dict[str, dict[str, Any]], body: Values, notes: list[str]) -> list[DetailCall]:
    """The details: that of the body's own fields, then those for ADetailer, else those of the infotext."""
    own, script = build_detail({**groups.pop("regions"), **groups.pop("detailer")}), read_script(body, notes)
    calls = [DetailCall(own, body.get("detailer_mask"))] if own.regions.acts else []
    calls += [DetailCall(detail) for detail in script.details or said_details(body)]
    if script.only and "image" in groups:
        groups["image"]["denoising_strength"] = 0.0
    return calls


def _overrides(body: Values) -> dict[str, Any]:
    overrides = body.get("override_settings") or {}
    if not isinstance(overrides, Mapping):
        raise InvalidRequest(f"override_settings is {overrides!r}; an object of settings is needed.")
    return dict(overrides)


def _groups(body: Values, mode: str, overrides: Values, settings: Values) -> dict[str, dict[str, Any]]:
    """Keyword arguments of each group: the body's field, else the override, else the setting, else the default."""
    groups: dict[str, dict[str, Any]] = {}
    for item in fields_of(mode):
        group, name = item.declared.path
        values = groups.setdefault(group, {})
        found = _find(item, body, overrides, settings)
        if found is not None:
            values[name] = item.convert(found)
    return groups


def _find(item: LegacyField, body: Values, overrides: Values, settings: Values) -> Any:
    param = item.declared.param
    if param.override is None:
        value = body.get(param.legacy or "")
        return param.legacy_default if value is None else value
    if param.legacy is not None and body.get(param.legacy) is not None:
        return body[param.legacy]
    if overrides.get(param.override) is not None:
        return item.coerce(overrides[param.override], f"override_settings.{param.override}")
    found = settings.get(param.override)
    return None if found == "" else found


def _name_samplers(sampling: dict[str, Any], body: Values, studio: Studio) -> None:
    """A schedule at the end of the sampler's name wins over the field, as in A1111."""
    wanted = (sampling.get("sampler") or "").strip() or (body.get("sampler_index") or "").strip() or "Euler"
    scheduler = (sampling.get("scheduler") or "").strip()
    sampling["sampler"], label = find_sampler(studio.catalog, wanted)
    sampling["scheduler"] = label or (find_scheduler(studio.catalog, scheduler) if scheduler else None)


def _name_second(wanted: dict[str, Any], studio: Studio) -> None:
    """The sampler that takes over, named like the first one."""
    sampler, scheduler = wanted.get("sampler"), wanted.get("scheduler")
    label = None
    wanted["sampler"] = None
    if _says_something(sampler):
        wanted["sampler"], label = find_sampler(studio.catalog, str(sampler))
    known = find_scheduler(studio.catalog, str(scheduler)) if _says_something(scheduler) else None
    wanted["scheduler"] = label or known


def _hires(groups: dict[str, dict[str, Any]], body: Values, studio: Studio) -> None:
    """The second pass. Its fields count only when it is on: clients fill them with anything otherwise."""
    hires, catalog = groups["hires"], studio.catalog
    if not hires.get("enabled"):
        groups["hires"] = {}
        return
    if _says_something(hires.get("sampler")):
        hires["sampler"], label = find_sampler(catalog, hires["sampler"])
        hires["scheduler"] = label or hires.get("scheduler")
    else:
        hires["sampler"] = None
    hires["scheduler"] = (
        find_scheduler(catalog, hires["scheduler"]) if _says_something(hires.get("scheduler")) else None
    )
    hires["upscaler"] = find_upscaler(catalog, hires.get("upscaler") or HiresParams().upscaler)
    wanted = hires.get("checkpoint")
    hires["checkpoint"] = find_checkpoint(catalog, wanted) if _says_something(wanted) else None
    first = (body.get("firstphase_width") or 0, body.get("firstphase_height") or 0)
    if all(first):
        canvas = groups["canvas"]
        hires["resize_width"], hires["resize_height"] = canvas.get("width") or 0, canvas.get("height") or 0
        canvas["width"], canvas["height"] = first


def _says_something(word: str | None) -> bool:
    return word is not None and word.strip().casefold() not in SAME


def _pictures(groups: dict[str, dict[str, Any]], body: Values) -> None:
    """What is said of the pictures; they themselves come later."""
    given = body.get("init_images")
    if not given:
        raise InitImageMissing("Init image not found: init_images has to hold at least one picture in base64.")
    if not body.get("mask"):
        del groups["inpaint"]
        return
    inpaint = groups["inpaint"]
    if body.get("mask_blur") is None:
        across, down = (4 if body.get(name) is None else body[name] for name in ("mask_blur_x", "mask_blur_y"))
        inpaint["blur"], inpaint["blur_y"] = across, None if down == across else down


def _answer_settings(settings: Values, studio: Studio) -> dict[str, Any]:
    """The settings that shape the answer, overrides applied and checked by their own declarations."""
    declared = {item.key: item for item in studio.settings.declared()}
    return {key: declared[key].coerce(settings[key]) for key in READ_BY_ANSWER if key in declared}
