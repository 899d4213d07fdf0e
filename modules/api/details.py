"""Details of a request, for the old API and for ours: ADetailer's fields, names, and the masks that come with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modules.api.fields import KINDS
from modules.api.images import read_mask
from modules.api.infotext import FULL
from modules.api.intake import Given, Intake
from modules.api.names import SAME, find_sampler, find_scheduler
from modules.contracts.detailer import MOST_DETAILS, Detail, build_detail, detail_parameters
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import GenerationRequest
from modules.support.studio import Studio

TITLE = "adetailer"
"""Of the always-on script, whatever its case."""
FIELDS = {
    "ad_model": "detector",
    "ad_model_classes": "classes",
    "ad_confidence": "confidence",
    "ad_mask_k": "most",
    "ad_mask_k_largest": "most",
    "ad_mask_filter_method": "order",
    "ad_mask_min_ratio": "min_ratio",
    "ad_mask_max_ratio": "max_ratio",
    "ad_x_offset": "x_offset",
    "ad_y_offset": "y_offset",
    "ad_dilate_erode": "dilate",
    "ad_mask_merge_invert": "merge",
    "ad_prompt": "prompt",
    "ad_negative_prompt": "negative",
    "ad_denoising_strength": "strength",
    "ad_mask_blur": "blur",
    "ad_inpaint_only_masked": "only_masked",
    "ad_inpaint_only_masked_padding": "padding",
}
"""ADetailer's names for fields of a detail."""
SWITCHED = {
    "ad_use_inpaint_width_height": {"ad_inpaint_width": "width", "ad_inpaint_height": "height"},
    "ad_use_steps": {"ad_steps": "steps"},
    "ad_use_cfg_scale": {"ad_cfg_scale": "cfg_scale"},
    "ad_use_sampler": {"ad_sampler": "sampler", "ad_scheduler": "scheduler"},
}
"""Fields that count only where a switch is on, by that switch."""
USUAL = {"width": 512, "height": 512, "steps": 28, "cfg_scale": 7.0, "sampler": "DPM++ 2M"}
"""ADetailer's own defaults of those."""
ABSENT = {
    "ad_use_checkpoint": "another checkpoint",
    "ad_use_vae": "another VAE",
    "ad_use_noise_multiplier": "a noise multiplier of its own",
    "ad_use_clip_skip": "a clip skip of its own",
}
"""Switches of what a detail cannot have here."""
IDLE = frozenset(
    {"ad_checkpoint", "ad_vae", "ad_noise_multiplier", "ad_clip_skip", "ad_tab_enable", "ad_restore_face"}
    | {f"ad_controlnet_{word}" for word in ("model", "module", "weight", "guidance_start", "guidance_end")}
)
"""Further fields, which say nothing by themselves."""
ITEMS = {item.path[1]: item for item in detail_parameters()}


@dataclass(frozen=True, slots=True)
class DetailCall:
    """One detail as a client sent it, its mask unread."""

    detail: Detail
    mask: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Script:
    """What a body says to ADetailer."""

    details: tuple[Detail, ...] = ()
    only: bool = False
    """Pictures that are given are not drawn anew as a whole, only their details are."""


def is_detailer(title: Any) -> bool:
    """Whether a title is that of the ADetailer extension."""
    return isinstance(title, str) and title.strip().casefold() == TITLE


def read_script(body: Mapping[str, Any], notes: list[str]) -> Script:
    """What `alwayson_scripts.ADetailer` of a body asks for; `notes` hears of what changes nothing.

    Raises `InvalidRequest` for values that make no sense, `UnsupportedFeature` for what a detail cannot have here.
    """
    always = body.get("alwayson_scripts")
    entries = [entry for title, entry in always.items() if is_detailer(title)] if isinstance(always, Mapping) else []
    details: list[Detail] = []
    only = False
    for entry in entries:
        arguments = entry.get("args") if isinstance(entry, Mapping) else entry
        arguments = [arguments] if isinstance(arguments, Mapping) else arguments or []
        if not isinstance(arguments, list) or not all(isinstance(one, bool | Mapping) for one in arguments):
            raise InvalidRequest("alwayson_scripts.ADetailer.args has to hold two switches at most and objects.")
        switches = [one for one in arguments if isinstance(one, bool)]
        if switches[:1] == [False]:
            continue
        only = only or switches[1:2] == [True]
        given = [one for one in arguments if isinstance(one, Mapping)]
        details += [_detail(number, one, notes) for number, one in enumerate(given, 1)]
    if len(details) > MOST_DETAILS:
        raise InvalidRequest(f"{len(details)} details were given; at most {MOST_DETAILS} are allowed.")
    acting = tuple(detail for detail in details if detail.regions.acts)
    return Script(acting, only and bool(acting))


def _detail(number: int, given: Mapping[str, Any], notes: list[str]) -> Detail:
    known = {**FIELDS, **{name: own for names in SWITCHED.values() for name, own in names.items()}}
    strange = [name for name in given if name.startswith("ad_") and name not in (*known, *SWITCHED, *ABSENT, *IDLE)]
    if strange:
        raise InvalidRequest(f"ADetailer, detail {number}: there is no field {strange[0][:40]!r}.")
    plain = {name: value for name, value in given.items() if value is not None}
    if plain.get("ad_tab_enable") is False:
        return Detail()
    values = {own: plain[name] for name, own in FIELDS.items() if name in plain}
    for switch, names in SWITCHED.items():
        if plain.get(switch):
            values |= {own: plain.get(name, USUAL.get(own)) for name, own in names.items()}
    detail = build_detail({name: _typed(number, name, value) for name, value in values.items() if value is not None})
    if not detail.regions.acts:
        return Detail()
    for switch, what in ABSENT.items():
        if plain.get(switch):
            raise UnsupportedFeature(f"ADetailer, detail {number}: {what} is not there; leave {switch} false.")
    if str(plain.get("ad_controlnet_model", "None")).casefold() not in ("none", "passthrough", ""):
        raise UnsupportedFeature(f"ADetailer, detail {number}: regions are drawn without ControlNets.")
    if plain.get("ad_restore_face"):
        notes.append("ADetailer: ad_restore_face is let be; extra-single-image restores faces afterwards.")
    return detail


def _typed(number: int, name: str, value: Any) -> Any:
    item = ITEMS[name]
    try:
        return TypeAdapter(KINDS[item.annotation.removesuffix(" | None")]).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InvalidRequest(f"ADetailer, detail {number}: {name} is {value!r:.60}; {reason}.") from error


def said_details(body: Mapping[str, Any]) -> tuple[Detail, ...]:
    """The details beyond the first that a body's infotext tells of."""
    text = body.get("infotext")
    if not isinstance(text, str) or not text.strip():
        return ()
    return to_request(parse(text, defaults=False), FULL)[0].further


def look_up(detail: Detail, studio: Studio) -> Detail:
    """The detail with its names as the catalogues have them. Raises `UnknownModel`, `BrokenModel`, `InvalidRequest`."""
    regions, detailer = detail.regions, detail.detailer
    if not regions.acts:
        return replace(detail, regions=replace(regions, detector=None))
    regions = replace(regions, detector=studio.detectors.find(str(regions.detector)).name)
    label = None
    sampler = detailer.sampler
    if sampler is not None and sampler.strip().casefold() not in SAME:
        sampler, label = find_sampler(studio.catalog, sampler)
    else:
        sampler = None
    scheduler = detailer.scheduler
    if scheduler is not None:
        same = scheduler.strip().casefold() in SAME
        scheduler = None if same else find_scheduler(studio.catalog, scheduler)
    return Detail(regions, replace(detailer, sampler=sampler, scheduler=label or scheduler))


class DetailIntake:
    """Takes in the masks of the details of one request: their heads first, themselves once the owner may have it."""

    def __init__(self, intake: Intake, calls: Sequence[DetailCall], studio: Studio, name: str) -> None:
        """`name` is the field in which the details stand. Raises `InvalidRequest` for what is no picture, and as
        `look_up` does."""
        self._intake = intake
        self._details = [look_up(call.detail, studio) for call in calls]
        self._looked: list[Given | None] = [
            intake.look(call.mask, name.format(place)) if call.mask and call.detail.regions.acts else None
            for place, call in enumerate(calls)
        ]

    def into(self, asked: GenerationRequest) -> GenerationRequest:
        """The request with the details, and with what stands for their masks while their owner is asked about."""
        return _with(asked, [b"" if given is None else given.head for given in self._looked], self._details)

    def fill(self, asked: GenerationRequest) -> GenerationRequest:
        """The request with the masks themselves. Blocks. Raises `InvalidRequest`, and what the queue would raise."""
        if not any(self._looked):
            return asked
        self._intake.ask(self.into(asked))
        return _with(asked, list(self._masks()), self._details)

    def _masks(self) -> Iterator[bytes]:
        for given in self._looked:
            yield b"" if given is None else read_mask(given, given.name, self._intake.read)


def _with(asked: GenerationRequest, masks: Sequence[bytes], details: Sequence[Detail]) -> GenerationRequest:
    filled = [
        replace(detail, regions=replace(detail.regions, mask=mask)) for detail, mask in zip(details, masks, strict=True)
    ]
    first = filled[0] if filled else Detail()
    return replace(asked, regions=first.regions, detailer=first.detailer, further=tuple(filled[1:]))
