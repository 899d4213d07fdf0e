"""Eight clients, each with a picture of its own, against one static batch of eight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from modules.bench.rig import bounded, rigged, side_by_side
from modules.bootstrap.options import Options

CLIENTS = 8


def run(options: Options, *, rounds: int, steps: int) -> dict[str, Any]:
    """`throughput_ratio`: pictures a second of eight concurrent API clients over those of a bare batch of eight."""
    with rigged(options, steps) as rig, httpx.Client(timeout=300) as client, ThreadPoolExecutor(CLIENTS) as crowd:

        def together() -> None:
            list(crowd.map(lambda seed: rig.call(client, seed), range(CLIENTS)))

        together()
        rig.bare(CLIENTS)
        measured = side_by_side(together, lambda: rig.bare(CLIENTS), rounds)
        figures = {
            "clients": CLIENTS,
            "size": rig.size,
            "steps": steps,
            "throughput_ratio": round(1 / measured["ratio"], 4),
            **measured,
        }
        return bounded(figures, "throughput_ratio", least=0.6)
