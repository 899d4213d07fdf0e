"""What a request says of ControlNets: up to ten units, each a picture that steers what is drawn.

Fields, words and bounds are those of the sd-webui-controlnet extension, so that its clients and its infotext fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import Declared, declared, param

MOST_UNITS = 10
NO_MODULE, NO_MODEL = "none", "None"
"""What stands for no preprocessor and for no model."""
RESIZE_MODES = ("Just Resize", "Crop and Resize", "Resize and Fill")
BALANCED, PROMPT, CONTROL = "Balanced", "My prompt is more important", "ControlNet is more important"
CONTROL_MODES = (BALANCED, PROMPT, CONTROL)
BOTH, LOW_ONLY, HIGH_ONLY = "Both", "Low res only", "High res only"
HR_OPTIONS = (BOTH, LOW_ONLY, HIGH_ONLY)
REFERENCE_ONLY, REFERENCE_ADAIN, REFERENCE_BOTH = "reference_only", "reference_adain", "reference_adain+attn"
REFERENCES = frozenset({REFERENCE_ONLY, REFERENCE_ADAIN, REFERENCE_BOTH})
"""Preprocessors without a network: the drawing looks at the unit's picture itself."""


@dataclass(frozen=True, slots=True)
class HintParams:
    """How the picture is looked at; -1 leaves a number to the preprocessor."""

    processor_res: int = param(
        -1,
        "Preprocessor resolution",
        help="Shorter side in pixels at which the preprocessor looks at the picture; -1 is 512.",
        minimum=-1,
        maximum=2048,
        step=8,
        infotext="Processor Res",
    )
    threshold_a: float = param(
        -1.0,
        "Threshold A",
        help="First number of the preprocessor, style fidelity for references; -1 is its own.",
        minimum=-1,
        maximum=4096,
        step=0.01,
        infotext="Threshold A",
    )
    threshold_b: float = param(
        -1.0,
        "Threshold B",
        help="Second number of the preprocessor; -1 is its own.",
        minimum=-1,
        maximum=4096,
        step=0.01,
        infotext="Threshold B",
    )
    pixel_perfect: bool = param(
        False,
        "Pixel perfect",
        help="The preprocessor looks at the picture at the size that it will have in the drawing.",
        infotext="Pixel Perfect",
    )
    blocks: str = param(
        "",
        "IP-Adapter blocks",
        help="Where an IP-Adapter speaks: empty is everywhere; style, layout, or parts such as up.0.1=1, down=0.5.",
        infotext="Blocks",
    )


@dataclass(frozen=True, slots=True)
class ControlUnit:
    """One picture that steers, and the network that reads it; with some preprocessors there is none."""

    enabled: bool = param(False, "Enable")
    module: str = param(
        NO_MODULE,
        "Preprocessor",
        help="What is made of the picture before the model sees it.",
        choices="preprocessors",
        infotext="Module",
    )
    model: str = param(
        NO_MODEL, "Model", help="A ControlNet, T2I-Adapter, IP-Adapter or Redux.", choices="controls", infotext="Model"
    )
    weight: float = param(1.0, "Control weight", minimum=0, maximum=2, step=0.05, infotext="Weight")
    resize_mode: str = param(RESIZE_MODES[1], "Resize mode", choices=RESIZE_MODES, infotext="Resize Mode")
    guidance_start: float = param(
        0.0,
        "Starting control step",
        help="Share of the steps before which the unit does nothing.",
        minimum=0,
        maximum=1,
        step=0.01,
        infotext="Guidance Start",
    )
    guidance_end: float = param(
        1.0,
        "Ending control step",
        help="Share of the steps from which on the unit does nothing.",
        minimum=0,
        maximum=1,
        step=0.01,
        infotext="Guidance End",
    )
    control_mode: str = param(
        BALANCED,
        "Control mode",
        help="Whose side is taken where words and picture disagree.",
        choices=CONTROL_MODES,
        infotext="Control Mode",
    )
    hr_option: str = param(
        BOTH,
        "Hires. fix option",
        help="Which passes the unit steers, where there are two.",
        choices=HR_OPTIONS,
        infotext="Hr Option",
    )
    hint: HintParams = HintParams()
    image: bytes = field(default=b"", repr=False)
    """Encoded. Without one the unit looks at the picture that the job starts from."""
    mask: bytes = field(default=b"", repr=False)
    """Encoded, white where the unit acts; for inpaint preprocessors, what is to be drawn anew."""

    @property
    def acts(self) -> bool:
        """It is on, and its weight is not zero."""
        return self.enabled and self.weight != 0

    @property
    def refers(self) -> bool:
        """The drawing looks at its picture itself, without any network."""
        return self.module.strip().casefold() in REFERENCES

    def passes(self, *, hires: bool) -> bool:
        """Whether it takes part in the hires pass, or in the first one of two."""
        return self.hr_option == BOTH or (self.hr_option == HIGH_ONLY) == hires


@dataclass(frozen=True, slots=True)
class ControlParams:
    """Pictures that steer the drawing. Their effects add up."""

    units: tuple[ControlUnit, ...] = ()


NO_CONTROL = ControlParams()
"""No unit at all."""


def unit_parameters() -> tuple[Declared, ...]:
    """Every declared parameter of a unit; the last name of its path is the one that clients use."""
    found = list(declared(ControlUnit))
    place = next(number for number, item in enumerate(found) if item.path == ("guidance_start",))
    return (*found[:place], *declared(HintParams, ("hint",)), *found[place:])


def value_of(unit: ControlUnit, item: Declared) -> Any:
    """What a unit says of a declared parameter."""
    value: Any = unit
    for name in item.path:
        value = getattr(value, name)
    return value


def build_unit(values: Mapping[str, Any]) -> ControlUnit:
    """A unit of values by the names that clients use; what is missing takes its default."""
    names = {item.name for item in fields(HintParams)}
    inner = {key: value for key, value in values.items() if key in names}
    outer = {key: value for key, value in values.items() if key not in names}
    return ControlUnit(**outer, hint=HintParams(**inner))


def check_units(control: ControlParams, starts_from_picture: bool) -> None:
    """Raise `InvalidRequest` for what contradicts itself, bounds apart. Units that are off may be anything."""
    if len(control.units) > MOST_UNITS:
        raise InvalidRequest(f"{len(control.units)} ControlNet units were given; at most {MOST_UNITS} are allowed.")
    for number, unit in enumerate(control.units):
        if not unit.enabled:
            continue
        if unit.guidance_start >= unit.guidance_end:
            raise InvalidRequest(
                f"ControlNet unit {number} starts at {unit.guidance_start:g} and ends at {unit.guidance_end:g}; "
                "it has to start before it ends."
            )
        if not unit.refers and unit.model.strip().casefold() in ("", NO_MODEL.casefold()):
            raise InvalidRequest(f"ControlNet unit {number} is on and has no model; choose one, or switch it off.")
        if unit.refers and unit.mask:
            raise InvalidRequest(f"ControlNet unit {number}: {unit.module} takes no mask; leave it out.")
        if not unit.image and not starts_from_picture:
            raise InvalidRequest(
                f"ControlNet unit {number} has no picture; send one as its image, or start from a picture."
            )
