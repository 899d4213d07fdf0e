"""From a file's tensors of one layer to the change they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from modules.contracts.errors import BrokenModel
from modules.networks import methods
from modules.networks.changes import Change, Dense, LowRank, Pair, shaped
from modules.networks.places import Place

Tensors = Mapping[str, Tensor]
"""What a file holds for one layer, by the words of `modules.networks.parameters`."""

GENERALISED = frozenset({"a1", "a2", "b1", "b2"})
"""What GLoRA has of a layer; `bm` beside it where a kernel is in the middle."""
NUMBERS = ("alpha", "on_input")
"""Single numbers, which stay where Python can read them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file's tensors are to be read, besides what they are."""

    rank: int | None = None
    """Only so many components of each low-rank pair are used."""
    factor: float | None = None
    """What products are multiplied by where the file has no `alpha`, from a PEFT config; None is 1."""
    neumann: bool = True
    """PEFT's OFT takes five terms of Neumann's series for an inverse."""

    def scale(self, tensors: Tensors, rank: int) -> float:
        """What the product is multiplied by: alpha / rank; 1 where nothing is said, or where nothing is of low rank,
        which a `rank` of 0 says."""
        if "alpha" in tensors:
            return float(tensors["alpha"]) / rank if rank > 0 else 1.0
        return 1.0 if self.factor is None else self.factor


def build_change(tensors: Tensors, layer: Any, place: Place, reading: Reading) -> Change:
    """The change of `layer`. Raises `BrokenModel` where shapes do not fit it, or no method has these tensors."""
    plain = "dora_scale" not in tensors and not place.swapped
    if "down" in tensors and "up" in tensors and plain and not isinstance(layer, nn.Embedding):
        change = _low_rank(tensors, place, reading)
        _check(change, tensors, layer, place)
        return change
    size = 4 * int(layer.weight.numel())

    def make(of: Any) -> Pair:
        weight, bias = _difference(tensors, of, place, reading)
        return (None if weight is None else _cut(weight, place)), (None if bias is None else _cut(bias, place))

    _rehearse(make, layer)
    return Dense(make, size)


@dataclass(frozen=True, slots=True)
class _Shell:
    """A layer's weights without their numbers."""

    weight: Tensor
    bias: Tensor | None


def _rehearse(make: Callable[[Any], Pair], layer: Any) -> None:
    """Go through the arithmetic with shapes alone, so that a file that does not fit is refused before any drawing."""
    bias = getattr(layer, "bias", None)
    shell = _Shell(layer.weight.detach().to("meta"), None if bias is None else bias.detach().to("meta"))
    weight, more = make(shell)
    if weight is not None:
        shaped(weight, shell)
    if more is not None and (bias is None or more.shape != bias.shape):
        raise BrokenModel("a difference of the bias does not fit the layer")


def _low_rank(tensors: Tensors, place: Place, reading: Reading) -> LowRank:
    up, down, mid = _cut(tensors["up"], place), tensors["down"], tensors.get("mid")
    bias = None if "bias" not in tensors else _cut(tensors["bias"], place)
    scale, most = reading.scale(tensors, down.shape[0]), reading.rank
    if most is not None:
        up, down, mid = up[:, :most], down[:most], None if mid is None else mid[:most, :most]
    return LowRank(up, down, scale, mid, bias)


def _check(change: LowRank, tensors: Tensors, layer: Any, place: Place) -> None:
    """Shapes only; multiplying is left to whoever needs the product."""
    up, down, mid = (tensors.get(name) for name in ("up", "down", "mid"))
    assert up is not None
    assert down is not None
    inputs = layer.weight.flatten(1).shape[1]
    kernel = 1 if mid is None else mid.flatten(2).shape[2]
    outputs = up.shape[0] if place.outputs is None else place.outputs[1] - place.outputs[0]
    if up.shape[1] != down.shape[0] or outputs != layer.weight.shape[0] or down.flatten(1).shape[1] * kernel != inputs:
        shapes = f"{tuple(up.shape)} and {tuple(down.shape)}"
        raise BrokenModel(f"matrices of shapes {shapes} do not fit weights of shape {tuple(layer.weight.shape)}")


def _difference(tensors: Tensors, layer: Any, place: Place, reading: Reading) -> Pair:
    """Differences of weight and bias over all outputs of the file's layer."""
    there = {name: tensor if name in NUMBERS else tensor.to(layer.weight.device) for name, tensor in tensors.items()}
    base = layer.weight
    if "oft_blocks" in there or "oft_r" in there or "boft_R" in there:
        return _turned(there, base, reading), None
    if "ia3_l" in there or "on_input" in there:
        return _factors(there, layer)
    bias = next((there[name].float() for name in ("diff_b", "b_norm") if name in there), None)
    weight = _generalised(there, base, place, reading) if there.keys() >= GENERALISED else _product(there, reading)
    if weight is None:
        if bias is None:
            raise BrokenModel(f"no method has the tensors {', '.join(sorted(tensors))}")
        return None, bias
    if "dora_scale" in there:
        weight = methods.dora(base, shaped(weight, layer), there["dora_scale"])
    return weight, bias


def _generalised(there: Tensors, base: Tensor, place: Place, reading: Reading) -> Tensor:
    """GLoRA over all outputs of the file's layer.

    Of each pair LyCORIS first kept what comes first under 1, and since 2024 under 2; shapes tell which of them it is,
    and where they do not the later one is taken.
    """
    first, second, up, down = (there[name] for name in ("a1", "a2", "b1", "b2"))
    if min(tensor.ndim for tensor in (first, second, up, down)) < 2:
        raise BrokenModel("GLoRA has matrices with one axis")
    inputs, whole = base.shape[1], base.flatten(1).shape[1]
    kernel = 1 if "bm" not in there else there["bm"].flatten(2).shape[2]

    def stands(outer: Tensor, inner: Tensor, after: Tensor, before: Tensor) -> bool:
        rank = inner.shape[0]
        square = tuple(outer.flatten(1).shape) == (inputs, rank) and tuple(inner.flatten(1).shape) == (rank, inputs)
        return square and after.flatten(1).shape[1] == before.shape[0] and before.flatten(1).shape[1] * kernel == whole

    if not stands(first, second, up, down):
        first, second, up, down = second, first, down, up
        if not stands(first, second, up, down):
            raise BrokenModel(f"matrices of GLoRA do not fit weights of shape {tuple(base.shape)}")
    cut = slice(None) if reading.rank is None else slice(reading.rank)
    mid = there["bm"][cut, cut] if "bm" in there else None
    added = methods.lora(up[:, cut], down[cut], mid)
    added = added.reshape(added.shape[0], *base.shape[1:])
    turned = methods.glora(base, first.flatten(1)[:, cut], second[cut])
    if place.swapped:
        turned = torch.cat([*reversed(turned.chunk(2))])
    if place.outputs is not None:
        turned, own = torch.zeros_like(added), turned
        turned[place.outputs[0] : place.outputs[1]] = own
    if turned.shape != added.shape:
        raise BrokenModel(f"GLoRA for {added.shape[0]} outputs does not fit weights of shape {tuple(base.shape)}")
    return (turned + added) * reading.scale(there, second.shape[0])


def _turned(there: Tensors, base: Tensor, reading: Reading) -> Tensor:
    if "oft_r" in there:
        return methods.oft_of_inputs(base, there["oft_r"], 5 if reading.neumann else None)
    if "boft_R" in there:
        if there["boft_R"].ndim != 4:
            raise BrokenModel(f"BOFT blocks have the shape {tuple(there['boft_R'].shape)}; four axes are known")
        return methods.boft_of_inputs(base, there["boft_R"], there.get("boft_s"))
    blocks = there["oft_blocks"]
    if blocks.ndim not in (3, 4):
        raise BrokenModel(f"OFT blocks have the shape {tuple(blocks.shape)}; three or four axes are known")
    # Trainers keep the constraint for one output in `alpha`.
    limit = float(there["alpha"]) * base.shape[0] if "alpha" in there else 0.0
    turn = methods.oft if blocks.ndim == 3 else methods.boft
    return turn(base, blocks, limit, there.get("rescale"))


def _product(there: Tensors, reading: Reading) -> Tensor | None:
    """What LoRA, LoHa, LoKr or a full difference adds to the weight; None when there is none of them."""
    cut = slice(None) if reading.rank is None else slice(reading.rank)
    if "down" in there and "up" in there:
        mid = there["mid"][cut, cut] if "mid" in there else None
        product = methods.lora(there["up"][:, cut], there["down"][cut], mid)
        return product * reading.scale(there, there["down"].shape[0])
    if "hada_w1_a" in there:
        return _hadamard(there, cut) * reading.scale(there, there["hada_w1_b"].shape[0])
    if "lokr_w1" in there or "lokr_w1_a" in there:
        return _kronecker(there, reading)
    return next((there[name].float() for name in ("diff", "w_norm") if name in there), None)


def _hadamard(there: Tensors, cut: slice) -> Tensor:
    first, second = ((there[f"hada_w{number}_a"], there[f"hada_w{number}_b"]) for number in (1, 2))
    if "hada_t1" in there:
        first, second = ((outer[cut], inner[cut]) for outer, inner in (first, second))
        return methods.loha(first, second, (there["hada_t1"][cut, cut], there["hada_t2"][cut, cut]))
    first, second = ((outer[:, cut], inner[cut]) for outer, inner in (first, second))
    return methods.loha(first, second, None)


def _kronecker(there: Tensors, reading: Reading) -> Tensor:
    """Scaled by the rank of whichever side is low-rank; two full sides are not scaled."""
    rank = 0
    if "lokr_w1" in there:
        left = there["lokr_w1"]
    else:
        left, rank = there["lokr_w1_a"].float() @ there["lokr_w1_b"].float(), there["lokr_w1_b"].shape[0]
    if "lokr_w2" in there:
        right = there["lokr_w2"]
    elif "lokr_t2" in there:
        right, rank = (
            methods.tucker(there["lokr_t2"], there["lokr_w2_a"], there["lokr_w2_b"]),
            there["lokr_t2"].shape[0],
        )
    else:
        inner = there["lokr_w2_b"]
        right = (there["lokr_w2_a"].float() @ inner.float().flatten(1)).reshape(-1, *inner.shape[1:])
        rank = inner.shape[0]
    return methods.lokr(left, right) * reading.scale(there, rank)


def _factors(there: Tensors, layer: Any) -> Pair:
    """(IA)3: LyCORIS keeps differences from 1 for the weight, PEFT the factors themselves, for the bias as well."""
    if "ia3_l" in there:
        factor, on_input = there["ia3_l"].float() - 1, there["ia3_l"].shape[0] == 1
    else:
        factor, on_input = there["weight"].float(), bool(there["on_input"])
    wanted = layer.weight.shape[1 if on_input else 0]
    if factor.numel() != wanted:
        raise BrokenModel(f"{factor.numel()} factors do not fit a layer with {wanted} of them")
    weight = methods.ia3(layer.weight, factor, on_input=on_input)
    if on_input or "ia3_l" not in there or layer.bias is None:
        return weight, None
    return weight, layer.bias.float() * factor.flatten()


def _cut(tensor: Tensor, place: Place) -> Tensor:
    """The outputs of a file's layer that are this layer's, in its order."""
    cut = tensor if place.outputs is None else tensor[place.outputs[0] : place.outputs[1]]
    if place.swapped:
        first, second = cut.chunk(2)
        cut = torch.cat([second, first])
    return cut
