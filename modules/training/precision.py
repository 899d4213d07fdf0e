"""Half precision while training: which kind helps on a device, and the scaling that keeps float16's gradients alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

KINDS = ("float32", "bfloat16", "float16")
GROWTH_STEPS = 2000
LARGEST, SMALLEST = 2.0**24, 2.0**-14


def best_kind(device: str) -> str:
    """The precision in which a forward pass on `device` is cheapest without harm: one of KINDS.

    bfloat16 where the hardware has it: it needs no scaling. float16 on CUDA cards before Ampere. On a CPU without
    bfloat16 in its instruction set float32, since there the half precisions are emulated and far slower.
    """
    place = torch.device(device).type
    if place == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if place == "cpu":
        return "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
    return "float32"


class Precision:
    """Mixed precision of one training: the forward pass in `kind`, weights and gradients in float32."""

    def __init__(self, device: str, kind: str = "auto") -> None:
        """`kind` is one of KINDS, or "auto" for `best_kind`. Raises ValueError for anything else."""
        if kind != "auto" and kind not in KINDS:
            raise ValueError(f"The precision {kind!r} was asked for; there are auto, {', '.join(KINDS)}.")
        self.kind = best_kind(device) if kind == "auto" else kind
        self._place = torch.device(device).type
        self.scaler = Scaler() if self.kind == "float16" else None

    def autocast(self) -> Any:
        """A context in which the forward pass runs in `kind`; the loss is best computed outside of it, in float32."""
        return torch.autocast(self._place, getattr(torch, self.kind), enabled=self.kind != "float32")


class Scaler:
    """Dynamic loss scaling (Micikevicius et al., arXiv:1710.03740): float16's smallest gradients would become zero.

    The loss is multiplied before going back, the gradients are divided before they are used. A step that overflows is
    skipped and the factor halved; after GROWTH_STEPS good ones it is doubled.
    """

    def __init__(self, factor: float = 2.0**16) -> None:
        """`factor` is what the loss is multiplied by at first."""
        self.factor = factor
        self._good = 0

    def enlarge(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to go back from."""
        return loss * self.factor

    def reduce(self, gradients: Sequence[torch.Tensor]) -> None:
        """Divides the gradients, in place."""
        torch._foreach_div_(list(gradients), self.factor)

    def learn(self, overflowed: bool) -> None:
        """Takes in whether the last gradients had values that are not finite."""
        if overflowed:
            self.factor, self._good = max(self.factor / 2, SMALLEST), 0
            return
        self._good += 1
        if self._good >= GROWTH_STEPS:
            self.factor, self._good = min(self.factor * 2, LARGEST), 0

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"factor": self.factor, "good": self._good}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on from `state_dict`'s answer."""
        self.factor, self._good = float(state["factor"]), int(state["good"])
