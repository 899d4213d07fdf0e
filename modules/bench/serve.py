"""What serving costs: 1, 4, 8 and 16 clients against the bare pipeline of the same model, in the same run."""

from __future__ import annotations

import base64
import io
import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx

from modules.bench.rig import Rig, bounded, rigged, side_by_side, timed
from modules.bootstrap.options import Options

CLIENTS = (1, 4, 8, 16)
BATCH = 8
"""Pictures of the static batch that the clients are measured against."""
CALLS = 3
"""Calls that each client makes one after the other when waiting times are measured."""


def run(options: Options, *, rounds: int, steps: int) -> dict[str, Any]:
    """Ratios; `bound` and `held` say what they keep to. Every client asks with words and a seed of its own."""
    with rigged(options, steps) as rig, httpx.Client(timeout=600) as client, ThreadPoolExecutor(max(CLIENTS)) as crowd:
        desk = _Desk(rig, client, crowd)
        desk.together(BATCH)
        rig.bare(BATCH)
        rig.bare(1)
        one = side_by_side(lambda: desk.together(1), lambda: rig.bare(1), rounds)
        answer: dict[str, Any] = {
            "size": rig.size,
            "steps": steps,
            "one_client": bounded(one, "ratio", most=1.05),
            "clients": {},
        }
        for count in CLIENTS[1:]:
            measured = side_by_side(partial(desk.together, count), lambda: rig.bare(BATCH), rounds)
            pictures = count / measured["p50_seconds"] / (BATCH / measured["bare_p50_seconds"])
            figures = {"throughput_ratio": round(pictures, 4), **measured}
            kept = bounded(figures, "throughput_ratio", least=0.85) if count == BATCH else figures
            answer["clients"][str(count)] = kept
        answer["mixed_steps"] = desk.mixed(rounds)
        answer["waiting"] = desk.waiting()
        answer["pictures"] = bounded({"largest_difference": desk.largest_difference()}, "largest_difference", most=1)
        return answer


class _Desk:
    """Clients of one rig."""

    def __init__(self, rig: Rig, client: httpx.Client, crowd: ThreadPoolExecutor) -> None:
        self._rig, self._client, self._crowd = rig, client, crowd

    def draw(self, number: int, steps: int | None = None) -> bytes:
        """The picture of client `number`, whose words and seed are its own."""
        body = {**self._rig.body(number), "steps": steps or self._rig.steps}
        body["prompt"] = f"{body['prompt']}, number {number}"
        answer = self._client.post(f"{self._rig.url}/sdapi/v1/txt2img", json=body)
        answer.raise_for_status()
        return base64.b64decode(answer.json()["images"][0])

    def together(self, count: int) -> list[bytes]:
        """One picture for each of `count` clients that ask at the same time."""
        return list(self._crowd.map(self.draw, range(count)))

    def mixed(self, rounds: int) -> dict[str, Any]:
        """Eight clients with eight step counts whose sum is that of the static batch."""
        middle = self._rig.steps
        spread = [max(1, round(middle * (0.5 + place / 7))) for place in range(BATCH)]
        measured = side_by_side(
            lambda: list(self._crowd.map(self.draw, range(BATCH), spread)), lambda: self._rig.bare(BATCH), rounds
        )
        ratio = sum(spread) / measured["p50_seconds"] / (BATCH * middle / measured["bare_p50_seconds"])
        return bounded({"steps": spread, "step_ratio": round(ratio, 4), **measured}, "step_ratio", least=0.7)

    def waiting(self) -> dict[str, Any]:
        """How long eight clients wait that ask again and again."""

        def ask(number: int) -> list[float]:
            return [timed(lambda: self.draw(number)) for _ in range(CALLS)]

        began = time.perf_counter()
        waits = sorted(itertools.chain.from_iterable(self._crowd.map(ask, range(BATCH))))
        mean, late = statistics.fmean(waits), waits[min(len(waits) - 1, round(0.95 * len(waits)))]
        figures = {
            "mean_seconds": round(mean, 4),
            "p95_seconds": round(late, 4),
            "p95_over_mean": round(late / mean, 4),
            "pictures_per_second": round(len(waits) / (time.perf_counter() - began), 4),
        }
        return bounded(figures, "p95_over_mean", most=2)

    def largest_difference(self) -> int:
        """Between the pictures that eight clients get together and those that each gets alone, in levels of 255."""
        import numpy as np
        from PIL import Image

        def pixels(data: bytes) -> Any:
            return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16)

        company = [pixels(data) for data in self.together(BATCH)]
        alone = [pixels(self.draw(number)) for number in range(BATCH)]
        return max(int(np.abs(a - b).max()) for a, b in zip(company, alone, strict=True))
