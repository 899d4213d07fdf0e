"""What an autoencoder's config says of its latents. Each kind of autoencoder has words of its own for it.

A config is a mapping, or the object that a loaded autoencoder keeps it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_LEVELS = 8
"""More than any autoencoder has; a config that names as many is wrong."""
LEVELS = ("block_out_channels", "decoder_block_out_channels", "dim_mult")
"""Lists with an entry for each level: of AutoencoderKL, of AutoencoderTiny and AutoencoderDC, of those for films."""

HALVED = "spatio_temporal_scaling"
"""Which levels of LTX-Video's autoencoder halve sides and time, behind the squares that it begins with."""


def channels_of(config: Any) -> int | None:
    """Channels of the latents; None where the config does not say."""
    found = said(config, "latent_channels") or said(config, "z_dim")
    return found * joined_of(config) ** 2 if isinstance(found, int) else None


def factor_of(config: Any) -> int | None:
    """Pixels along one side of a latent cell; None where the config does not say."""
    if (halved := said(config, HALVED)) is not None:
        stated = said(config, "spatial_compression_ratio")
        return int(stated or said(config, "patch_size") * 2 ** sum(map(bool, halved)))
    if isinstance(stated := said(config, "scale_factor_spatial"), int):
        return stated
    for name in LEVELS:
        levels = said(config, name)
        if isinstance(levels, list | tuple) and 0 < len(levels) < MOST_LEVELS:
            return int(2 ** (len(levels) - 1)) * joined_of(config)
    folded, levels = said(config, "up_down_scale_factor"), said(config, "levels")
    if isinstance(folded, int) and isinstance(levels, int) and 0 < levels < MOST_LEVELS:
        return folded * int(2 ** (levels - 1))
    return None


def joined_of(config: Any) -> int:
    """Cells along each side that are put into one before the denoiser sees them; Flux.2's autoencoder says so beside
    the statistics by which it evens them out."""
    patch = said(config, "patch_size")
    if said(config, "batch_norm_eps") is None or not isinstance(patch, list | tuple):
        return 1
    return int(patch[0])


def width_of(config: Any) -> int | None:
    """Channels of the decoder at the size of the picture; None where the config does not say."""
    if said(config, HALVED) is not None:  # its last level makes squares of pixels
        last, factors = said(config, "decoder_block_out_channels"), said(config, "upsample_factor")
        return max(int(last[0]) // int(factors[0]) // int(said(config, "patch_size")) ** 2, 1)
    for name in LEVELS[:2]:
        levels = said(config, name)
        if levels:
            return int(levels[0])
    widest, levels = said(config, "embed_dim"), said(config, "levels")
    if isinstance(widest, int) and isinstance(levels, int):
        return widest // int(2 ** (levels - 1))
    base, patch = said(config, "base_dim"), said(config, "patch_size")
    if isinstance(base, int) and isinstance(patch, int):  # Wan 2.2's last level makes squares of pixels
        return max((said(config, "decoder_base_dim") or base) // patch**2, 1)
    return base if isinstance(base, int) else None


def is_bright(config: Any) -> bool:
    """Whether the autoencoder's pictures are of numbers from 0 to 1, as Paella's are, and not from -1 to 1."""
    return said(config, "up_down_scale_factor") is not None


def is_for_films(config: Any) -> bool:
    """Whether the autoencoder's tensors have an axis for time."""
    return said(config, "temperal_downsample") is not None or said(config, HALVED) is not None


def wants_time(config: Any) -> bool:
    """Whether the decoder is told how much noise is left in the latents, as that of LTX-Video since 0.9.1 is."""
    return bool(said(config, "timestep_conditioning"))


def spreads_noise(config: Any) -> bool:
    """Whether the decoder adds noise of its own."""
    return any(said(config, "decoder_inject_noise") or ())


def said(config: Any, name: str) -> Any:
    """An entry of the config; None where there is none."""
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
