"""Images of Pillow as tensors and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def to_tensor(images: Sequence[Image.Image]) -> torch.Tensor:
    """(N, 3, H, W) in [0, 1], fp32, from RGB images of one size."""
    arrays = [np.asarray(image, np.float32) for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous() / 255


def to_images(pictures: torch.Tensor) -> list[Image.Image]:
    """RGB images from (N, 3, H, W) in [0, 1]."""
    values = (pictures * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(value) for value in values]
