"""What token merging and HyperTile gain: seconds of a picture with them over those of one without."""

from __future__ import annotations

from typing import Any

import httpx

from modules.bench.rig import Rig, rigged, side_by_side
from modules.bootstrap.options import Options

SIDE = 512
"""Pixels: attention counts more the larger a picture is."""
WISHES: dict[str, dict[str, Any]] = {
    "token_merging": {"token_merging_ratio": 0.5},
    "hypertile": {"hypertile_size": 256},
    "hypertile_deep": {"hypertile_size": 128, "hypertile_depth": 2},
}


def run(options: Options, *, rounds: int, steps: int) -> dict[str, Any]:
    """For each measure, `ratio`: p50 of the call with it over p50 of the call without, alternating in one process."""
    with rigged(options, steps) as rig, httpx.Client(timeout=600) as client:
        _draw(rig, client, {})
        found = {
            name: side_by_side(lambda more=more: _draw(rig, client, more), lambda: _draw(rig, client, {}), rounds)  # type: ignore[misc]
            for name, more in WISHES.items()
        }
        return {"size": SIDE, "steps": steps, **found}


def _draw(rig: Rig, client: httpx.Client, more: dict[str, Any]) -> None:
    body = {**rig.body(1), "width": SIDE, "height": SIDE, **more}
    client.post(f"{rig.url}/sdapi/v1/txt2img", json=body).raise_for_status()
