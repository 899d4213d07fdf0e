"""What the ControlNet units of a request mean: networks and preprocessors by their names. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from modules.contracts.catalog import Family
from modules.contracts.control import BALANCED, CONTROL, NO_MODULE, PROMPT, ControlUnit
from modules.contracts.controls import PROMPTING, ControlEntry, Controls, PreprocessorEntry
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.plan import ControlUse, PassPlan
from modules.contracts.request import GenerationRequest
from modules.control.inspection import NAMES

CAPABILITY = "control"
PLAINLY = {"ip_adapter": "The IP-Adapter", "redux": "The Redux"}
"""What image prompts are called."""
LOOKING = "references"
"""What models can that look at pictures while they draw: references, IP-Adapters, styles."""


def find_controls(
    request: GenerationRequest, controls: Controls, family: Family, notes: list[str]
) -> tuple[ControlUse, ...]:
    """Every unit that is on, with the network, where it has one, and the preprocessor that it names.

    Notes what has no meaning for the model and is left out. Raises `UnknownModel`, `BrokenModel`, `UnsupportedFeature`
    for networks of other models, or `InvalidRequest`.
    """
    found = []
    for number, unit in enumerate(request.control.units):
        if not unit.enabled:
            continue
        if CAPABILITY not in family.capabilities:
            raise UnsupportedFeature(f"{family.label} cannot be steered by ControlNets in this version.")
        module = controls.find_preprocessor(unit.module)
        entry = controls.find_model(unit.model) if module.network else None
        if LOOKING not in family.capabilities:
            _check_beside_transformer(number, unit, entry, family)
        if entry is not None and entry.base is not None and entry.base != family.id.partition("-")[0]:
            kind = PLAINLY.get(entry.kind or "", "The ControlNet")
            raise UnsupportedFeature(
                f"{kind} {entry.name} was made for {NAMES[entry.base]}; the model is of {family.label}."
            )
        _check_encoder(number, unit, entry, module)
        if module.masked and not unit.mask and request.mode != "inpaint":
            raise InvalidRequest(
                f"ControlNet unit {number}: the preprocessor {module.name} wants a mask, white where to draw anew."
            )
        _note_mode(number, unit, entry, family, notes)
        found.append(ControlUse(number, unit, entry, module.name))
    return tuple(found)


def _check_beside_transformer(number: int, unit: ControlUnit, entry: ControlEntry | None, family: Family) -> None:
    """Raise `UnsupportedFeature` for what only a UNet can be steered by; networks for other models are told later."""
    if entry is None:
        raise UnsupportedFeature(
            f"ControlNet unit {number}: {family.label} cannot look at references while it draws; {unit.module} is for "
            "SD 1.x, 2.x and SDXL."
        )
    kinds = {"ip_adapter": "IP-Adapter", "t2i_adapter": "T2I-Adapter"}
    if entry.kind in kinds and entry.base is None:
        raise UnsupportedFeature(
            f"The {kinds[entry.kind]} {entry.name} cannot steer {family.label}; it is for SD 1.x, 2.x or SDXL."
        )


def _note_mode(number: int, unit: ControlUnit, entry: ControlEntry | None, family: Family, notes: list[str]) -> None:
    """Say what a control mode does not do beside a transformer, and in a ControlNet-XS."""
    if entry is not None and entry.kind == "controlnet_xs" and unit.acts and unit.control_mode == PROMPT:
        notes.append(
            f"ControlNet unit {number}: {PROMPT!r} weighs what single blocks are told; a ControlNet-XS goes on from "
            f"what it said, so it was taken for {BALANCED!r}."
        )
    if LOOKING in family.capabilities or entry is None or entry.kind in PROMPTING or not unit.acts:
        return
    if unit.control_mode == PROMPT:
        notes.append(
            f"ControlNet unit {number}: {PROMPT!r} weighs the blocks of a UNet; {family.label} has none, so it was "
            f"taken for {BALANCED!r}."
        )
    if unit.control_mode == CONTROL and "negative_prompt" not in family.capabilities:
        notes.append(
            f"ControlNet unit {number}: {CONTROL!r} acts through the negative prompt; {family.label} takes none, so it "
            f"was taken for {BALANCED!r}."
        )


def _check_encoder(number: int, unit: ControlUnit, entry: ControlEntry | None, module: PreprocessorEntry) -> None:
    """Raise `InvalidRequest` where an IP-Adapter has no picture of its own, or what is for it is asked of others."""
    speaks = entry is not None and entry.kind in PROMPTING
    if entry is not None and entry.kind == "redux" and (unit.mask or unit.hint.blocks):
        raise InvalidRequest(
            f"ControlNet unit {number}: a Redux stands among the words and takes neither mask nor blocks; leave them "
            "out."
        )
    if speaks and not module.encoder and module.name != NO_MODULE:
        raise InvalidRequest(
            f"ControlNet unit {number}: {unit.model} looks at the picture itself; its preprocessor is "
            f"ip-adapter-auto, not {module.name}."
        )
    if module.encoder and not speaks:
        raise InvalidRequest(f"ControlNet unit {number}: {module.name} is for IP-Adapters, and {unit.model} is none.")
    if unit.hint.blocks and not speaks:
        raise InvalidRequest(f"ControlNet unit {number} names blocks, which are for IP-Adapters alone.")


def share_out(
    controls: Sequence[ControlUse], first: PassPlan, hires: PassPlan | None
) -> tuple[PassPlan, PassPlan | None]:
    """The passes, each with the units that are on for it; where there is one pass, that is all of them."""
    if hires is None:
        return replace(first, controls=tuple(controls)), None
    low, high = (tuple(use for use in controls if use.unit.passes(hires=later)) for later in (False, True))
    return replace(first, controls=low), replace(hires, controls=high)
