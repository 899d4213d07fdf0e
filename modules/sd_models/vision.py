"""Networks of transformers' kind that look at pictures: opened from folders with config.json and safetensors, and shown
pictures as their folder says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.sd_models.components import build_empty, fill, find_class, read_config
from modules.sd_models.faults import blaming
from modules.sd_models.folders import read_weights
from modules.sd_models.tensors import read_tensors

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, channel by channel, for folders that say nothing of it."""
SIDE = 512
"""Shorter side at which a picture is looked at where the folder says nothing."""
MOST = 1333
"""Longest side at which any picture is looked at."""
STEP = 32
"""Both sides are multiples of that many pixels where the folder says nothing."""


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


@dataclass(frozen=True, slots=True)
class Look:
    """How a network was trained to see pictures."""

    sides: Mapping[str, int]
    """`height` and `width`, or `shortest_edge` and perhaps `longest_edge`, in pixels."""
    mean: tuple[float, ...] = MEAN
    spread: tuple[float, ...] = SPREAD
    keeps_ratio: bool = False
    """Height and width are what one side comes to, whichever changes the picture less."""
    step: int = STEP
    """Sides that follow from the picture's are multiples of it."""
    sampling: Image.Resampling = Image.Resampling.BILINEAR

    @classmethod
    def of(cls, folder: Path) -> Look:
        """What preprocessor_config.json says, as far as there is one. Raises `BrokenModel`."""
        path = folder / "preprocessor_config.json"
        try:
            said = json.loads(path.read_text("utf-8")) if path.is_file() else {}
            said = said if isinstance(said, dict) else {}
            size = said.get("size")
            sides = size if isinstance(size, dict) else {"shortest_edge": size or SIDE}
            sampling = said.get("resample")
            return cls(
                {name: int(side) for name, side in sides.items()},
                tuple(map(float, said.get("image_mean") or MEAN)),
                tuple(map(float, said.get("image_std") or SPREAD)),
                bool(said.get("keep_aspect_ratio")),
                int(said.get("ensure_multiple_of") or STEP),
                Image.Resampling.BILINEAR if sampling is None else Image.Resampling(sampling),
            )
        except (OSError, ValueError, TypeError) as error:
            raise BrokenModel(f"{folder.name}: preprocessor_config.json cannot be read: {error!s:.100}") from error

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """Width and height at which a picture of that size is seen."""
        sides = self.sides
        if "height" in sides and "width" in sides:
            if not self.keeps_ratio:
                return sides["width"], sides["height"]
            scale = min((sides["width"] / width, sides["height"] / height), key=lambda share: abs(1 - share))
        else:
            scale = min(
                sides.get("shortest_edge", SIDE) / min(height, width),
                sides.get("longest_edge", MOST) / max(height, width),
            )
        scale = min(scale, MOST / max(height, width))
        return self._stepped(width * scale), self._stepped(height * scale)

    def show(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """The picture (H, W, 3) as the network sees it, (1, 3, height, width)."""
        seen = self.size_for(image.shape[1], image.shape[0])
        pixels = np.asarray(Image.fromarray(image).resize(seen, self.sampling), np.float32) / 255
        mean, spread = (torch.tensor(each).reshape(1, -1, 1, 1) for each in (self.mean, self.spread))
        return (torch.from_numpy(pixels).permute(2, 0, 1)[None] - mean) / spread

    def _stepped(self, length: float) -> int:
        return max(math.floor(length / self.step + 0.5), 1) * self.step
