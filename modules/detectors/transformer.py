"""Detectors of transformers' kind, from folders with config.json and safetensors: boxes, or classes pixel by pixel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.detectors.base import Find, Pixels, Region, Wish, boxed
from modules.sd_models.components import build_empty, fill, find_class, read_config
from modules.sd_models.faults import blaming
from modules.sd_models.folders import read_weights
from modules.sd_models.tensors import read_tensors

BOXES = frozenset({"YolosForObjectDetection", "DetrForObjectDetection"})
SEGMENTS = frozenset({"SegformerForSemanticSegmentation"})
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, channel by channel, for folders that say nothing of it."""
SIDE = 512
"""Shorter side at which a picture is looked at where the folder says nothing."""
MOST = 1333
"""Longest side at which any picture is looked at."""
STEP = 32
"""Both sides are multiples of that many pixels."""
NOTHING = frozenset({"no-object", "background", "n/a"})
"""Classes that stand for nothing in particular."""
Call = Callable[..., Any]


def load_network(folder: Path) -> Any:
    """The network of a folder, on the CPU in fp32. Raises `BrokenModel`."""
    with blaming(folder.name, "weights"):
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind = find_class(str(next(iter(config.get("architectures") or ()), "")))
        tensors = read_tensors(read_weights(folder).files, Placement("cpu", "float32"))
        network = build_empty(kind, read_config(kind, folder))
        return fill(network, _renamed(network, tensors))


def _renamed(network: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as this version of transformers calls them; files keep the names of the version that made them."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    changes = [change for change in get_model_conversion_mapping(network) if type(change) is WeightRenaming]
    prefix, known = network.base_model_prefix, network.state_dict()
    return {rename_source_key(name, changes, [], prefix, known)[0]: one for name, one in tensors.items()}


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
    look, boxes = _looking(folder), type(network).__name__ in BOXES

    def find(image: Pixels, wish: Wish) -> list[Region]:
        answer = call(pixels=_shown(image, look))
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


def _looking(folder: Path) -> dict[str, Any]:
    """How the network was trained to see pictures, as its folder says."""
    path = folder / "preprocessor_config.json"
    try:
        said = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise BrokenModel(f"{folder.name}: preprocessor_config.json cannot be read: {error!s:.100}") from error
    size = said.get("size") if isinstance(said, dict) else None
    sides = size if isinstance(size, dict) else {"shortest_edge": size or SIDE}
    return {"size": sides, "mean": said.get("image_mean") or MEAN, "spread": said.get("image_std") or SPREAD}


def _shown(image: Pixels, look: Mapping[str, Any]) -> torch.Tensor:
    """The picture as the network sees it, (1, 3, height, width)."""
    height, width = image.shape[:2]
    sides = look["size"]
    if "height" in sides and "width" in sides:
        seen = (int(sides["width"]), int(sides["height"]))
    else:
        short = float(sides.get("shortest_edge") or SIDE)
        scale = min(short / min(height, width), float(sides.get("longest_edge") or MOST) / max(height, width))
        seen = (_stepped(width * scale), _stepped(height * scale))
    pixels = np.asarray(Image.fromarray(image).resize(seen, Image.Resampling.BILINEAR), np.float32) / 255
    mean, spread = (torch.tensor(look[name]).reshape(1, 3, 1, 1) for name in ("mean", "spread"))
    return (torch.from_numpy(pixels).permute(2, 0, 1)[None] - mean) / spread


def _stepped(length: float) -> int:
    return max(round(length / STEP), 1) * STEP
