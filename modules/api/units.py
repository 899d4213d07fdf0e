"""ControlNet units of a request, for the old API and for ours: fields, words, and the pictures that come with them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from modules.api.fields import KINDS
from modules.api.images import read_mask, read_picture
from modules.api.intake import Given, Intake
from modules.contracts.control import MOST_UNITS, ControlParams, ControlUnit, build_unit, unit_parameters
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.parameters import Declared
from modules.contracts.request import GenerationRequest

TITLE = "controlnet"
"""Of the always-on script, whatever its case."""
RENAMED = {"guidance": "guidance_end", "input_image": "image", "mask_image": "mask", "effective_region_mask": "mask"}
"""Names that clients use for what is called something else."""
ALIASES = {
    "inner fit (scale to fit)": "Crop and Resize",
    "scale to fit (inner fit)": "Crop and Resize",
    "outer fit (shrink to fit)": "Resize and Fill",
    "envelope (outer fit)": "Resize and Fill",
    "just resize (latent upscale)": "Just Resize",
}
LATENT_RESIZE = 3
"""A1111's number for a resize mode that the extension takes for `Just Resize`."""
FAINT = 5
"""A mask without anything brighter was left empty."""
ITEMS = {item.path[-1]: item for item in unit_parameters()}


class _LegacyUnit(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


_FIELDS: dict[str, Any] = {
    name: (int | str | None if isinstance(item.param.choices, tuple) else KINDS[item.annotation] | None, None)
    for name, item in ITEMS.items()
}
_Unit: Any = create_model("_Unit", __base__=_LegacyUnit, **_FIELDS)


@dataclass(frozen=True, slots=True)
class UnitCall:
    """One unit as a client sent it, its pictures unread."""

    unit: ControlUnit
    image: Any = field(default=None, repr=False)
    mask: Any = field(default=None, repr=False)


def legacy_units(body: Mapping[str, Any], notes: list[str]) -> list[UnitCall]:
    """The units in `alwayson_scripts` of a body of the old API; `notes` hears of what changes nothing.

    Raises `InvalidRequest` for values that make no sense, `UnsupportedFeature` for what this version cannot do.
    """
    always = body.get("alwayson_scripts")
    entries = [entry for title, entry in always.items() if is_control(title)] if isinstance(always, Mapping) else []
    given = [one for entry in entries for one in _arguments(entry)]
    if len(given) > MOST_UNITS:
        raise InvalidRequest(f"{len(given)} ControlNet units were given; at most {MOST_UNITS} are allowed.")
    calls = [_call(number, one, notes) for number, one in enumerate(given)]
    while calls and not calls[-1].unit.enabled:
        calls.pop()
    return calls


def is_control(title: Any) -> bool:
    """Whether a title is that of the ControlNet extension."""
    return isinstance(title, str) and title.strip().casefold() == TITLE


def without_pictures(always: Any) -> Any:
    """`alwayson_scripts` for the echo: everything but the pictures of units."""
    if not isinstance(always, Mapping):
        return always
    return {title: _bare(entry) if is_control(title) else entry for title, entry in always.items()}


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _bare(item) for key, item in value.items() if RENAMED.get(key, key) not in ("image", "mask")}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _arguments(entry: Any) -> Iterator[Mapping[str, Any]]:
    """Units among the arguments of the script; old clients send switches beside them."""
    arguments = entry.get("args") if isinstance(entry, Mapping) else entry
    for one in [arguments] if isinstance(arguments, Mapping) else arguments or ():
        if isinstance(one, Mapping):
            yield one
        elif one is not None and not isinstance(one, bool):
            raise InvalidRequest(
                f"alwayson_scripts.ControlNet.args holds {one!r:.60}; objects, one a unit, are needed."
            )


def _call(number: int, given: Mapping[str, Any], notes: list[str]) -> UnitCall:
    if not given:
        return UnitCall(ControlUnit())
    plain = {RENAMED.get(key, key): value for key, value in given.items() if value is not None}
    try:
        read = _Unit.model_validate(plain).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"][:1]))
        raise InvalidRequest(
            f"ControlNet unit {number}: {place} is {plain.get(place)!r:.60}; {first['msg']}."
        ) from error
    values = {"enabled": True, **{name: _converted(number, ITEMS[name], value) for name, value in read.items()}}
    if not values["enabled"]:
        return UnitCall(ControlUnit())
    if plain.get("advanced_weighting"):
        raise UnsupportedFeature(f"ControlNet unit {number}: advanced_weighting is not there yet; leave it out.")
    for name in ("guess_mode", "guessmode"):
        if plain.get(name):
            notes.append(f"ControlNet unit {number}: {name} changes nothing; control_mode took its place.")
    image: Any = plain.get("image")
    mask: Any = plain.get("mask")
    if isinstance(image, list):
        if len(image) > 1:
            raise InvalidRequest(f"ControlNet unit {number}: {len(image)} images were given; one is taken.")
        image = image[0] if image else None
    if isinstance(image, dict):
        image, mask = image.get("image"), mask if mask is not None else image.get("mask")
    return UnitCall(build_unit(values), image or None, mask or None)


def _converted(number: int, item: Declared, value: Any) -> Any:
    """A value in the request's own words: indexes become words, negative numbers of the preprocessor -1."""
    name, choices = item.path[-1], item.param.choices
    if not isinstance(choices, tuple):
        left_open = name in ("processor_res", "threshold_a", "threshold_b") and value < 0
        return item.default if left_open or (name == "processor_res" and value == 0) else value
    index = int(value) if isinstance(value, int) or value.strip().isdecimal() else None
    if index == LATENT_RESIZE and name == "resize_mode":
        index = 0
    if index is not None and 0 <= index < len(choices):
        return choices[index]
    word = str(value).strip().casefold()
    found = ALIASES.get(word) or next((choice for choice in choices if choice.casefold() == word), None)
    if found is None:
        allowed = ", ".join(f"{place} ({choice})" for place, choice in enumerate(choices))
        raise InvalidRequest(f"ControlNet unit {number}: {name} is {value!r:.60}; allowed are {allowed}.")
    return found


@dataclass(frozen=True, slots=True)
class _Looked:
    number: int
    image: Given | None
    mask: Given | None


class UnitIntake:
    """Takes in the pictures of the units of one request: their heads first, themselves once the owner may have it."""

    def __init__(self, intake: Intake, calls: Sequence[UnitCall], name: str) -> None:
        """`name` is the field in which the units stand. Raises `InvalidRequest` for what is no picture."""
        self._intake = intake
        self._units = [call.unit for call in calls]
        self._looked = [
            _Looked(
                number,
                self._look(call.image, f"{name}[{number}].image"),
                self._look(call.mask, f"{name}[{number}].mask"),
            )
            for number, call in enumerate(calls)
            if call.unit.enabled
        ]

    def _look(self, text: Any, name: str) -> Given | None:
        return self._intake.look(text, name) if text else None

    @property
    def heads(self) -> ControlParams:
        """The units with what stands for their pictures while their owner is asked about."""
        units = list(self._units)
        for one in self._looked:
            image, mask = (b"" if given is None else given.head for given in (one.image, one.mask))
            units[one.number] = replace(units[one.number], image=image, mask=mask)
        return ControlParams(tuple(units))

    def fill(self, asked: GenerationRequest) -> GenerationRequest:
        """The request with the pictures themselves, upright and encoded anew. Blocks.

        Raises `InvalidRequest`, and what the queue would raise.
        """
        if not self._looked:
            return replace(asked, control=ControlParams(tuple(self._units)))
        self._intake.ask(replace(asked, control=self.heads))
        units = list(self._units)
        for one in self._looked:
            image = b"" if one.image is None else read_picture(one.image, one.image.name, self._intake.read)
            mask = b"" if one.mask is None else read_mask(one.mask, one.mask.name, self._intake.read)
            units[one.number] = replace(units[one.number], image=image, mask=mask if _shows(mask) else b"")
        return replace(asked, control=ControlParams(tuple(units)))


def _shows(mask: bytes) -> bool:
    """Whether anything of a mask is white. Clients send an empty one along with every picture."""
    if not mask:
        return False
    extremes: Any = Image.open(io.BytesIO(mask)).getextrema()
    return int(extremes[1]) > FAINT
