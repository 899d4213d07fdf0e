"""How a style picture will be used: by which method, and by which IP-Adapter. Imports no torch."""

from __future__ import annotations

from modules.contracts.catalog import Family
from modules.contracts.control import MOST_UNITS, ControlUnit, HintParams
from modules.contracts.controls import ControlEntry, Controls
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.plan import ControlUse, StyleUse
from modules.contracts.request import GenerationRequest
from modules.contracts.style import AUTOMATIC, PROMPTED, SHARED, STATISTICS
from modules.control.inspection import NAMES
from modules.processing_diffusers.control_plan import LOOKING

NUMBER = MOST_UNITS
"""Of the unit that an IP-Adapter's style picture is, behind all that a request can have."""
BLOCKS = {"sdxl": "style"}
"""By family, where an adapter speaks of style and not of shapes: InstantStyle's place (arXiv:2404.02733)."""
OTHER_BLOCKS = "up=1"
"""For families of which nobody has said where style is: the way up, as shapes are laid out before it."""


def find_style(request: GenerationRequest, controls: Controls, family: Family, notes: list[str]) -> StyleUse | None:
    """How the request's style picture is used; None without one, and where its strength is 0.

    Raises `UnsupportedFeature`, `UnknownModel`, `BrokenModel` or `InvalidRequest` for what cannot be done.
    """
    style = request.style
    if not style.acts:
        return None
    if style.method == STATISTICS:
        return StyleUse(STATISTICS)
    able = LOOKING in family.capabilities
    if style.method == AUTOMATIC and not able:
        if request.image is None:
            raise UnsupportedFeature(
                f"{family.label} cannot look at a style picture while it draws; start from a picture, which is given "
                "the style without drawing."
            )
        notes.append(f"{family.label} cannot look at a style picture while it draws; the style came by statistics.")
        if request.details:
            notes.append("Nothing was drawn, so the detailer was left out.")
        return StyleUse(STATISTICS)
    if not able:
        raise UnsupportedFeature(f"{family.label} takes a style by statistics only; {style.method!r} was asked for.")
    if style.method == SHARED or (style.method == AUTOMATIC and not style.adapter and not _fitting(controls, family)):
        return StyleUse(SHARED)
    return StyleUse(PROMPTED, _find_adapter(style.adapter, controls, family))


def _find_adapter(name: str, controls: Controls, family: Family) -> ControlEntry:
    if not name:
        fitting = _fitting(controls, family)
        if fitting is None:
            raise UnsupportedFeature(
                f"There is no IP-Adapter for {family.label}; put one below the models folder in ip-adapter, or ask "
                f"for {SHARED!r}, which needs none."
            )
        return fitting
    entry = controls.find_model(name)
    if entry.kind != "ip_adapter":
        raise InvalidRequest(f"The style adapter {entry.name} is no IP-Adapter.")
    if not _fits(entry, family):
        raise UnsupportedFeature(
            f"The IP-Adapter {entry.name} was made for {NAMES[str(entry.base)]}; the model is of {family.label}."
        )
    return entry


def _fits(entry: ControlEntry, family: Family) -> bool:
    return entry.base is None or entry.base == family.id.partition("-")[0]


def _fitting(controls: Controls, family: Family) -> ControlEntry | None:
    """The first adapter by name that the model can have."""
    usable = (one for one in controls.models() if one.kind == "ip_adapter" and one.problem is None)
    return next((one for one in usable if one.base is not None and _fits(one, family)), None)


def style_units(request: GenerationRequest, use: StyleUse | None, family: Family) -> tuple[ControlUse, ...]:
    """The style picture as a unit of its IP-Adapter; none where no adapter speaks."""
    if use is None or use.entry is None:
        return ()
    blocks = BLOCKS.get(family.id.partition("-")[0], OTHER_BLOCKS)
    unit = ControlUnit(
        enabled=True,
        module="ip-adapter-auto",
        model=use.entry.name,
        weight=request.style.strength,
        image=request.style.image,
        hint=HintParams(blocks=blocks),
    )
    return (ControlUse(NUMBER, unit, use.entry, unit.module),)
