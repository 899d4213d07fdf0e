"""The arithmetic of each method: from what its file holds to what is added to a weight. Pure functions, nothing else.

Weights are (out, in) of a linear layer or (out, in, height, width) of a convolution; every result has the weight's own
shape and is computed in fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modules.contracts.errors import BrokenModel


def lora(up: Tensor, down: Tensor, mid: Tensor | None = None) -> Tensor:
    """B A of LoRA (Hu et al., arXiv:2106.09685), unscaled.

    `up` is (out, rank) or (out, rank, 1, 1); `down` is (rank, in) or (rank, in, h, w). With `mid` (rank, rank, h, w)
    the kernel is in the middle, as in LyCORIS' Tucker form (arXiv:2309.14859, section 3.3).
    """
    up, down = up.float().flatten(1), down.float()
    if mid is not None:
        return torch.einsum("oa,abhw,bi->oihw", up, mid.float(), down.flatten(1))
    return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def loha(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], cores: tuple[Tensor, Tensor] | None) -> Tensor:
    """The Hadamard product of two low-rank matrices: FedPara (arXiv:2108.06098) as LoHa has it, unscaled.

    Each pair is (out, rank) and (rank, in); with `cores` (rank, rank, h, w) each pair is (rank, out) and (rank, in).
    """
    if cores is None:
        return (first[0].float() @ first[1].float()) * (second[0].float() @ second[1].float())
    return tucker(cores[0], *first) * tucker(cores[1], *second)


def tucker(core: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """A kernel (out, in, h, w) from its core (r, s, h, w), `outer` (r, out) and `inner` (s, in)."""
    return torch.einsum("rshw,ro,si->oihw", core.float(), outer.float(), inner.float())


def lokr(left: Tensor, right: Tensor) -> Tensor:
    """The Kronecker product of LoKr (LyCORIS, arXiv:2309.14859, section 3.4), unscaled; `right` may be a kernel."""
    left, right = left.float(), right.float()
    return torch.kron(left.reshape(*left.shape, *[1] * (right.ndim - left.ndim)), right.contiguous())


def rotate(blocks: Tensor, limit: float = 0.0) -> Tensor:
    """Orthogonal matrices (blocks, n, n) from free ones by Cayley's transform, (I + Q)(I - Q)^-1 of their skew parts.

    OFT (arXiv:2306.07280, section 3.3); a `limit` above 0 is the largest norm of Q over all blocks, as constrained OFT.
    """
    free = blocks.float()
    skew = free - free.transpose(-1, -2)
    if limit > 0:
        skew = skew * (limit / (skew.norm() + 1e-8)).clamp(max=1)
    eye = torch.eye(skew.shape[-1], device=skew.device)
    return (eye + skew) @ torch.linalg.inv(eye - skew)


def oft(weight: Tensor, blocks: Tensor, limit: float = 0.0, rescale: Tensor | None = None) -> Tensor:
    """What OFT adds: the rows of the weight, turned block by block, minus the weight.

    `blocks` is (count, n, n) with count * n = out; rotation acts from the left as its transpose, which is how kohya's
    and LyCORIS' files are meant. `rescale` multiplies each output.
    """
    plain = weight.float()
    count, size, _ = blocks.shape
    if count * size != plain.shape[0]:
        raise BrokenModel(f"OFT of {count} blocks of {size} does not fit a layer with {plain.shape[0]} outputs.")
    turned = torch.einsum("knm,kni->kmi", rotate(blocks, limit), plain.reshape(count, size, -1)).reshape(plain.shape)
    if rescale is not None:
        turned = turned * rescale.float().reshape(-1, *[1] * (plain.ndim - 1))
    return turned - plain


def oft_of_inputs(weight: Tensor, vectors: Tensor, terms: int | None = 5) -> Tensor:
    """What PEFT's OFT adds: the inputs of the weight turned block by block.

    `vectors` is (blocks, n (n - 1) / 2), the upper triangles of skew matrices; one row serves all blocks. With `terms`
    the inverse in Cayley's transform is that many terms of Neumann's series (OFTv2, arXiv:2506.19847), None is exact.
    """
    plain = weight.float().flatten(1)
    size = round((1 + (1 + 8 * vectors.shape[1]) ** 0.5) / 2)
    if plain.shape[1] % size:
        raise BrokenModel(f"OFT in blocks of {size} does not fit a layer with {plain.shape[1]} inputs.")
    rows, columns = torch.triu_indices(size, size, 1)
    skew = torch.zeros(vectors.shape[0], size, size, device=vectors.device)
    skew[:, rows, columns] = vectors.float()
    skew = skew - skew.transpose(1, 2)
    eye = torch.eye(size, device=skew.device)
    if terms is None:
        turn = torch.linalg.solve(eye + skew, eye - skew, left=False)
    else:
        turn, power = eye.expand_as(skew), eye.expand_as(skew)
        for term in range(1, terms):
            power = power @ skew
            turn = turn + (2.0 if term < terms - 1 else 1.0) * power
    count = plain.shape[1] // size
    turn = turn.expand(count, size, size)
    turned = torch.einsum("okn,kmn->okm", plain.reshape(-1, count, size), turn).reshape(plain.shape)
    return (turned - plain).reshape(weight.shape)


def boft(weight: Tensor, blocks: Tensor, limit: float = 0.0, rescale: Tensor | None = None) -> Tensor:
    """What BOFT adds (arXiv:2311.06243, section 4): the outputs turned by a product of sparse orthogonal matrices, in
    the pattern of a fast Fourier transform, minus the weight.

    `blocks` is (stages, count, n, n) with count * n = out. In stage i a block takes outputs that stand n / 2 * 2^i
    apart, two by two, as LyCORIS' files are meant. `limit` and `rescale` are those of `oft`.
    """
    plain = weight.float()
    stages, count, size, _ = blocks.shape
    outputs = plain.shape[0]
    if count * size != outputs or size % 2 or outputs % (size << (stages - 1)):
        raise BrokenModel(f"BOFT of {stages} x {count} blocks of {size} does not fit a layer with {outputs} outputs.")
    turned = plain.flatten(1)
    for stage, turn in enumerate(rotate(blocks, limit)):
        apart = (size // 2) << stage
        beside = turned.reshape(-1, 2, apart, turned.shape[1]).transpose(1, 2).reshape(count, size, -1)
        turned = (turn @ beside).reshape(-1, apart, 2, turned.shape[1]).transpose(1, 2).reshape(outputs, -1)
    turned = turned.reshape(plain.shape)
    if rescale is not None:
        turned = turned * rescale.float().reshape(-1, *[1] * (plain.ndim - 1))
    return turned - plain


def boft_of_inputs(weight: Tensor, blocks: Tensor, rescale: Tensor | None = None) -> Tensor:
    """What PEFT's BOFT adds: the inputs of the weight turned by such a product, minus the weight.

    `blocks` is (stages, count, n, n) with count * n the inputs, free matrices whose skew parts are halved. In stage i a
    block takes two runs of n / 2 inputs that stand 2^i runs apart. `rescale` multiplies each output.
    """
    plain = weight.float().flatten(1)
    stages, count, size, _ = blocks.shape
    inputs = plain.shape[1]
    if count * size != inputs or (size % 2 and stages > 1) or inputs % (size << (stages - 1)):
        raise BrokenModel(f"BOFT of {stages} x {count} blocks of {size} does not fit a layer with {inputs} inputs.")
    turned = plain.T
    runs = (2, size // 2) if stages > 1 else (1, size)
    for stage, turn in enumerate(rotate(blocks.float() / -2)):
        beside = turned.reshape(-1, runs[0], 1 << stage, runs[1], turned.shape[1]).transpose(1, 2)
        moved = turn @ beside.reshape(count, size, -1)
        turned = moved.reshape(-1, 1 << stage, *runs, turned.shape[1]).transpose(1, 2).reshape(inputs, -1)
    found = turned.T
    if rescale is not None:
        if rescale.numel() != plain.shape[0]:
            raise BrokenModel(f"BOFT has {rescale.numel()} factors for a layer with {plain.shape[0]} outputs.")
        found = found * rescale.float().reshape(-1, 1)
    return (found - plain).reshape(weight.shape)


def glora(weight: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """The part of GLoRA that is of the weight itself: W A of W + W A + B (arXiv:2306.07967, equation 10), unscaled.

    A is `outer` (in, rank) times `inner` (rank, in). B is a plain LoRA; biases and prompts of the paper are not in
    files.
    """
    turn = outer.float().flatten(1) @ inner.float().flatten(1)
    return torch.einsum("oi...,ij->oj...", weight.float(), turn)


def dora(weight: Tensor, change: Tensor, magnitude: Tensor) -> Tensor:
    """What DoRA adds (arXiv:2402.09353, equation 5): the changed weight brought to learnt norms, minus the weight.

    `magnitude` has one number per output, or one per input, (1, in, ...), as early LyCORIS files do.
    """
    plain = weight.float()
    moved = plain + change.float()
    learnt = magnitude.float()
    by_input = learnt.ndim > 1 and learnt.shape[0] == 1 and learnt.numel() == plain.shape[1]
    if not by_input and learnt.numel() != plain.shape[0]:
        raise BrokenModel(f"DoRA has {learnt.numel()} norms for a layer with {plain.shape[0]} outputs.")
    axes = (0, *range(2, plain.ndim)) if by_input else tuple(range(1, plain.ndim))
    shape = [1] * plain.ndim
    shape[int(by_input)] = -1
    norm = moved.square().sum(dim=axes, keepdim=True).sqrt()
    return moved * (learnt.reshape(shape) / norm.clamp_min(torch.finfo(torch.float32).eps)) - plain


def ia3(weight: Tensor, factor: Tensor, *, on_input: bool) -> Tensor:
    """What (IA)3 adds (Liu et al., arXiv:2205.05638): the weight times a learnt factor for each output or each input.

    `factor` is the difference from 1, so that zeros change nothing.
    """
    shape = (1, -1, *[1] * (weight.ndim - 2)) if on_input else (-1, *[1] * (weight.ndim - 1))
    return weight.float() * factor.float().reshape(shape)
