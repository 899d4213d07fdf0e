"""Which axes there are: every declared parameter of a request, every field of a ControlNet unit, and some more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from modules.contracts.control import MOST_UNITS, unit_parameters
from modules.contracts.errors import InvalidRequest
from modules.contracts.extending import AxisEntry
from modules.contracts.parameters import Declared
from modules.contracts.request import parameters
from modules.contracts.scripts import Scripts
from modules.experiments.changing import CONTROL, LORA, ORDER, PAIR, REPLACE, SCRIPT, SETTING, SIZE, STYLES
from modules.support.options import CORE_SETTINGS

Type = Literal["int", "float", "bool", "str"]

COSTS: dict[str, float] = {
    "model.checkpoint": 1.0,
    "refiner.checkpoint": 1.0,
    "hires.checkpoint": 1.0,
    "model.vae": 0.7,
    "model.text_encoder": 0.7,
    "prompt.lora": 0.6,
    "control": 0.5,
    "canvas.size": 0.3,
    "canvas.width": 0.3,
    "canvas.height": 0.3,
    "sampling.sampler": 0.1,
    "sampling.pair": 0.1,
    "sampling.steps": 0.05,
    "seeds.seed": -0.2,
    "seeds.subseed": -0.1,
}
"""How dear a change is: loading models, then other weights, then what cannot share a forward. Seeds always can."""

SETTLED = frozenset({"output.save", "canvas.batch_count"})
"""Parameters that are no axis: a cell is one job whose pictures are kept, and shows the first of them."""
PER_JOB = ("img2img_fix_steps", "enable_prompt_comments")
"""Settings that touch pixels, that a job may have for itself, and that no parameter says; all of them are switches."""
_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of axis."""

    key: str
    label: str
    type: Type
    cost: float = 0.0
    choices: tuple[str, ...] | str | None = None
    """Lawful words, or the name of a catalogue list, as of `modules.contracts.parameters.Param`."""
    optional: bool = False
    """Nothing may be given as well."""
    help: str = ""
    entry: AxisEntry | None = None
    """Of one that a script is told."""


def script_kinds(scripts: Scripts, *modes: str) -> list[Kind]:
    """What scripts are told and may vary, in any of `txt2img` and `img2img`, each once."""
    entries = {(one.script, one.name): one for mode in modes for one in scripts.axes(mode)}
    return [
        Kind(f"{SCRIPT}.{one.script}.{one.name}", one.label, one.type, one.cost, one.choices, help=one.help, entry=one)
        for one in entries.values()
    ]


def find_script_kind(scripts: Scripts, wanted: str, mode: str) -> Kind | None:
    """The kind of that key or label, whatever case and blanks; None where there is none."""
    name = wanted.strip().casefold()
    return next(
        (kind for kind in script_kinds(scripts, mode) if name in (kind.key.casefold(), kind.label.casefold())), None
    )


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by key, in the order of declaration; LoRA weights, which need a name, are under `prompt.lora`."""
    return {kind.key: kind for kind in (*_special(), *_declared(), *_settings(), *_units())}


def find_kind(wanted: str) -> Kind:
    """The kind of that key or label, whatever case and blanks. Raises `InvalidRequest` when there is none.

    `prompt.lora.NAME` or `LoRA weight: NAME` names the network whose weight varies.
    """
    name = wanted.strip()
    found = kinds().get(name) or _by_label().get(_slug(name))
    if found is not None:
        return found
    for head in (f"{LORA}.", "lora weight:"):
        if name.casefold().startswith(head) and name[len(head) :].strip():
            base, network = kinds()[LORA], name[len(head) :].strip()
            return Kind(f"{LORA}.{network}", f"{base.label}: {network}", base.type, base.cost)
    raise InvalidRequest(
        f"There is no axis {wanted[:80]!r}; every declared parameter is one, such as sampling.steps; others are"
        " prompt.replace, prompt.order, prompt.lora.NAME, sampling.pair, canvas.size and control.0.weight."
    )


def _special() -> Iterator[Kind]:
    yield Kind(
        REPLACE, "Prompt S/R", "str", help="The first value is looked for in the prompts; each stands in its place."
    )
    yield Kind(ORDER, "Prompt order", "str", help="Words of the prompt, drawn in every order.")
    yield Kind(LORA, "LoRA weight", "float", COSTS[LORA], help="Of the LoRA that the axis names, as prompt.lora.NAME.")
    yield Kind(
        PAIR, "Sampler and schedule", "str", COSTS[PAIR], help="Pairs such as DPM++ 2M Karras or Euler / Karras."
    )
    yield Kind(SIZE, "Size", "str", COSTS[SIZE], help="Width and height such as 512x768.")
    yield Kind(STYLES, "Styles", "str", choices="styles", help="Each value adds its style, or several by comma.")


def _declared() -> Iterator[Kind]:
    several = [item.param.label for item in parameters()]
    for item in parameters():
        if item.name in SETTLED or item.name == STYLES:
            continue
        label = item.param.label if several.count(item.param.label) == 1 else f"{item.param.label} ({item.path[0]})"
        yield _kind(item, item.name, label, COSTS.get(item.name, 0.0))


def _settings() -> Iterator[Kind]:
    for setting in CORE_SETTINGS:
        if setting.key in PER_JOB:
            yield Kind(f"{SETTING}.{setting.key}", setting.label, "bool", help=setting.help)


def _units() -> Iterator[Kind]:
    for number in range(MOST_UNITS):
        for item in unit_parameters():
            yield _kind(
                item, f"{CONTROL}.{number}.{item.name}", f"ControlNet {number}: {item.param.label}", COSTS[CONTROL]
            )


def _kind(item: Declared, key: str, label: str, cost: float) -> Kind:
    plain = item.annotation.removesuffix(" | None")
    types: dict[str, Type] = {"int": "int", "float": "float", "bool": "bool"}
    optional = plain != item.annotation
    return Kind(key, label, types.get(plain, "str"), cost, item.param.choices, optional, item.param.help)


@cache
def _by_label() -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for kind in kinds().values():
        found.setdefault(_slug(kind.label), kind)
        if not kind.key.startswith(f"{CONTROL}."):
            found.setdefault(_slug(kind.key.rpartition(".")[2]), kind)
    return found


def _slug(name: str) -> str:
    return _SLUG.sub("_", name.casefold()).strip("_")
