"""The optimiser: Muon for the matrices and kernels inside a network, Adam for everything else.

Muon (Keller Jordan, 2024, https://kellerjordan.github.io/posts/muon/) replaces the momentum of a matrix by a nearby
orthogonal one, found by a few Newton-Schulz steps. Kernels of convolutions count as matrices of outputs by inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(stack: torch.Tensor, steps: int = 4) -> torch.Tensor:
    """Matrices near `stack` (shape (n, rows, columns)) whose singular values lie near 1.

    The polynomial is worked out on the small Gram matrices and applied to the long ones once at the end: the same
    answer as the usual iteration up to rounding, for a third of the work on the kernels of a convolution.
    """
    tall = stack.shape[-2] > stack.shape[-1]
    x = stack.mT if tall else stack
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    one = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    whole = one.expand_as(gram)
    for _ in range(steps):
        factor = _A * one + _B * gram + _C * (gram @ gram)
        whole = factor @ whole
        gram = factor @ gram @ factor
    x = whole @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon over parameters of two or more dimensions; those of one shape are worked on together."""

    def __init__(
        self, parameters: Iterable[torch.Tensor], lr: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        """`lr` is the root mean square of an update, relative; `decay` shrinks the weights by lr times decay."""
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update from the gradients that are there; `closure` is not supported and must be None."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for same in shapes.values():
                self._update(same, group["lr"], group["momentum"], group["decay"])

    def _update(self, same: list[torch.Tensor], lr: float, momentum: float, decay: float) -> None:
        pushes = []
        for parameter in same:
            speed = self.state[parameter].setdefault("speed", torch.zeros_like(parameter))
            speed.lerp_(parameter.grad, 1 - momentum)
            pushes.append(torch.lerp(parameter.grad, speed, momentum).flatten(1))
        moves = orthogonalise(torch.stack(pushes))
        scale = max(1.0, moves.shape[-2] / moves.shape[-1]) ** 0.5
        for parameter, move in zip(same, moves, strict=True):
            parameter.mul_(1 - lr * decay).add_(move.view_as(parameter), alpha=-lr * scale)


EDGES = ("conv_in", "conv_out", "embedding", "quant_conv", "heads")
"""Parts of the names of first and last layers and of embeddings, which are Adam's whatever their shape."""


class Optimiser:
    """Muon and Adam side by side over one module, with one learning-rate factor."""

    def __init__(self, module: Any, muon_lr: float, adam_lr: float, edges: Sequence[str] = EDGES) -> None:
        """Inner matrices go to Muon; vectors, and whatever has one of `edges` in its name, to Adam."""
        inner: list[torch.Tensor] = []
        rest: list[torch.Tensor] = []
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            edge = any(word in name for word in edges)
            (rest if edge or parameter.ndim < 2 else inner).append(parameter)
        self._parts: list[torch.optim.Optimizer] = [torch.optim.Adam(rest, lr=adam_lr, betas=(0.9, 0.98))]
        if inner:
            self._parts.append(Muon(inner, lr=muon_lr))
        self._rates = [[group["lr"] for group in part.param_groups] for part in self._parts]

    def step(self, factor: float) -> None:
        """One update with the learning rates times `factor`; clears the gradients."""
        for part, rates in zip(self._parts, self._rates, strict=True):
            for group, rate in zip(part.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            part.step()
        self.clear()

    def clear(self) -> None:
        """Forgets the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {str(place): part.state_dict() for place, part in enumerate(self._parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state_dict`'s answer for a module of the same layout."""
        for place, part in enumerate(self._parts):
            part.load_state_dict(state[str(place)])
