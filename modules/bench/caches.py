"""What caches over steps gain and cost: seconds of a picture with them over those of one without, and how far the two
pictures are apart."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx

from modules.bench.rig import Rig, rigged, side_by_side
from modules.bootstrap.options import Options

WISHES: dict[str, dict[str, Any]] = {
    "every_2": {"step_cache": "automatic", "step_cache_interval": 2},
    "every_3": {"step_cache": "automatic", "step_cache_interval": 3},
    "every_3_deeper": {"step_cache": "automatic", "step_cache_interval": 3, "step_cache_depth": 2},
    "every_5": {"step_cache": "automatic", "step_cache_interval": 5},
}


def run(options: Options, *, rounds: int, steps: int) -> dict[str, Any]:
    """For each cache, `ratio`: p50 of the call with it over p50 of the call without, alternating in one process; and
    `apart`: the mean difference of the pictures' values, of 255."""
    with rigged(options, steps) as rig, httpx.Client(timeout=600) as client:
        plain = _draw(rig, client, {})
        found: dict[str, Any] = {}
        for name, more in WISHES.items():
            apart = _apart(_draw(rig, client, more), plain)
            taken = side_by_side(lambda more=more: _draw(rig, client, more), lambda: _draw(rig, client, {}), rounds)  # type: ignore[misc]
            found[name] = {**taken, "apart": round(apart, 2)}
        return {"size": rig.size, "steps": steps, **found}


def _draw(rig: Rig, client: httpx.Client, more: dict[str, Any]) -> bytes:
    answer = client.post(f"{rig.url}/sdapi/v1/txt2img", json={**rig.body(1), **more}).raise_for_status()
    return base64.b64decode(answer.json()["images"][0])


def _apart(one: bytes, other: bytes) -> float:
    import numpy as np
    from PIL import Image

    first, second = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16) for data in (one, other))
    return float(np.abs(first - second).mean())
