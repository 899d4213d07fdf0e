"""What a network does to one layer, beside it or as a difference of its weights.

A layer is linear in its weight and bias, so the answer of the changed layer is the plain answer and, added to it, the
answer of the same layer with the differences in place of the weights. The base weights are never written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.networks.methods import lora

Pair = tuple[Tensor | None, Tensor | None]
"""Differences of weight and bias; None changes nothing."""
CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


class Change(ABC):
    """One network's part in one layer. Used by the thread that runs forwards, and by baking."""

    _placed: tuple[Any, Any] | None = None
    """What stands where the layer computes, behind its device and type; None until the layer was asked."""

    @abstractmethod
    def difference(self, layer: Any) -> Pair:
        """What is added to weight and bias at weight 1, in fp32, in their shapes."""

    @abstractmethod
    def answer(self, layer: Any, given: Tensor, like: Tensor) -> Tensor:
        """What is added to the layer's output for `given` at weight 1, on the device and in the type of `like`."""

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Size of what it holds."""

    @property
    @abstractmethod
    def beside_layer(self) -> int:
        """Of it, what stands where the layer computes once that was asked."""

    @property
    def placed(self) -> bool:
        """The layer was asked."""
        return self._placed is not None


class LowRank(Change):
    """Two or three small matrices, answered one after the other: rank (in + out) instead of in x out operations."""

    def __init__(
        self, up: Tensor, down: Tensor, scale: float, mid: Tensor | None = None, bias: Tensor | None = None
    ) -> None:
        """As `modules.networks.methods.lora` takes them, to be multiplied by `scale`."""
        self._up, self._down, self._mid, self._bias, self._scale = up, down, mid, bias, scale

    def difference(self, layer: Any) -> Pair:
        """The product of the matrices."""
        device = layer.weight.device
        up, down = self._up.to(device), self._down.to(device)
        product = lora(up, down, None if self._mid is None else self._mid.to(device)) * self._scale
        bias = None if self._bias is None else self._bias.to(device).float() * self._scale
        return shaped(product, layer), bias

    def answer(self, layer: Any, given: Tensor, like: Tensor) -> Tensor:
        """Down, through the middle, up."""
        up, down, mid, bias = self._at(layer, like)
        assert up is not None
        assert down is not None
        given = given.to(like.device, like.dtype)
        if isinstance(layer, nn.Linear):
            return functional.linear(functional.linear(given, down), up, bias)
        plain = CONVOLUTIONS[down.ndim - 2]
        inner = _convolve(layer, given, down) if mid is None else _convolve(layer, plain(given, down), mid)
        answer: Tensor = plain(inner, up, bias)
        return answer

    def _at(self, layer: Any, like: Tensor) -> tuple[Tensor | None, ...]:
        key = (like.device, like.dtype)
        if self._placed is None or self._placed[0] != key:
            # The scale goes in before the numbers are rounded to a narrow type.
            up, down = self._up.float() * self._scale, self._down
            if isinstance(layer, nn.Linear):
                up, down = up.flatten(1), down.flatten(1)
            else:
                ones = [1] * (layer.weight.ndim - 2)
                up = up.reshape(*up.shape[:2], *ones)
                down = down if down.ndim == layer.weight.ndim else down.reshape(*down.shape[:2], *ones)
            bias = None if self._bias is None else self._bias.float() * self._scale
            self._placed = (key, tuple(None if one is None else one.to(*key) for one in (up, down, self._mid, bias)))
        return self._placed[1]

    @property
    def bytes(self) -> int:
        """Of the matrices, which stand in main memory and on the device."""
        return 2 * self.beside_layer

    @property
    def beside_layer(self) -> int:
        """Of the matrices, once."""
        return sum(one.numel() * one.element_size() for one in (self._up, self._down, self._mid) if one is not None)


class Dense(Change):
    """Differences as large as the weights, computed from the file's small tensors when they are needed first."""

    def __init__(self, make: Callable[[Any], Pair], size: int) -> None:
        """`make` gives the differences for a layer; `size` is their bytes in fp32."""
        self._make, self._size = make, size

    def difference(self, layer: Any) -> Pair:
        """As `make` says, in the layer's shape."""
        weight, bias = self._make(layer)
        return (None if weight is None else shaped(weight, layer)), bias

    def answer(self, layer: Any, given: Tensor, like: Tensor) -> Tensor:
        """The layer's own operation with the differences in place of its weights."""
        key = (like.device, like.dtype)
        if self._placed is None or self._placed[0] != key:
            weight, bias = self.difference(layer)
            placed = tuple(None if one is None else one.to(*key) for one in (weight, bias))
            self._placed = (key, (placed[0], placed[1]))
        weight, bias = self._placed[1]
        if weight is None:
            weight = torch.zeros(layer.weight.shape, device=like.device, dtype=like.dtype)
        if isinstance(layer, nn.Embedding):
            return functional.embedding(given.to(like.device), weight)
        return run_layer(layer, given.to(like.device, like.dtype), weight, bias)

    @property
    def bytes(self) -> int:
        """Of the differences, once they are there."""
        return self._size

    @property
    def beside_layer(self) -> int:
        """All of it."""
        return self._size


def run_layer(layer: Any, given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The operation of a layer with other weights. Raises `UnsupportedFeature` for one that is not known."""
    if isinstance(layer, nn.Linear):
        return functional.linear(given, weight, bias)
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return _convolve(layer, given, weight, bias)
    if isinstance(layer, nn.LayerNorm):
        return functional.layer_norm(given, layer.normalized_shape, weight, bias, layer.eps)
    if isinstance(layer, nn.GroupNorm):
        return functional.group_norm(given, layer.num_groups, weight, bias, layer.eps)
    raise UnsupportedFeature(f"Networks cannot change a layer of the kind {type(layer).__name__}.")


def shaped(weight: Tensor, layer: Any) -> Tensor:
    """A difference in the shape of the layer's weight: 1 x 1 convolutions and linear layers are the same thing."""
    wanted = layer.weight.shape
    if weight.shape == wanted:
        return weight
    if weight.numel() != wanted.numel() or weight.shape[0] != wanted[0]:
        raise BrokenModel(f"a change of shape {tuple(weight.shape)} does not fit weights of shape {tuple(wanted)}")
    return weight.reshape(wanted)


def _convolve(layer: Any, given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution with the layer's geometry, with its way of padding at this moment, which seamless tiles change."""
    padding = layer.padding
    if layer.padding_mode != "zeros":
        given, padding = functional.pad(given, layer._reversed_padding_repeated_twice, mode=layer.padding_mode), 0
    answer: Tensor = CONVOLUTIONS[weight.ndim - 2](given, weight, bias, layer.stride, padding, layer.dilation)
    return answer
