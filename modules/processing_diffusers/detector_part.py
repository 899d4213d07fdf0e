"""Detectors of a job: leased from a pool; their networks are called through the multiplexer where torch has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from modules.contracts.detailer import RegionParams
from modules.contracts.detectors import DetectorEntry
from modules.contracts.errors import BrokenModel, UnknownModel
from modules.detectors.base import Find, Pixels, Region, Shape, Wish, split_classes
from modules.detectors.colours import find_colours, find_contrasts
from modules.detectors.selection import select_masks
from modules.detectors.transformer import make_finder, see_with
from modules.detectors.yolo import load_yolo, load_yunet
from modules.memory.residency import ModelPool
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.pictures import decode_mask
from modules.sd_models.components import size_of
from modules.sd_models.scan import signature
from modules.sd_models.vision import load_network

POOL_BYTES = 2 << 30
"""Detectors that no job uses go when all together are larger."""
KEPT = 4
"""Detectors that stay in memory."""
PLAIN = {"colour": find_colours, "contrast": find_contrasts}


@dataclass(frozen=True, eq=False, slots=True)
class _Loaded:
    """A detector in memory: a function, or a network that is called through the multiplexer."""

    find: Find | None
    network: Any
    target: Target | None
    size_bytes: int


class DetectorShelf:
    """Finds regions. Safe from several lanes."""

    def __init__(self) -> None:
        self._pool: ModelPool[object, _Loaded] = ModelPool(
            budget=POOL_BYTES, limit=KEPT, size_of=lambda loaded: loaded.size_bytes
        )

    def find(self, entry: DetectorEntry, wanted: RegionParams, image: Image.Image, port: Port) -> list[Image.Image]:
        """Masks of the regions of a picture, of its size; white is drawn anew. Raises `BrokenModel`, `UnknownModel`,
        or `InvalidRequest` for a mask that cannot be read and words that are no colours."""
        pixels, wish = np.asarray(image.convert("RGB")), Wish(split_classes(wanted.classes), wanted.confidence)
        masks: Sequence[Shape]
        if entry.kind == "mask":
            masks = select_masks(list(_given(wanted.mask, image)), wanted)
        elif entry.kind in PLAIN:
            masks = select_masks(PLAIN[entry.kind](pixels, wish), wanted)
        else:
            masks = select_masks(self.regions(entry, pixels, wish, port), wanted)
        return [Image.fromarray(mask) for mask in masks]

    def regions(self, entry: DetectorEntry, pixels: Pixels, wish: Wish, port: Port) -> list[Region]:
        """All finds of a detector that has weights. Raises `BrokenModel` or `UnknownModel`."""
        path = entry.path
        assert path is not None  # only those without weights have none
        try:
            sign, _ = signature(path)
        except OSError:
            raise UnknownModel(f"The detector {entry.name} is not there any more.") from None
        with contextlib.ExitStack() as stack:
            loaded = stack.enter_context(
                self._pool.lease((sign, entry.kind), lambda: _load(entry), expected=entry.size_bytes)
            )
            if loaded.find is not None:
                return loaded.find(pixels, wish)
            target = loaded.target
            assert target is not None
            return make_finder(path, loaded.network, lambda **given: port.call(target, **given))(pixels, wish)

    def empty(self) -> None:
        """Let go of all detectors that no job uses."""
        self._pool.evict_all()


def _load(entry: DetectorEntry) -> _Loaded:
    path = entry.path
    assert path is not None
    if entry.kind in ("boxes", "segments"):
        network = load_network(path)
        target = Target("detector", see_with(network), network, ("pixels",))
        return _Loaded(None, network, target, size_of({"detector": network}))
    if entry.kind not in ("yolo", "yunet"):
        raise BrokenModel(entry.problem or f"{entry.name} is no detector.")
    try:
        return _Loaded((load_yolo if entry.kind == "yolo" else load_yunet)(path), None, None, entry.size_bytes)
    except OSError as error:
        raise BrokenModel(f"{entry.name} cannot be read: {error.strerror}.") from error


def _given(mask: bytes, image: Image.Image) -> Iterator[Region]:
    """The whole of a mask that came with the request, which lies over the picture."""
    shape = np.asarray(decode_mask(mask, "The detailer's mask").resize(image.size, Image.Resampling.BILINEAR))
    if (shape > 0).any():
        yield Region(shape, 1.0)
