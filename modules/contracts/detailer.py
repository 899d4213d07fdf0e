"""What a request says of parts that are drawn once more at a size of their own: how they are found, and what is done.

Names of fields in infotext and in `alwayson_scripts.ADetailer` are those of the ADetailer extension, so that its
clients and its pictures fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import Declared, declared, param

MOST_DETAILS = 10
"""Ways to look for regions in one request."""
ORDERS = ("Area", "Confidence")
MERGES = ("None", "Merge", "Merge and Invert")
NO_DETECTOR = ("", "none")
"""What stands for no detector, in small letters."""
MASK = "Mask"
"""The detector that takes a mask which came with the request."""
COLOUR = "Colour"
"""The detector that needs to be told a colour."""
PROMPT, PART, SKIP = "[PROMPT]", "[SEP]", "[SKIP]"
"""ADetailer's words: the picture's own prompt, the end of a region's prompt, a region that is left as it is."""


@dataclass(frozen=True, slots=True)
class RegionParams:
    """Which parts of a finished picture are drawn once more. As declared none are."""

    detector: str | None = param(
        None,
        "Detailer",
        help="What finds the regions that are drawn once more.",
        choices="detectors",
        legacy="detailer_model",
        infotext="ADetailer model",
    )
    classes: str = param(
        "",
        "Detailer classes",
        help="What to look for, parted by commas: classes of the detector, empty for all; for Colour, colours by name "
        "or as #rrggbb.",
        legacy="detailer_classes",
        infotext="ADetailer model classes",
    )
    confidence: float = param(
        0.3,
        "Detailer confidence",
        help="How sure the detector has to be.",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="detailer_confidence",
        infotext="ADetailer confidence",
    )
    most: int = param(
        0,
        "Detailer regions at most",
        help="Only so many of the largest or surest regions; 0 is all.",
        minimum=0,
        maximum=100,
        step=1,
        legacy="detailer_most",
        infotext="ADetailer mask only top k",
    )
    order: str = param(
        ORDERS[0],
        "Detailer choice by",
        help="Which regions go first where only some are taken.",
        choices=ORDERS,
        legacy="detailer_order",
        infotext="ADetailer method to decide top-k masks",
    )
    min_ratio: float = param(
        0.0,
        "Detailer smallest region",
        help="Share of the picture that the box round a region has at least.",
        minimum=0,
        maximum=1,
        step=0.001,
        legacy="detailer_min_ratio",
        infotext="ADetailer mask min ratio",
    )
    max_ratio: float = param(
        1.0,
        "Detailer largest region",
        help="Share of the picture that the box round a region has at most.",
        minimum=0,
        maximum=1,
        step=0.001,
        legacy="detailer_max_ratio",
        infotext="ADetailer mask max ratio",
    )
    x_offset: int = param(
        0,
        "Detailer mask to the right, pixels",
        minimum=-8192,
        maximum=8192,
        step=1,
        legacy="detailer_x_offset",
        infotext="ADetailer x offset",
    )
    y_offset: int = param(
        0,
        "Detailer mask upwards, pixels",
        minimum=-8192,
        maximum=8192,
        step=1,
        legacy="detailer_y_offset",
        infotext="ADetailer y offset",
    )
    dilate: int = param(
        4,
        "Detailer mask growth, pixels",
        help="Below 0 it shrinks.",
        minimum=-128,
        maximum=128,
        step=4,
        legacy="detailer_dilate",
        infotext="ADetailer dilate erode",
    )
    merge: str = param(
        MERGES[0],
        "Detailer masks together",
        help="Regions one by one, all at once, or all but them.",
        choices=MERGES,
        legacy="detailer_merge",
        infotext="ADetailer mask merge invert",
    )
    mask: bytes = field(default=b"", repr=False)
    """Encoded, white where to draw; for the detector `MASK`."""

    @property
    def acts(self) -> bool:
        """There is a detector."""
        return self.detector is not None and self.detector.strip().casefold() not in NO_DETECTOR


@dataclass(frozen=True, slots=True)
class DetailerParams:
    """How each region is drawn. None and empty texts are as for the picture."""

    prompt: str = param(
        "",
        "Detailer prompt",
        help="Empty is the picture's. [PROMPT] stands for that, [SEP] parts the prompts of regions, [SKIP] leaves one.",
        legacy="detailer_prompt",
        infotext="ADetailer prompt",
    )
    negative: str = param(
        "",
        "Detailer negative prompt",
        help="Empty is the picture's; [PROMPT] and [SEP] as in the prompt.",
        legacy="detailer_negative",
        infotext="ADetailer negative prompt",
    )
    strength: float = param(
        0.4,
        "Detailer strength",
        help="How much of a region is drawn anew.",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="detailer_strength",
        infotext="ADetailer denoising strength",
    )
    blur: int = param(
        4,
        "Detailer mask blur",
        minimum=0,
        maximum=64,
        step=1,
        legacy="detailer_blur",
        infotext="ADetailer mask blur",
    )
    padding: int = param(
        32,
        "Detailer padding, pixels",
        help="What of the picture is seen round a region.",
        minimum=0,
        maximum=1024,
        step=4,
        legacy="detailer_padding",
        infotext="ADetailer inpaint padding",
    )
    only_masked: bool = param(
        True,
        "Detailer only masked",
        help="Work on an enlarged cut-out round the region; else on the whole picture.",
        legacy="detailer_only_masked",
        infotext="ADetailer inpaint only masked",
    )
    width: int | None = param(
        None,
        "Detailer width",
        help="Of the work on each region; None is the model's native one.",
        minimum=16,
        maximum=4096,
        step=8,
        legacy="detailer_width",
        infotext="ADetailer inpaint width",
    )
    height: int | None = param(
        None,
        "Detailer height",
        help="Of the work on each region; None is the model's native one.",
        minimum=16,
        maximum=4096,
        step=8,
        legacy="detailer_height",
        infotext="ADetailer inpaint height",
    )
    steps: int | None = param(
        None,
        "Detailer steps",
        minimum=1,
        maximum=1000,
        step=1,
        legacy="detailer_steps",
        infotext="ADetailer steps",
    )
    cfg_scale: float | None = param(
        None,
        "Detailer CFG scale",
        minimum=0,
        maximum=100,
        step=0.5,
        legacy="detailer_cfg_scale",
        infotext="ADetailer CFG scale",
    )
    sampler: str | None = param(
        None, "Detailer sampler", choices="samplers", legacy="detailer_sampler", infotext="ADetailer sampler"
    )
    scheduler: str | None = param(
        None,
        "Detailer schedule type",
        choices="schedulers",
        legacy="detailer_scheduler",
        infotext="ADetailer scheduler",
    )


NO_REGIONS, PLAIN_DETAILER = RegionParams(), DetailerParams()
"""Pictures stay as they are drawn."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One way to look for regions and to draw them. Several come one after the other."""

    regions: RegionParams = NO_REGIONS
    detailer: DetailerParams = PLAIN_DETAILER


GROUPS = (("regions", RegionParams), ("detailer", DetailerParams))


def detail_parameters() -> tuple[Declared, ...]:
    """Every declared parameter of a detail; the path says in which of its groups."""
    return tuple(item for name, group in GROUPS for item in declared(group, (name,)))


def value_of(detail: Detail, item: Declared) -> Any:
    """What a detail says of a declared parameter."""
    return getattr(getattr(detail, item.path[0]), item.path[1])


def build_detail(values: Mapping[str, Any]) -> Detail:
    """A detail of values by the names of fields; what is missing takes its default."""
    names = {item.name for item in fields(RegionParams)}
    return Detail(
        RegionParams(**{key: value for key, value in values.items() if key in names}),
        DetailerParams(**{key: value for key, value in values.items() if key not in names}),
    )


def check_detail(detail: Detail, owner: str) -> None:
    """Raise `InvalidRequest` for a detail that lacks something, bounds apart; `owner` begins the sentence."""
    regions = detail.regions
    if not regions.acts:
        return
    name = str(regions.detector).strip().casefold()
    if name == MASK.casefold() and not regions.mask:
        raise InvalidRequest(f"{owner}the detector {MASK} wants a mask, and none was given.")
    if name == COLOUR.casefold() and not regions.classes.strip():
        raise InvalidRequest(f"{owner}the detector {COLOUR} wants a colour among its classes, such as red or #ff8000.")
    if regions.min_ratio > regions.max_ratio:
        raise InvalidRequest(
            f"{owner}the smallest region is {regions.min_ratio:g} of the picture and the largest {regions.max_ratio:g}."
        )
