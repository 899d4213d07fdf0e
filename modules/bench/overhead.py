"""What one API call costs above the bare pipeline."""

from __future__ import annotations

from typing import Any

import httpx

from modules.bench.rig import bounded, rigged, side_by_side
from modules.bootstrap.options import Options


def run(options: Options, *, rounds: int, steps: int) -> dict[str, Any]:
    """`ratio`: p50 of `POST /sdapi/v1/txt2img` over p50 of the bare pipeline call, alternating in one process."""
    with rigged(options, steps) as rig, httpx.Client(timeout=300) as client:
        for seed in range(2):
            rig.call(client, seed)
            rig.bare(1)
        measured = side_by_side(lambda: rig.call(client, 1), lambda: rig.bare(1), rounds)
        return bounded({"size": rig.size, "steps": steps, **measured}, "ratio", most=1.15)
