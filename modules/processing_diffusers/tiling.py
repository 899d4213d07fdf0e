"""Pictures whose edges meet: convolutions that look across the border to the opposite side."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Hashable, Iterator
from typing import Any

import torch


class CircularPadding:
    """A patch of the multiplexer: holds for the calls that carry it only, so other lanes draw as ever meanwhile."""

    signature: Hashable = "circular-padding"
    whole: bool = True
    """It is for a picture that is seen whole, with all of its edges."""

    def __init__(self) -> None:
        self._found: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()

    @contextlib.contextmanager
    def applied(self, module: Any) -> Iterator[None]:
        """Pad all zero-padded 2-D convolutions of `module` circularly; every mode is put back on leaving."""
        convolutions = [item for item in self._convolutions(module) if item.padding_mode == "zeros"]
        try:
            for item in convolutions:
                item.padding_mode = "circular"
            yield
        finally:
            for item in convolutions:
                item.padding_mode = "zeros"

    def _convolutions(self, module: Any) -> list[Any]:
        found = self._found.get(module)
        if found is None:
            found = [
                item
                for item in module.modules()
                if isinstance(item, torch.nn.Conv2d) and not isinstance(item.padding, str) and any(item.padding)
            ]
            self._found[module] = found
        return found
