"""Upscaler files of Real-ESRGAN's compact layout whose effect is known: pixels repeated, then a shift of colour."""

from __future__ import annotations

from pathlib import Path

import torch


def compact_tensors(scale: int, shift=(0.0, 0.0, 0.0)) -> dict[str, torch.Tensor]:
    """Two convolutions of four channels that say nothing, and a last one that adds `shift` (R, G, B)."""
    tensors = {
        "body.0.weight": torch.zeros(4, 3, 3, 3),
        "body.0.bias": torch.zeros(4),
        "body.1.weight": torch.zeros(4),
        "body.2.weight": torch.zeros(4, 4, 3, 3),
        "body.2.bias": torch.zeros(4),
        "body.3.weight": torch.zeros(4),
        "body.4.weight": torch.zeros(3 * scale * scale, 4, 3, 3),
        "body.4.bias": torch.tensor(shift).repeat_interleave(scale * scale),
    }
    return {name: value.half() for name, value in tensors.items()}


def write_compact(path: Path, scale: int, shift=(0.0, 0.0, 0.0)) -> Path:
    """Such a file; folders are made."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(compact_tensors(scale, shift), path)
    return path
