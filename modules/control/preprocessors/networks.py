"""Maps that networks make: how near everything is, what it is in the colours of its kind, and how people stand."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.contracts.controls import PreprocessorEntry
from modules.control.figures import FIGURES
from modules.control.preprocessors.base import Pixels, as_rgb
from modules.control.preprocessors.convnets.maps import ARTISTS, Artist
from modules.control.preprocessors.convnets.opening import open_network
from modules.control.preprocessors.kept import Maps
from modules.control.preprocessors.poses import Cutting, draw_figures, to_openpose
from modules.control.preprocessors.wholebody import WholeBody, draw_people
from modules.memory.residency import ModelPool
from modules.sd_models.components import size_of
from modules.sd_models.scan import signature
from modules.sd_models.vision import Look, load_network

POOL_BYTES = 2 << 30
"""Networks that nobody looks with go when all together are larger."""
KEPT = 3
"""Networks that stay in memory."""
MAP_BYTES = 64 << 20
"""Of the maps that stay in memory: some fifty of the usual size."""
NEAR, FAR = 2.0, 85.0
"""Percentiles of distances that become white and black, as depth ControlNets were trained on metric depth."""
PERSON, SURE = "person", 0.5
"""Whom poses are of, and how sure a detector has to be."""
PALETTE = np.frombuffer(
    bytes.fromhex(
        "787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d 787846 08ff33 "
        "ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 0907e6 dcdcdc ff095c 7009ff "
        "08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff "
        "eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00 ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff "
        "0bc8c8 ff5200 00fff5 003dff 00ff70 00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad "
        "0a00ff adff00 00ff99 ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 "
        "00ff52 000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00 08b8aa "
        "8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff 9900ff 47ff00 ff00a3 "
        "ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00 00ccff 1400ff ffff00 0099ff 0029ff "
        "00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8 005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff "
    ),
    np.uint8,
).reshape(-1, 3)
"""Colours of the 150 classes of ADE20K in order, (150, 3); two of them are alike there as well."""


@dataclass(frozen=True, eq=False, slots=True)
class _Loaded:
    network: Any
    look: Look
    """How it sees pictures; small networks say that themselves."""


class Annotators:
    """The networks in memory, on the CPU in fp32, and the maps that they made last. Safe from any thread."""

    def __init__(self) -> None:
        self._maps = Maps(MAP_BYTES)
        self._pool: ModelPool[str, _Loaded] = ModelPool(
            budget=POOL_BYTES, limit=KEPT, size_of=lambda loaded: size_of({"annotator": loaded.network})
        )

        self._people: ModelPool[str, WholeBody] = ModelPool(
            budget=POOL_BYTES, limit=1, size_of=lambda network: network.size_bytes
        )

    def see(self, entry: PreprocessorEntry, image: Pixels, numbers: Sequence[float] = ()) -> Pixels:
        """The map that the entry's network makes, of the picture's size, by the entry's numbers or its own. Raises
        `BrokenModel`.

        A network of poses looks at each person whom the finder's network finds; without one, at the picture as at one
        person. A picture is looked at once while its map is among the last ones, which cannot be written into.
        """
        assert entry.weights is not None  # one without is not found
        finder = None if entry.finder is None else signature(entry.finder)[0]
        asked = (entry.name, signature(entry.weights)[0], finder, tuple(numbers))
        return self._maps.get(asked, image, lambda: self._look(entry, image, numbers))

    def _look(self, entry: PreprocessorEntry, image: Pixels, numbers: Sequence[float]) -> Pixels:
        assert entry.weights is not None
        weights = entry.weights
        artist, parts = ARTISTS.get(entry.name), FIGURES.get(entry.name)
        if parts is not None:
            boxes = self._find_people(entry.finder, image)
            with self._people.lease(signature(entry.weights)[0], lambda: WholeBody(weights)) as whole:
                return draw_people([whole.find_points(image, box) for box in boxes], parts, image.shape[:2])
        if artist is not None:
            with self._lease(entry.weights, artist) as loaded, torch.no_grad():
                return artist.draw(loaded.network, image, numbers or [slider.default for slider in entry.sliders])
        with self._lease(entry.weights) as loaded:
            if loaded.network.config.model_type == "vitpose":
                return _draw_people(loaded, image, self._find_people(entry.finder, image))
            with torch.no_grad():
                said = loaded.network(pixel_values=loaded.look.show(image))
            depth = getattr(said, "predicted_depth", None)
            if depth is None:
                return _colour(said.logits, image.shape[:2])
            return as_rgb(_brighten(_grown(depth[:, None], image.shape[:2])[0, 0], is_metric(loaded.network.config)))

    def _lease(self, weights: Path, artist: Artist | None = None) -> contextlib.AbstractContextManager[_Loaded]:
        def load() -> _Loaded:
            if artist is not None:
                return _Loaded(open_network(weights, artist.build), Look({}))
            return _Loaded(load_network(weights), Look.of(weights))

        return self._pool.lease(signature(weights)[0], load)

    def _find_people(self, finder: Path | None, image: Pixels) -> list[list[float]]:
        """Boxes (left, top, right, bottom) in pixels."""
        height, width = image.shape[:2]
        if finder is None:
            return [[0, 0, width - 1, height - 1]]
        with self._lease(finder) as loaded, torch.no_grad():
            said = loaded.network(pixel_values=loaded.look.show(image))
            names = {int(number): str(name).casefold() for number, name in loaded.network.config.id2label.items()}
        scores, numbers = said.logits[0].softmax(-1)[:, :-1].max(-1)
        found = []
        for score, number, (x, y, across, down) in zip(scores, numbers, said.pred_boxes[0], strict=True):
            if names.get(int(number)) == PERSON and score >= SURE:
                sides = torch.stack([x - across / 2, y - down / 2, x + across / 2, y + down / 2])
                found.append((sides * torch.tensor([width, height, width, height])).tolist())
        return found

    def empty(self) -> None:
        """Let go of all that nobody looks with, and of the maps."""
        self._maps.empty()
        self._pool.evict_all()
        self._people.evict_all()


def _draw_people(loaded: _Loaded, image: Pixels, boxes: Sequence[Sequence[float]]) -> Pixels:
    """The figure of each person on black."""
    config, people = loaded.network.config, []
    height, width = config.backbone_config.image_size
    # Networks of several experts were trained on several data sets, of which COCO is the first.
    experts = {"dataset_index": torch.zeros(1, dtype=torch.long)} if config.backbone_config.num_experts > 1 else {}
    for box in boxes:
        cutting = Cutting.of(box, width / height)
        shown = replace(loaded.look, sides={"height": height, "width": width}, keeps_ratio=False)
        with torch.no_grad():
            said = loaded.network(pixel_values=shown.show(cutting.cut(image, (width, height))), **experts)
        people.append(to_openpose(cutting.find_points(said.heatmaps[0].numpy())))
    return draw_figures(people, image.shape[:2])


def is_metric(config: Any) -> bool:
    """Whether a depth network says distances; others say how near things are."""
    return config.model_type == "zoedepth" or getattr(config, "depth_estimation_type", None) == "metric"


def _grown(planes: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    return torch.nn.functional.interpolate(planes.float(), size, mode="bilinear", align_corners=False)


def _brighten(depth: torch.Tensor, metric: bool) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What is near bright, 0 to 255; black where everything is equally far."""
    plane = depth.numpy()
    low, high = np.percentile(plane, (NEAR, FAR)) if metric else (plane.min(), plane.max())
    if not high > low:
        return np.zeros_like(plane)
    share = np.clip((plane - low) / (high - low), 0, 1)
    return np.asarray((1 - share if metric else share) * 255, np.float32)


def _colour(logits: torch.Tensor, size: tuple[int, ...]) -> Pixels:
    """Each pixel in the colour of its likeliest class."""
    return np.asarray(PALETTE[_grown(logits, size)[0].argmax(0).numpy()])
