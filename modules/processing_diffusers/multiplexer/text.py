"""The stand-in of a text encoder: diffusers also reaches past its call for one layer.

That layer is called through the multiplexer too, because the weights of a shared module may be on their way to or from
the device, and only the thread that runs forwards knows where they are.
"""

from __future__ import annotations

from typing import Any

import torch

from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import Port, StandIn


class _InFp32:
    """A small layer called with fp32 whatever its weights are in."""

    def __init__(self, layer: Any, port: Port) -> None:
        self._layer, self._port = layer, port

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self._port.call(Target("text_norm", self._compute, None), tensor=tensor)
        return result

    def _compute(self, tensor: torch.Tensor) -> torch.Tensor:
        weight = self._layer.weight
        result: torch.Tensor = self._layer(tensor.to(weight.device, weight.dtype)).to(tensor.device, torch.float32)
        return result


class _TextModel:
    """What diffusers calls `text_model`. Since version 5 of transformers that is the encoder itself."""

    def __init__(self, module: Any, port: Port) -> None:
        self._module, self._port = getattr(module, "text_model", module), port

    @property
    def final_layer_norm(self) -> _InFp32:
        """The norm that clip skip applies to an earlier layer's output."""
        return _InFp32(self._module.final_layer_norm, self._port)


class TextStandIn(StandIn):
    """A `StandIn` with the one inner part that pipelines use by name."""

    @property
    def text_model(self) -> _TextModel:
        """See `_TextModel`."""
        return _TextModel(self._target.module, self._port)
