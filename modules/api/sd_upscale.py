"""SD upscale of a body of the old API: its own fields, or A1111's script of that name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.api.names import find_upscaler
from modules.contracts.catalog import Catalog
from modules.contracts.errors import InvalidRequest
from modules.contracts.tiles import NO_UPSCALER

SCRIPT = "sd upscale"
"""Name of A1111's script, whatever its case."""
TILE = 512
"""A1111's tile where a body says nothing of width and height."""
OVERLAP, SCALE = 64, 2.0
"""What the script does where nothing is said."""
NOTHING = "None"


def is_sd_upscale(body: Mapping[str, Any]) -> bool:
    """Whether a body asks for the script."""
    name = body.get("script_name")
    return isinstance(name, str) and name.strip().casefold() == SCRIPT


def fill_script(groups: dict[str, dict[str, Any]], body: Mapping[str, Any], catalog: Catalog) -> None:
    """Put what the script is told into the groups `upscale` and `tiles`. Raises `InvalidRequest`.

    Its arguments are something unused, the overlap, the upscaler as its number in `/sdapi/v1/upscalers` or its name,
    and the factor. Width and height of the body are those of a tile. Without an upscaler the picture keeps its size.
    """
    given = list(body.get("script_args") or ())
    overlap, wanted, scale = (
        given[place] if len(given) > place and given[place] is not None else usual
        for place, usual in ((1, OVERLAP), (2, 0), (3, SCALE))
    )
    if not _is_number(overlap) or not _is_number(scale):
        raise InvalidRequest(
            f"SD upscale: overlap and factor are {overlap!r:.40} and {scale!r:.40}; numbers are needed."
        )
    name = _upscaler(wanted, catalog)
    canvas, none = groups["canvas"], name == NOTHING
    groups["upscale"] = {"upscaler": "Lanczos" if none else name, "scale": 1.0 if none else float(scale)}
    sides = {side: canvas.pop(side, None) or TILE for side in ("width", "height")}
    groups["tiles"] = {**groups["tiles"], **sides, "overlap": int(overlap)}


def name_upscaler(values: dict[str, Any], catalog: Catalog) -> None:
    """The upscaler as the catalogue calls it; None where there is none. Raises `InvalidRequest`."""
    wanted = values.get("upscaler")
    off = wanted is None or str(wanted).strip().casefold() in NO_UPSCALER
    values["upscaler"] = None if off else find_upscaler(catalog, str(wanted))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


def _upscaler(wanted: Any, catalog: Catalog) -> str:
    names = [NOTHING, *(entry.name for entry in catalog.upscalers() if not entry.latent and entry.name != NOTHING)]
    if isinstance(wanted, str) and not wanted.isdecimal():
        return NOTHING if wanted.strip().casefold() in NO_UPSCALER else find_upscaler(catalog, wanted)
    if _is_number(wanted) or isinstance(wanted, str):
        place = int(wanted)
        if 0 <= place < len(names):
            return names[place]
    listed = ", ".join(f"{place} ({name})" for place, name in enumerate(names))
    raise InvalidRequest(f"SD upscale: there is no upscaler {wanted!r:.40}; there are {listed}.")
