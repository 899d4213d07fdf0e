"""How well a pocket model obeys: prompts about combinations that training never showed, judged by `judge`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.pocket.captions import plain_caption
from modules.pocket.judge import Verdict, judge
from modules.pocket.sampling import GUIDANCE, STEPS, draw
from modules.pocket.world import HELD_OUT_FILE

PROMPTS = 60
SEED = 1000

_FURTHER = (
    ("two red circles on a white background", "count", 2),
    ("three blue stars on a yellow background", "count", 3),
    ("two green squares on a black background", "count", 2),
    ("three white hearts on a purple background", "count", 3),
    ("a red circle on the left on a white background", "x", -1),
    ("a blue square at the right on a yellow background", "x", 1),
    ("a white star at the top on a blue background", "y", -1),
    ("a green heart at the bottom on a white background", "y", 1),
    ("a small yellow circle on a black background", "cover", -1),
    ("a large purple square on a white background", "cover", 1),
    ("a tiny red heart on a white background", "cover", -1),
    ("a huge orange star on a black background", "cover", 1),
)
"""Prompts about counts, places and sizes: the quantity of the verdict to look at and what it has to be."""


def asked() -> list[tuple[str, str, str]]:
    """The (shape, colour, ground) combinations of the evaluation: the first PROMPTS of the held-out file."""
    rows = json.loads(HELD_OUT_FILE.read_text(encoding="utf-8"))["combinations"][:PROMPTS]
    return [(str(shape), str(colour), str(ground)) for shape, colour, ground in rows]


def evaluate(
    pipeline: Any, limit: int = PROMPTS, steps: int = STEPS, guidance: float = GUIDANCE
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """(figures, pictures) of the first `limit` held-out prompts.

    Shares from 0 to 1: `colour_background`, both right; `shape`, the shape right as well; then each alone. Confusions
    of shapes are counted as "wanted>seen".
    """
    rows = asked()[:limit]
    began = time.perf_counter()
    pictures = draw(pipeline, [plain_caption(*row) for row in rows], SEED, steps, guidance)
    seconds = time.perf_counter() - began
    verdicts = [judge(picture) for picture in pictures]
    pairs = list(zip(rows, verdicts, strict=True))
    confused: dict[str, int] = {}
    for (shape, _, _), seen in pairs:
        if seen.shape != shape:
            confused[f"{shape}>{seen.shape}"] = confused.get(f"{shape}>{seen.shape}", 0) + 1
    figures: dict[str, Any] = {
        "prompts": len(rows),
        "colour_background": _share([(c, g) == (seen.colour, seen.ground) for (_, c, g), seen in pairs]),
        "shape": _share([row == (seen.shape, seen.colour, seen.ground) for row, seen in pairs]),
        "background_alone": _share([g == seen.ground for (_, _, g), seen in pairs]),
        "colour_alone": _share([c == seen.colour for (_, c, _), seen in pairs]),
        "shape_alone": _share([s == seen.shape for (s, _, _), seen in pairs]),
        "one_figure": _share([seen.count == 1 for seen in verdicts]),
        "steps": steps,
        "guidance": guidance,
        "sampler": type(pipeline.scheduler).__name__,
        "seconds_per_picture": round(seconds / max(1, len(rows)), 3),
        "confused": confused,
    }
    return figures, pictures


def evaluate_further(pipeline: Any, repeats: int = 3) -> dict[str, float]:
    """Shares of prompts about counts, places and sizes that were obeyed, each asked with `repeats` seeds."""
    prompts = [text for text, _, _ in _FURTHER for _ in range(repeats)]
    pictures = draw(pipeline, prompts, SEED + 500)
    hits: dict[str, list[bool]] = {"count": [], "place": [], "size": []}
    for place, picture in enumerate(pictures):
        _, quantity, wanted = _FURTHER[place // repeats]
        name = {"x": "place", "y": "place", "cover": "size"}.get(quantity, quantity)
        hits[name].append(_obeys(judge(picture), quantity, wanted))
    return {name: _share(each) for name, each in hits.items()}


def one_picture_seconds(pipeline: Any, steps: int = STEPS) -> float:
    """Wall-clock seconds of one picture drawn alone, the second of two."""
    draw(pipeline, ["a red circle on a white background"], SEED, 2)
    began = time.perf_counter()
    draw(pipeline, ["a red circle on a white background"], SEED, steps)
    return round(time.perf_counter() - began, 2)


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """The figures as JSON, one to a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _obeys(seen: Verdict, quantity: str, wanted: int) -> bool:
    if quantity == "count":
        return seen.count == wanted
    if seen.count == 0:
        return False
    if quantity == "cover":
        return seen.cover < 0.1 if wanted < 0 else seen.cover > 0.22
    value = seen.centre[0] if quantity == "x" else seen.centre[1]
    return (value - 0.5) * wanted > 0.1


def _share(hits: list[bool]) -> float:
    return round(sum(hits) / len(hits), 3) if hits else 0.0
