"""Tiled Diffusion and Tiled VAE in bodies of the old API: the always-on scripts of the extension
multidiffusion-upscaler-for-automatic1111, whose arguments come as a list in a fixed order.

Sizes of tiles come in latent cells of eight pixels, as the extension counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modules.api.names import find_upscaler
from modules.contracts.catalog import Catalog
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.tiles import EVEN, MIXED, NO_UPSCALER

DIFFUSION, VAE = "tiled diffusion", "tiled vae"
"""Titles, whatever their case."""
TITLES = {DIFFUSION: "Tiled Diffusion", VAE: "Tiled VAE"}
CELL = 8
"""Pixels of a latent cell."""
LEAST_STRIDE = 4
"""Cells by which the extension leaves an overlap smaller than the tile's shorter side."""
MOST_REGIONS, REGION = 8, 10
"""Regions with prompts of their own behind the other arguments, and how many values each has; the first is a switch."""
ONLY_MASKED = "Tiled Diffusion: where only the masked part is drawn, width and height count and not the picture's size."
BROUGHT = "Tiled Diffusion: the picture is brought to its size by resize_mode; the upscaler {} changed nothing."
FIXED = (
    "Tiled VAE: tiles have the size that the VAE brings; sizes, fast decoder, fast encoder and colour fix changed "
    "nothing."
)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an always-on script, for reading it and for whoever asks what there is."""

    name: str
    value: bool | int | float | str
    """What is taken where nothing is said; its type is the argument's."""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] | None = None


DIFFUSION_ARGUMENTS = (
    Argument("enabled", False),
    Argument("method", EVEN, choices=(EVEN, MIXED)),
    Argument("overwrite_size", False),
    Argument("keep_input_size", True),
    Argument("image_width", 1024, 256, 16384, 16),
    Argument("image_height", 1024, 256, 16384, 16),
    Argument("tile_width", 96, 16, 256, 16),
    Argument("tile_height", 96, 16, 256, 16),
    Argument("overlap", 48, 0, 256, 4),
    Argument("tile_batch_size", 4, 1, 8, 1),
    Argument("upscaler_name", "None"),
    Argument("scale_factor", 2.0, 1, 8, 0.05),
    Argument("noise_inverse", False),
    Argument("noise_inverse_steps", 10, 1, 200, 1),
    Argument("noise_inverse_retouch", 1.0, 1, 100, 0.1),
    Argument("noise_inverse_renoise_strength", 1.0, 0, 2, 0.01),
    Argument("noise_inverse_renoise_kernel", 64, 2, 512, 1),
    Argument("control_tensor_cpu", False),
    Argument("enable_bbox_control", False),
    Argument("draw_background", False),
    Argument("causal_layers", False),
)
VAE_ARGUMENTS = (
    Argument("enabled", False),
    Argument("encoder_tile_size", 960, 256, 4096, 16),
    Argument("decoder_tile_size", 64, 48, 512, 16),
    Argument("vae_to_gpu", True),
    Argument("fast_decoder", True),
    Argument("fast_encoder", True),
    Argument("color_fix", False),
)
ARGUMENTS = {DIFFUSION: DIFFUSION_ARGUMENTS, VAE: VAE_ARGUMENTS}


def is_tiled(title: Any) -> bool:
    """Whether a title is that of one of the two scripts."""
    return isinstance(title, str) and title.strip().casefold() in TITLES


def fill_tiled(
    groups: dict[str, dict[str, Any]], body: Mapping[str, Any], mode: str, catalog: Catalog, notes: list[str]
) -> None:
    """Put what both scripts are told into the groups `tiles`, `upscale` and `canvas`; `notes` hears of what changes
    nothing.

    Raises `InvalidRequest` for values that make no sense, `UnsupportedFeature` for noise inversion and for regions with
    prompts of their own, `UnknownModel` for an upscaler. A script that is off is not looked at further.
    """
    if _read(VAE, body):
        groups["tiles"]["vae"] = True
        notes.append(FIXED)
    given = _read(DIFFUSION, body)
    if not given:
        return
    _refuse(given, mode, notes)
    groups["tiles"] |= _tiles(given)
    canvas = groups["canvas"]
    if mode == "txt2img":
        if given["overwrite_size"]:
            canvas |= {"width": given["image_width"], "height": given["image_height"]}
        return
    _size(given, groups, body, catalog, notes)


def _read(script: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, those of regions as the list `regions`; empty for a script that is off or not there."""
    always = body.get("alwayson_scripts")
    entries = list(always.items()) if isinstance(always, Mapping) else []
    found: dict[str, Any] = {}
    for title, entry in entries:
        if is_tiled(title) and title.strip().casefold() == script:
            found = _arguments(script, entry.get("args") if isinstance(entry, Mapping) else entry) or found
    return found


def _arguments(script: str, given: Any) -> dict[str, Any]:
    title, declared = TITLES[script], ARGUMENTS[script]
    if given is not None and not isinstance(given, list):
        raise InvalidRequest(f"alwayson_scripts.{title}.args has to be a list of its arguments in their order.")
    values = list(given or ())
    if not values or values[0] is None or not _typed(title, declared[0], values[0]):
        return {}
    most = len(declared) + (MOST_REGIONS * REGION if script == DIFFUSION else 0)
    if len(values) > most:
        raise InvalidRequest(f"{title} was given {len(values)} arguments; it takes up to {most}.")
    found: dict[str, Any] = {argument.name: argument.value for argument in declared}
    for argument, value in zip(declared, values, strict=False):
        if value is not None:
            found[argument.name] = _typed(title, argument, value)
    found["regions"] = values[len(declared) :]
    return found


def _typed(title: str, argument: Argument, value: Any) -> Any:
    try:
        typed: Any = TypeAdapter(type(argument.value)).validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(
            f"{title}: {argument.name} is {value!r:.60}; {error.errors()[0]['msg'].rstrip('.')}."
        ) from error
    low, high = argument.minimum, argument.maximum
    if low is not None and high is not None and not low <= typed <= high:
        raise InvalidRequest(f"{title}: {argument.name} is {typed!r:.60}; it has to be {low:g} to {high:g}.")
    if argument.choices is not None and typed not in argument.choices:
        raise InvalidRequest(f"{title}: {argument.name} is {typed!r:.60}; allowed are {', '.join(argument.choices)}.")
    return typed


def _refuse(given: Mapping[str, Any], mode: str, notes: list[str]) -> None:
    switches = [_switched(value) for value in given["regions"][::REGION]]
    if given["enable_bbox_control"] and any(switches):
        raise UnsupportedFeature("Tiled Diffusion: regions with prompts of their own are not there; leave them off.")
    if given["noise_inverse"] and mode == "img2img":
        raise UnsupportedFeature("Tiled Diffusion: noise inversion is not there; leave it off.")
    if given["noise_inverse"]:
        notes.append("Tiled Diffusion: noise inversion is for img2img; it changed nothing.")


def _switched(value: Any) -> bool:
    return value is not None and bool(_typed(TITLES[DIFFUSION], Argument("a region's switch", False), value))


def _tiles(given: Mapping[str, Any]) -> dict[str, Any]:
    """An overlap that would leave no step from tile to tile is cut down, as the extension does."""
    across, down = given["tile_width"], given["tile_height"]
    overlap = min(given["overlap"], min(across, down) - LEAST_STRIDE)
    return {"method": given["method"], "width": across * CELL, "height": down * CELL, "overlap": overlap * CELL}


def _size(
    given: Mapping[str, Any],
    groups: dict[str, dict[str, Any]],
    body: Mapping[str, Any],
    catalog: Catalog,
    notes: list[str],
) -> None:
    """The size of image to image: the given picture's where it is to be kept, made larger by the upscaler; else that
    of the body, times the factor where there is an upscaler."""
    canvas, name, scale = groups["canvas"], given["upscaler_name"], given["scale_factor"]
    upscaler = None if name.strip().casefold() in NO_UPSCALER else find_upscaler(catalog, name)
    if not given["keep_input_size"]:
        if upscaler is not None:
            canvas |= {side: round(canvas[side] * scale) for side in ("width", "height") if canvas.get(side)}
            notes.append(BROUGHT.format(upscaler))
        return
    if upscaler is not None:
        if groups["upscale"].get("upscaler") is not None:
            raise InvalidRequest("Tiled Diffusion and SD upscale were both given an upscaler; name one.")
        groups["upscale"] = {"upscaler": upscaler, "scale": scale}
    elif "inpaint" in groups and groups["inpaint"].get("only_masked"):
        notes.append(ONLY_MASKED)
        return
    canvas |= {"width": None, "height": None}


def describe_arguments(arguments: Sequence[Argument]) -> list[dict[str, Any]]:
    """For `/sdapi/v1/script-info`."""
    return [
        {
            "label": one.name.replace("_", " "),
            "value": one.value,
            "minimum": one.minimum,
            "maximum": one.maximum,
            "step": one.step,
            "choices": None if one.choices is None else list(one.choices),
        }
        for one in arguments
    ]
