"""Upscalers that work on latents before they are decoded: interpolation between cells."""

from __future__ import annotations

from typing import Any

MODES: dict[str, tuple[str, bool]] = {
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
"""Mode of torch's `interpolate` and whether it smooths beforehand, by table name."""


def enlarge_latents(latents: Any, cells: tuple[int, int], name: str) -> Any:
    """(N, C, h, w) → (N, C, *cells), `cells` as (height, width); `KeyError` for a name that is no latent upscaler."""
    import torch

    mode, antialias = MODES[name]
    return torch.nn.functional.interpolate(latents, size=cells, mode=mode, antialias=antialias)
