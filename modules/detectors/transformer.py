"""Detectors of transformers' kind, from folders with config.json and safetensors: boxes, or classes pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.detectors.base import Find, Pixels, Region, Wish, boxed
from modules.sd_models.vision import Look

BOXES = frozenset({"YolosForObjectDetection", "DetrForObjectDetection"})
SEGMENTS = frozenset({"SegformerForSemanticSegmentation"})
NOTHING = frozenset({"no-object", "background", "n/a"})
"""Classes that stand for nothing in particular."""
Call = Callable[..., Any]


def see_with(network: Any) -> Callable[..., tuple[torch.Tensor, ...]]:
    """A function of `pixels`: scores of each place and its box in shares, or scores of each class at each cell."""
    boxes = type(network).__name__ in BOXES

    def see(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            found = network(pixel_values=pixels)
        return (found.logits, found.pred_boxes) if boxes else (found.logits,)

    return see


def make_finder(folder: Path, network: Any, call: Call) -> Find:
    """The detector; `call(pixels=...)` runs `see_with(network)`."""
    names = {int(number): str(name) for number, name in network.config.id2label.items()}
    look, boxes = Look.of(folder), type(network).__name__ in BOXES

    def find(image: Pixels, wish: Wish) -> list[Region]:
        answer = call(pixels=look.show(image))
        rows = [one.detach().float().cpu() for one in answer]
        size = (image.shape[1], image.shape[0])
        return _boxes(rows[0][0], rows[1][0], size, names, wish) if boxes else _segments(rows[0], size, names, wish)

    return find


def _boxes(
    logits: torch.Tensor, places: torch.Tensor, size: tuple[int, int], names: Mapping[int, str], wish: Wish
) -> list[Region]:
    """Boxes of DETR's kind (Carion et al., arXiv:2005.12872): the last class is nothing, boxes are middle and size in
    shares of the picture."""
    scores = logits.softmax(-1)[:, :-1]
    best, numbers = scores.max(-1)
    order = best.argsort(descending=True, stable=True).tolist()
    found = []
    for place in order:
        number, score = int(numbers[place]), float(best[place])
        name = names.get(number, str(number))
        if score < wish.confidence or not _wanted(name, number, wish):
            continue
        x, y, width, height = places[place].tolist()
        corners = ((x - width / 2), (y - height / 2), (x + width / 2), (y + height / 2))
        scaled = [value * size[axis % 2] for axis, value in enumerate(corners)]
        region = boxed(size, scaled, score, name)
        if region is not None:
            found.append(region)
    return found


def _segments(logits: torch.Tensor, size: tuple[int, int], names: Mapping[int, str], wish: Wish) -> list[Region]:
    """One region for each class that is the likeliest somewhere; its score is its mean share there."""
    large = torch.nn.functional.interpolate(logits, (size[1], size[0]), mode="bilinear")[0].softmax(0)
    best, numbers = large.max(0)
    found = []
    for number in numbers.unique().tolist():
        name, inside = names.get(number, str(number)), numbers == number
        score = float(best[inside].mean())
        if score >= wish.confidence and _wanted(name, number, wish):
            found.append(Region((inside.numpy() * 255).astype(np.uint8), score, name))
    return found


def _wanted(name: str, number: int, wish: Wish) -> bool:
    if not wish.classes:
        return name.casefold() not in NOTHING
    return name.casefold() in wish.classes or str(number) in wish.classes
