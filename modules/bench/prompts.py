"""What a long prompt costs above what its text encoder itself takes, and what it costs once it is known."""

from __future__ import annotations

import dataclasses
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.app import build_studio
from modules.bench.rig import bounded, timed
from modules.bootstrap.options import Options
from modules.contracts.errors import NotReady, UnsupportedFeature
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
    from torch import Tensor

    from modules.support.studio import Studio

WORDS = 1000
"""Of one token each, commas among them."""
SIDE = 64
"""Pixels: the picture itself does not matter here."""
MOST, MOST_AGAIN = 1.2, 0.1
"""Bounds, as shares of what the encoder takes by itself: of a new prompt, and of one that is known."""
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
    """`encoder_ratio`: seconds of the encoding stage for a prompt of 1,000 tokens over those of one forward of the text
    encoder for pieces that lie ready; `ratio`: over those of the libraries' own tokenizer and that forward;
    `again_ratio`: the same stage over the forward for a prompt that is known. Each is the least of the rounds, as what
    else a machine does can only add to so short a time.

    The stage holds everything from the words to what the denoiser is conditioned on. No
    two pieces of a prompt are alike, so that each has to be read. Its words were met in rounds before.
    """
    import torch

    torch.get_num_threads()  # settles this thread's pool, so that the bare side has what the studio's executor has
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        paths = dataclasses.replace(options.paths, data_dir=Path(folder))
        studio = build_studio(dataclasses.replace(options, paths=paths))
        try:
            if not studio.status.wait(180):
                raise NotReady(studio.status.message)
            figures = _measure(studio, rounds)
        finally:
            studio.close()
    found = bounded(figures, "encoder_ratio", most=MOST)
    again = bounded(figures, "again_ratio", most=MOST_AGAIN)
    held = found["held"] and again["held"] and figures["again_forwards"] == 0
    return {**found, "bound": f"{found['bound']}, {again['bound']} and no forward", "held": held}


def _measure(studio: Studio, rounds: int) -> dict[str, Any]:
    clock, (cut, read) = _Clock(), _bare_encoder(studio)
    alone, both = list[float](), list[float]()
    fresh, again, forwards = list[float](), list[float](), 0
    with studio.bus.listening(clock):
        _draw(studio, clock, _prompt(-1), 0)
        read(cut(_prompt(-1)))
        for number in range(rounds):
            text = _prompt(number)
            rows = cut(text)
            alone.append(timed(lambda ready=rows: read(ready)))  # type: ignore[misc]
            both.append(timed(lambda words=text: read(cut(words))))  # type: ignore[misc]
            fresh.append(_draw(studio, clock, text, 1))
            before = _forwards(studio)
            again.append(_draw(studio, clock, text, 2))
            forwards += _forwards(studio) - before
    counted = studio.prompts.count(_prompt(0), None, 1)
    return {
        "tokens": counted.tokens,
        "pieces": counted.pieces,
        "rounds": rounds,
        "encoder_seconds": _spread(alone),
        "bare_seconds": _spread(both),
        "seconds": _spread(fresh),
        "again_seconds": _spread(again),
        "encoder_ratio": round(min(fresh) / min(alone), 4),
        "ratio": round(min(fresh) / min(both), 4),
        "again_ratio": round(min(again) / min(alone), 4),
        "again_forwards": forwards,
    }


def _bare_encoder(studio: Studio) -> tuple[Callable[[str], Tensor], Callable[[Tensor], None]]:
    """The libraries' own tokenizer of the default model, and its encoder where the studio has it, in its precision."""
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    entry = studio.catalog.find_model(None)
    if entry.layout != "diffusers" or studio.catalog.family(entry.family or "").adapter != "sd":
        raise UnsupportedFeature(f"{entry.name} is no diffusers folder of Stable Diffusion 1 or 2; bench needs one.")
    place = studio.device_report()["placements"]["text_encoder"]
    dtype = getattr(torch, place["dtype"])
    tokenizer = CLIPTokenizer.from_pretrained(entry.path / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(entry.path / "text_encoder", dtype=dtype, local_files_only=True)
    encoder = encoder.to(place["device"]).eval()
    room = tokenizer.model_max_length - 2

    def cut(text: str) -> Tensor:
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        rows = [ids[begin : begin + room] for begin in range(0, len(ids), room)]
        end = tokenizer.eos_token_id
        rows = [[tokenizer.bos_token_id, *row, *[end] * (room + 1 - len(row))] for row in rows]
        return torch.tensor(rows, device=place["device"])

    def read(rows: Tensor) -> None:
        with torch.no_grad():
            encoder(rows)

    return cut, read


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"least": round(min(seconds), 5), "p50": round(statistics.median(seconds), 5)}


def _prompt(number: int) -> str:
    """1,000 tokens by chance, so that no piece of them is known or comes twice."""
    lot = random.Random(number)
    words = [lot.choice(COLOURS) for _ in range(WORDS)]
    for place in range(9, WORDS, 10):
        words[place] = ","
    return f"(very {COLOURS[number % len(COLOURS)]}:1.{abs(number) % 9 + 1}) " + " ".join(words)


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


def _forwards(studio: Studio) -> int:
    """Forwards of all text encoders so far."""
    targets = studio.engine_report().get("targets", {})
    return sum(int(row["forwards"]) for name, row in targets.items() if name.startswith("text_encoder"))
