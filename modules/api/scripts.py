"""`/sdapi/v1/scripts` and `script-info`: the scripts of A1111 and its extensions that bodies may name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from modules.api.sd_upscale import OVERLAP, SCALE, SCRIPT
from modules.api.services import Services
from modules.api.tiled import ARGUMENTS, Argument, describe_arguments
from modules.api.xyz_plot import SCRIPT as PLOT
from modules.api.xyz_plot import USUAL, plot_labels
from modules.contracts.scripts import ParameterEntry, Scripts
from modules.experiments.legacy import Tab
from modules.support.studio import Studio

router = APIRouter(prefix="/sdapi/v1", tags=["catalogue"])
WEBUIAPIS = "controlnet m2m"
"""Cannot be chosen: by it the client webuiapi knows that ControlNet is there."""
ALWAYS_ON = ("adetailer", "controlnet", *ARGUMENTS)
UPSCALE_ARGUMENTS = (
    Argument("info", ""),
    Argument("tile overlap", OVERLAP, 0, 256, 16),
    Argument("upscaler", "None"),
    Argument("scale factor", SCALE, 1, 8, 0.05),
)


PLOT_SWITCHES = (
    *("draw legend", "include lone images", "include sub grids", "no fixed seeds"),
    *("vary seeds x", "vary seeds y", "vary seeds z", "margin size", "csv mode"),
)


def _plot_arguments(tab: Tab, scripts: Scripts) -> list[dict[str, Any]]:
    """Those of the X/Y/Z plot in their order; the number of an axis is its place among the choices."""
    empty = {"minimum": None, "maximum": None, "step": None, "choices": None}
    told, labels = [], plot_labels(tab, scripts)
    for place, letter in enumerate("xyz"):
        told.append({**empty, "label": f"{letter} type", "value": USUAL[3 * place], "choices": labels})
        told += [
            {**empty, "label": f"{letter} {word}", "value": value} for word, value in (("values", ""), ("chosen", []))
        ]
    return told + [{**empty, "label": label, "value": USUAL[9 + n]} for n, label in enumerate(PLOT_SWITCHES)]


class ScriptsList(BaseModel):
    """Titles of scripts, lower case."""

    txt2img: list[str] = []
    img2img: list[str] = []


class ScriptArgument(BaseModel):
    """One argument in its place."""

    label: str = Field(examples=["tile width"])
    value: Any = Field(description="What is taken where nothing is said.", examples=[96])
    minimum: float | None = Field(examples=[16])
    maximum: float | None = Field(examples=[256])
    step: float | None = Field(examples=[16])
    choices: list[str] | None = Field(examples=[None])


class ScriptRow(BaseModel):
    """One script of one of the two tabs. Those whose arguments are objects list none."""

    name: str = Field(examples=["tiled diffusion"])
    is_alwayson: bool = Field(examples=[True])
    is_img2img: bool = Field(examples=[False])
    args: list[ScriptArgument]


def _titles(studio: Studio, mode: str) -> list[str]:
    always, chosen = (studio.scripts.offered(mode, always_on=on) for on in (True, False))
    ours = [SCRIPT] if mode == "img2img" else []
    lower = [[one.title.lower() for one in each] for each in (always, chosen)]
    return [*ALWAYS_ON, *lower[0], WEBUIAPIS, *ours, PLOT, *lower[1]]


@router.get("/scripts")
def scripts(studio: Services) -> ScriptsList:
    """Titles of scripts, those that are always on first."""
    return ScriptsList(txt2img=_titles(studio, "txt2img"), img2img=_titles(studio, "img2img"))


@router.get("/script-info")
def script_info(studio: Services) -> list[ScriptRow]:
    """The same with arguments in their order, once for each tab."""
    rows = [
        {"name": name, "is_alwayson": True, "is_img2img": tab, "args": describe_arguments(ARGUMENTS.get(name, ()))}
        for tab in (False, True)
        for name in ALWAYS_ON
    ]
    asked = describe_arguments(UPSCALE_ARGUMENTS)
    rows.append({"name": SCRIPT, "is_alwayson": False, "is_img2img": True, "args": asked})
    rows += [
        {
            "name": PLOT,
            "is_alwayson": False,
            "is_img2img": tab,
            "args": _plot_arguments("img2img" if tab else "txt2img", studio.scripts),
        }
        for tab in (False, True)
    ]
    rows += [
        {"name": one.title.lower(), "is_alwayson": on, "is_img2img": tab, "args": list(map(_argument, one.parameters))}
        for tab in (False, True)
        for on in (True, False)
        for one in studio.scripts.offered("img2img" if tab else "txt2img", always_on=on)
    ]
    return [ScriptRow.model_validate(row) for row in rows]


def _argument(item: ParameterEntry) -> dict[str, Any]:
    return {
        "label": item.label,
        "value": None if item.kind == "picture" else item.default,
        "minimum": item.minimum,
        "maximum": item.maximum,
        "step": item.step,
        "choices": None if item.choices is None else list(item.choices),
    }
