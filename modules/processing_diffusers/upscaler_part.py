"""Upscalers that are models, as the engine uses them: kept in a pool, with the multiplexer before them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modules.bootstrap.options import DeviceOptions
from modules.contracts.catalog import UpscalerEntry
from modules.contracts.errors import OutOfMemory
from modules.device.base import DeviceHandler
from modules.device.select import DeviceChoice
from modules.memory.guard import is_out_of_memory, recover
from modules.memory.residency import ModelPool
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.sd_models.hashes import hash_model
from modules.support.settings import Settings
from modules.upscalers.spandrel_model import UpscalerModel, load_upscaler
from modules.upscalers.tiles import count_tiles, enlarge_in_tiles

log = logging.getLogger(__name__)
KEPT = 2
"""Upscalers that stay in memory."""
MARGIN = 16
"""Least pixels of the opposite edge that a seamless picture is given to go on with."""
SMALLEST = 64
"""Side of the smallest tile that is tried when memory runs out, pixels."""
Size = tuple[int, int]
Pixels = NDArray[Any]
"""uint8 or uint16."""


class UpscalerPart:
    """One loaded upscaler, shared by lanes."""

    def __init__(
        self, model: UpscalerModel, tiling: Callable[[], tuple[int, int]], handler: DeviceHandler, sha256: str | None
    ) -> None:
        """`tiling` gives tile and overlap in pixels of the small picture; see `modules.upscalers.tiles`."""
        self._model, self._tiling, self._handler = model, tiling, handler
        self._target = Target("upscale", model.forward, model.module, ("tensor",))
        self.size_bytes = model.size_bytes
        self.sha256 = sha256

    def steps(self, size: Size, wanted: Size) -> list[Size]:
        """The sizes that go through the network, one after the other, so that `size` reaches `wanted`."""
        scale, times = self._model.scale, self._model.steps_to(size, wanted)
        return [(size[0] * scale**step, size[1] * scale**step) for step in range(times)]

    def largest(self, size: Size, wanted: Size) -> Size:
        """What comes out of the network before it is brought to `wanted`."""
        width, height = self.steps(size, wanted)[-1]
        return width * self._model.scale, height * self._model.scale

    def tiles(self, size: Size, wanted: Size) -> int:
        """Calls of the network that it takes, as long as memory does not run out."""
        tile, overlap = self.cutting
        return sum(count_tiles(given, tile, overlap) for given in self.steps(size, wanted))

    @property
    def cutting(self) -> tuple[int, int]:
        """Tile and overlap in pixels; a tile of 0 never cuts."""
        tile, overlap = self._tiling()
        tile = 0 if self._model.whole else tile
        return tile, min(overlap, tile // 2)

    def enlarge(
        self, port: Port, image: Image.Image, size: Size, check: Callable[[], None], *, wrap: bool = False
    ) -> Image.Image:
        """`image` at `size` (width, height): the network as often as it takes, then Lanczos to the very size.

        `check` may raise between tiles. With `wrap` the picture goes on at the opposite edge, so tiles stay seamless.
        When memory runs out, it is done again in tiles half as large, down to SMALLEST; then the error goes up.
        """
        made = Image.fromarray(self.grow(port, np.asarray(image.convert("RGB")), size, check, wrap=wrap))
        return made if made.size == size else made.resize(size, Image.Resampling.LANCZOS)

    def grow(self, port: Port, pixels: Pixels, size: Size, check: Callable[[], None], *, wrap: bool = False) -> Pixels:
        """As `enlarge` without the last resize: (height, width, 3) of eight or of sixteen bits, and the same back."""
        # One tile at a time: memory is bounded by the tile, and a tile keeps a device busy by itself.
        alone = replace(port, limit=1, patches=())
        for _ in self.steps((pixels.shape[1], pixels.shape[0]), size):
            pixels = self._step(alone, pixels, check, wrap)
        return pixels

    def _step(self, port: Port, pixels: Pixels, check: Callable[[], None], wrap: bool) -> Pixels:
        tile, overlap = self.cutting
        longest = max(pixels.shape[:2])
        while True:
            try:
                return self._once(port, pixels, check, wrap, (tile, overlap))
            except (RuntimeError, MemoryError, OutOfMemory) as error:
                now = min(tile or longest, longest)
                if not is_out_of_memory(error, self._handler) or self._model.whole or now <= SMALLEST:
                    raise
                recover(self._handler, error)
            tile = max(now // 2, SMALLEST)
            overlap = min(overlap, tile // 2)
            log.warning("memory ran out while enlarging; trying again in tiles of %d pixels", tile)

    def _once(
        self, port: Port, pixels: Pixels, check: Callable[[], None], wrap: bool, cutting: tuple[int, int]
    ) -> Pixels:
        (tile, overlap), top = cutting, np.iinfo(pixels.dtype).max
        margin = min(max(self._tiling()[1], MARGIN), *pixels.shape[:2]) if wrap else 0
        if margin:
            pixels = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), "wrap")

        def run(tensor: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = port.call(self._target, tensor=tensor.contiguous())
            return result

        scale, picture = self._model.scale, torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1).contiguous()
        picture /= top
        large = enlarge_in_tiles(run, picture, scale, tile, overlap, check)
        if margin:
            large = large[:, margin * scale : -margin * scale, margin * scale : -margin * scale]
        # In place: of a large picture every copy in fp32 is as large as all that was needed until here.
        values = large.mul_(top).round_().clamp_(0, top).permute(1, 2, 0)
        # By way of numpy, as torch computes little with uint16.
        return np.ascontiguousarray(values.numpy().astype(pixels.dtype))


class UpscalerShelf:
    """Leases upscalers that are files. Safe from any thread."""

    def __init__(self, choice: DeviceChoice, settings: Settings, options: DeviceOptions) -> None:
        self._settings = settings
        on_cpu = "upscale" in options.use_cpu or not choice.handler.accelerator
        self._handler = choice.cpu if on_cpu else choice.handler
        self.device = self._handler.torch_device()
        half = "float16" in choice.report.usable and not options.no_half and not on_cpu
        self.dtype = "float16" if half else "float32"
        self._pool: ModelPool[object, UpscalerPart] = ModelPool(
            budget=2 << 30,
            limit=KEPT,
            size_of=lambda part: part.size_bytes,
            dispose=lambda part: self._handler.empty_cache(),
        )

    @contextlib.contextmanager
    def lease(self, entry: UpscalerEntry) -> Iterator[UpscalerPart]:
        """The upscaler, safe until the block ends. Raises `UnsupportedFeature` or `BrokenModel`."""

        def load() -> UpscalerPart:
            model = load_upscaler(entry, self.device, self.dtype)
            sha256 = None if entry.path is None else hash_model(entry.path)
            return UpscalerPart(model, self._tiles, self._handler, sha256)

        changed = entry.path.stat().st_mtime_ns if entry.path is not None and entry.path.exists() else 0
        with self._pool.lease((str(entry.path), changed), load) as part:
            yield part

    def _tiles(self) -> tuple[int, int]:
        return int(self._settings["ESRGAN_tile"]), int(self._settings["ESRGAN_tile_overlap"])

    def empty(self) -> None:
        """Let go of everything that is not leased now."""
        self._pool.evict_all()
