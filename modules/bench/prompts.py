"""What a long prompt costs above what its text encoder takes for it, and what it costs once it is known."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.app import build_studio
from modules.bench.rig import bounded
from modules.bootstrap.options import Options
from modules.contracts.errors import NotReady
from modules.contracts.events import Event, StageStarted
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    OutputParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)

if TYPE_CHECKING:
    from modules.support.studio import Studio

WORDS = 1000
"""Of one token each, commas among them."""
SIDE = 64
"""Pixels: the picture itself does not matter here."""
MOST, MOST_AGAIN = 1.2, 0.1
"""Bounds, as shares of the encoder's own time: of a new prompt, and of one that is known."""
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "purple", "orange")


class _Clock:
    """Seconds that the stage of encoding took, job by job."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            now = time.perf_counter()
            if event.stage == "encode":
                self._begun[event.job_id] = now
            elif event.stage == "denoise" and event.job_id in self._begun:
                self.seconds[event.job_id] = now - self._begun[event.job_id]


def run(options: Options, *, rounds: int) -> dict[str, Any]:
    """`ratio`: seconds of the encoding stage for a prompt of 1,000 tokens over the seconds in which its encoders
    computed; `again_ratio`: the same stage for a prompt that is known, over those. Medians over the rounds.

    The stage holds everything from the words to what the denoiser is conditioned on, and the first noise as well.
    """
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        paths = dataclasses.replace(options.paths, data_dir=Path(folder))
        studio = build_studio(dataclasses.replace(options, paths=paths))
        try:
            if not studio.status.wait(180):
                raise NotReady(studio.status.message)
            figures = _measure(studio, rounds)
        finally:
            studio.close()
    found = bounded(figures, "ratio", most=MOST)
    again = bounded(figures, "again_ratio", most=MOST_AGAIN)
    held = found["held"] and again["held"] and figures["again_forwards"] == 0
    return {**found, "bound": f"{found['bound']}, {again['bound']} and no forward", "held": held}


def _measure(studio: Studio, rounds: int) -> dict[str, Any]:
    clock = _Clock()
    shares, again, own, forwards = [], [], [], 0
    with studio.bus.listening(clock):
        _draw(studio, clock, "warm", 0)
        for number in range(rounds):
            text = _prompt(number)
            before = _encoders(studio)
            stage = _draw(studio, clock, text, 1)
            computed = _encoders(studio)
            own.append(computed[0] - before[0])
            shares.append(stage / own[-1])
            again.append(_draw(studio, clock, text, 2) / own[-1])
            forwards += _encoders(studio)[1] - computed[1]
    counted = studio.prompts.count(_prompt(0), None, 1)
    return {
        "tokens": counted.tokens,
        "pieces": counted.pieces,
        "rounds": rounds,
        "encoder_seconds": round(statistics.median(own), 5),
        "ratio": round(statistics.median(shares), 4),
        "again_ratio": round(statistics.median(again), 4),
        "again_forwards": forwards,
    }


def _prompt(number: int) -> str:
    """1,000 tokens that begin with something else each time, so that no piece of them is known."""
    words = [COLOURS[(number * 7 + place * (place // 9 + 1)) % len(COLOURS)] for place in range(WORDS)]
    for place in range(9, WORDS, 10):
        words[place] = ","
    return f"(very {COLOURS[number % len(COLOURS)]}:1.{number % 9 + 1}) " + " ".join(words)


def _draw(studio: Studio, clock: _Clock, text: str, seed: int) -> float:
    """Draw one tiny picture; the seconds that encoding took."""
    request = GenerationRequest(
        prompt=PromptParams(text),
        canvas=CanvasParams(SIDE, SIDE),
        sampling=SamplingParams(steps=1),
        seeds=SeedParams(seed, seed),
        output=OutputParams(save=False),
    )
    handle = studio.queue.submit(request, "local")
    handle.wait(300)
    return clock.seconds[handle.id]


def _encoders(studio: Studio) -> tuple[float, int]:
    """Seconds and forwards of all text encoders so far."""
    targets = studio.engine_report().get("targets", {})
    rows = [row for name, row in targets.items() if name.startswith("text_encoder")]
    return sum(row["seconds"] for row in rows), sum(row["forwards"] for row in rows)
