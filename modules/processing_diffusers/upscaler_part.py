"""Upscalers that are models, as the engine uses them: kept in a pool, with the multiplexer before them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from modules.bootstrap.options import DeviceOptions
from modules.contracts.catalog import UpscalerEntry
from modules.device.select import DeviceChoice
from modules.memory.residency import ModelPool
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.tensors import to_images, to_tensor
from modules.support.settings import Settings
from modules.upscalers.spandrel_model import UpscalerModel, load_upscaler
from modules.upscalers.tiles import enlarge_in_tiles

log = logging.getLogger(__name__)
KEPT = 2
"""Upscalers that stay in memory."""
MARGIN = 16
"""Least pixels of the opposite edge that a seamless picture is given to go on with."""


class UpscalerPart:
    """One loaded upscaler, shared by lanes."""

    def __init__(self, model: UpscalerModel, tiling: Callable[[], tuple[int, int]]) -> None:
        """`tiling` gives tile and overlap in pixels of the small picture; see `modules.upscalers.tiles`."""
        self._model, self._tiling = model, tiling
        self._target = Target("upscale", model.forward, model.module, ("tensor",))
        self.size_bytes = model.size_bytes

    def enlarge(
        self, port: Port, image: Image.Image, size: tuple[int, int], check: Callable[[], None], *, wrap: bool = False
    ) -> Image.Image:
        """`image` at `size` (width, height): the network as often as it takes, then Lanczos to the very size.

        `check` may raise between tiles. With `wrap` the picture goes on at the opposite edge, so tiles stay seamless.
        """
        # One tile at a time: memory is bounded by the tile, and a tile keeps a device busy by itself.
        alone = replace(port, limit=1, patches=())
        made = image.convert("RGB")
        for _ in range(self._model.steps_to(made.size, size)):
            made = self._once(alone, made, check, wrap)
        return made if made.size == size else made.resize(size, Image.Resampling.LANCZOS)

    def _once(self, port: Port, image: Image.Image, check: Callable[[], None], wrap: bool) -> Image.Image:
        tile, overlap = self._tiling()
        tile = 0 if self._model.whole else tile
        margin = min(max(overlap, MARGIN), *image.size) if wrap else 0
        if margin:
            image = Image.fromarray(np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), "wrap"))

        def run(tensor: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = port.call(self._target, tensor=tensor.contiguous())
            return result

        scale, picture = self._model.scale, to_tensor([image])[0]
        large = enlarge_in_tiles(run, picture, scale, tile, min(overlap, tile // 2), check)
        if margin:
            large = large[:, margin * scale : -margin * scale, margin * scale : -margin * scale]
        return to_images(large[None])[0]


class UpscalerShelf:
    """Leases upscalers that are files. Safe from any thread."""

    def __init__(self, choice: DeviceChoice, settings: Settings, options: DeviceOptions) -> None:
        self._settings = settings
        on_cpu = "upscale" in options.use_cpu or not choice.handler.accelerator
        self._device = choice.cpu.torch_device() if on_cpu else choice.handler.torch_device()
        half = "float16" in choice.report.usable and not options.no_half and not on_cpu
        self._dtype = "float16" if half else "float32"
        self._release = choice.handler.empty_cache
        self._pool: ModelPool[object, UpscalerPart] = ModelPool(
            budget=2 << 30, limit=KEPT, size_of=lambda part: part.size_bytes, dispose=lambda part: self._release()
        )

    @contextlib.contextmanager
    def lease(self, entry: UpscalerEntry) -> Iterator[UpscalerPart]:
        """The upscaler, safe until the block ends. Raises `UnsupportedFeature` or `BrokenModel`."""

        def load() -> UpscalerPart:
            return UpscalerPart(load_upscaler(entry, self._device, self._dtype), self._tiles)

        changed = entry.path.stat().st_mtime_ns if entry.path is not None and entry.path.exists() else 0
        with self._pool.lease((str(entry.path), changed), load) as part:
            yield part

    def _tiles(self) -> tuple[int, int]:
        return int(self._settings["ESRGAN_tile"]), int(self._settings["ESRGAN_tile_overlap"])

    def empty(self) -> None:
        """Let go of everything that is not leased now."""
        self._pool.evict_all()
