"""Upscalers from files of weights, in any of the architectures that spandrel knows (Compact, ESRGAN, SwinIR and more).

spandrel is an extra: it is imported when the first such upscaler is used, and what says that it is missing says how to
get it. Only safetensors are opened; a pickle is a program.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from pathlib import Path
from typing import Any

from modules.contracts.catalog import UpscalerEntry
from modules.contracts.errors import BrokenModel, UnsupportedFeature, reason_of

log = logging.getLogger(__name__)
COMMAND = "python launch.py --extra upscale"
TIMES = 3
"""How often a model is applied at most, one after the other, to reach a size."""
_opening = threading.Lock()


def check_upscaler(entry: UpscalerEntry) -> None:
    """Raise `BrokenModel` or `UnsupportedFeature` where it can be told beforehand that it cannot be used.

    Imports nothing heavy.
    """
    if entry.problem is not None:
        raise BrokenModel(entry.problem)
    if entry.path is not None and importlib.util.find_spec("spandrel") is None:
        raise UnsupportedFeature(
            f"The upscaler {entry.name!r} is a model, and models are opened by the package spandrel, which is not "
            f"installed; get it with: {COMMAND}"
        )


class UpscalerModel:
    """A network that enlarges RGB pictures by a whole factor. Safe to call from one thread at a time."""

    def __init__(self, descriptor: Any, name: str) -> None:
        self._descriptor = descriptor
        self.name = name
        self.scale = int(descriptor.scale)
        self.module = descriptor.model
        self.size_bytes = sum(item.numel() * item.element_size() for item in self.module.state_dict().values())
        self.whole = descriptor.tiling.name == "INTERNAL"
        """It divides the picture itself, so it has to see all of it."""

    def forward(self, tensor: Any) -> Any:
        """(n, 3, h, w) in [0, 1] to (n, 3, h · scale, w · scale) in [0, 1], fp32 on the CPU."""
        import torch

        with torch.no_grad():
            given = tensor.to(self._descriptor.device, self._descriptor.dtype)
            return torch.cat([self._descriptor(each[None]).float().cpu() for each in given])

    def steps_to(self, size: tuple[int, int], wanted: tuple[int, int]) -> int:
        """How often to apply it so that `size` reaches `wanted` on both sides; at least once, at most TIMES."""
        steps, (width, height) = 1, (size[0] * self.scale, size[1] * self.scale)
        while self.scale > 1 and steps < TIMES and (width < wanted[0] or height < wanted[1]):
            steps, width, height = steps + 1, width * self.scale, height * self.scale
        return steps


def load_upscaler(entry: UpscalerEntry, device: str = "cpu", dtype: str = "float32") -> UpscalerModel:
    """Open the file. A network that cannot compute in `dtype` computes in fp32.

    Raises `UnsupportedFeature` where spandrel is missing, `BrokenModel` for a file of no known architecture or of one
    that does something else than enlarging RGB pictures.
    """
    check_upscaler(entry)
    if entry.path is None:
        raise ValueError(f"The upscaler {entry.name!r} has no file.")
    descriptor = open_network(entry.path, "an upscaler")
    if descriptor.purpose == "Inpainting":
        raise BrokenModel(f"{entry.path.name} fills holes ({descriptor.architecture.name}) and is no upscaler.")
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        given, made = descriptor.input_channels, descriptor.output_channels
        raise BrokenModel(f"{entry.path.name} takes {given} channels and makes {made}; upscalers here take and make 3.")
    import torch

    can = {"float16": descriptor.supports_half, "bfloat16": descriptor.supports_bfloat16}
    descriptor.eval().to(device=torch.device(device), dtype=getattr(torch, dtype if can.get(dtype) else "float32"))
    descriptor.model.requires_grad_(False)
    log.info("opened the upscaler %s: %s, x%d", entry.name, descriptor.architecture.name, descriptor.scale)
    return UpscalerModel(descriptor, entry.name)


def open_network(path: Path, what: str) -> Any:
    """spandrel's descriptor of the network in a file, on the CPU. Raises `BrokenModel`, which says that it is not
    `what` it was taken for."""
    with _opening:  # two threads that import one heavy package at once may see half of it
        import spandrel
        from safetensors import SafetensorError

    try:
        return spandrel.ModelLoader("cpu").load_from_file(path)
    except spandrel.UnsupportedModelError as error:
        raise BrokenModel(f"{path.name} is of no architecture that spandrel knows.") from error
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise BrokenModel(f"{path.name} cannot be opened as {what}: {reason_of(error).splitlines()[0]}.") from error
