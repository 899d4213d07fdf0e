"""Faces of finished pictures restored: found, cut out upright, drawn anew by a network, and put back softly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from modules.bootstrap.options import DeviceOptions
from modules.contracts.catalog import RestorerEntry
from modules.contracts.errors import UnknownModel
from modules.contracts.plan import FacePlan
from modules.detectors.base import Pixels, Region, Wish
from modules.device.select import DeviceChoice
from modules.memory.residency import ModelPool
from modules.processing_diffusers.detector_part import DetectorShelf
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.tensors import to_tensor
from modules.sd_models.hashes import hash_model
from modules.upscalers.face_alignment import Placing, cut_face, place_by_box, place_by_points, put_back
from modules.upscalers.face_network import FaceNetwork, load_restorer

SURE = 0.5
"""How sure a detector has to be of a face."""
LOOK = 1280
"""Longest side of the picture that detectors look at, pixels; they were trained on smaller ones."""
SMALLEST = 10.0
"""Pixels of the picture below which a box is no face."""


class FacePart:
    """One loaded restorer, shared by lanes."""

    def __init__(self, network: FaceNetwork, sha256: str) -> None:
        self._target = Target("restore", network.forward, network.module, ("tensor",))
        self.size_bytes = network.size_bytes
        self.sha256 = sha256

    def draw(self, port: Port, face: Pixels, weight: float) -> Pixels:
        """The aligned face, drawn anew."""
        alone = replace(port, limit=1, patches=())
        made: torch.Tensor = alone.call(self._target, tensor=to_tensor([Image.fromarray(face)]), weight=weight)
        values: Pixels = made[0].mul(255).round_().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return values


@dataclass(frozen=True, slots=True)
class Faces:
    """Restores the faces of a job's pictures."""

    plan: FacePlan
    network: FacePart
    detectors: DetectorShelf

    def restore(self, port: Port, image: Image.Image, check: Callable[[], None]) -> Image.Image:
        """A picture (RGB or RGBA, whose transparency stays) with its faces restored, largest first.

        Pixels away from faces stay bit for bit. `check` is called before each face and may raise to stop.
        """
        if self.plan.share <= 0:
            return image
        pixels = np.asarray(image.convert("RGB"))
        for placing in self._places(port, pixels):
            check()
            face = self.network.draw(port, cut_face(pixels, placing), self.plan.weight)
            pixels = put_back(pixels, face, placing, self.plan.share)
        made = Image.fromarray(pixels)
        if image.mode == "RGBA":
            made.putalpha(image.getchannel("A"))
        return made

    def _places(self, port: Port, pixels: Pixels) -> list[Placing]:
        height, width = pixels.shape[:2]
        shrink = max(height, width) / LOOK
        seen = pixels
        if shrink > 1:
            small = (max(round(width / shrink), 1), max(round(height / shrink), 1))
            seen = np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.BOX))
        found = self.detectors.regions(self.plan.detector, seen, Wish(confidence=SURE), port)
        by = (width / seen.shape[1], height / seen.shape[0])
        return list(_placings(found, by))


def _placings(found: Sequence[Region], by: tuple[float, float]) -> Iterator[Placing]:
    """How each face lies, largest first; `by` brings what was looked at to the picture's size."""

    def area(region: Region) -> int:
        left, top, right, bottom = region.box
        return (right - left) * (bottom - top)

    for region in sorted(found, key=lambda each: -area(each)):
        left, top, right, bottom = region.box
        box = (left * by[0], top * by[1], right * by[0], bottom * by[1])
        if min(box[2] - box[0], box[3] - box[1]) < SMALLEST:
            continue
        placing = place_by_points([(x * by[0], y * by[1]) for x, y in region.points]) if region.points else None
        yield placing or place_by_box(box)


class FaceShelf:
    """Leases restorers. Safe from any thread."""

    def __init__(self, choice: DeviceChoice, options: DeviceOptions, detectors: DetectorShelf) -> None:
        on_cpu = "upscale" in options.use_cpu or not choice.handler.accelerator
        handler = choice.cpu if on_cpu else choice.handler
        self._device, self._detectors = handler.torch_device(), detectors
        self._pool: ModelPool[object, FacePart] = ModelPool(
            budget=2 << 30, limit=2, size_of=lambda part: part.size_bytes, dispose=lambda part: handler.empty_cache()
        )

    @contextlib.contextmanager
    def lease(self, plan: FacePlan | None) -> Iterator[Faces | None]:
        """What restores faces by that plan, safe until the block ends; None for none.

        Raises `UnsupportedFeature`, `BrokenModel`, or `UnknownModel` for a file that has gone.
        """
        if plan is None:
            yield None
            return
        entry = plan.restorer
        try:
            changed = entry.path.stat().st_mtime_ns
        except OSError:
            raise UnknownModel(f"The face restorer {entry.name} is not there any more.") from None
        with self._pool.lease((str(entry.path), changed), lambda: self._load(entry)) as part:
            yield Faces(plan, part, self._detectors)

    def _load(self, entry: RestorerEntry) -> FacePart:
        return FacePart(load_restorer(entry, self._device), hash_model(entry.path))

    def empty(self) -> None:
        """Let go of everything that is not leased now."""
        self._pool.evict_all()
