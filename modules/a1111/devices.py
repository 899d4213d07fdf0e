"""A1111's `modules.devices`."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any


class NansException(Exception):
    """A1111's, for `except`."""


def get_optimal_device() -> Any:
    """The device that torch would draw on."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def get_optimal_device_name() -> str:
    """Its name."""
    return str(get_optimal_device())


def torch_gc() -> None:
    """Objects that nobody holds go; device memory is the engine's to return."""
    gc.collect()


@contextlib.contextmanager
def autocast(disable: bool = False) -> Iterator[None]:
    """The engine chooses precisions; nothing changes inside."""
    yield


without_autocast = autocast


def __getattr__(name: str) -> Any:
    """`device`, `cpu`, `dtype` and their kin, once torch is wanted."""
    import torch

    if name in ("device", "device_interrogate", "device_gfpgan", "device_esrgan", "device_codeformer"):
        return get_optimal_device()
    if name == "cpu":
        return torch.device("cpu")
    if name in ("dtype", "dtype_unet", "dtype_vae"):
        return torch.float32
    raise AttributeError(f"modules.devices has no {name!r} here")
