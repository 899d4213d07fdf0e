"""Measures that do a computation in pieces: attention, and the VAE's batch and canvas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from modules.device.base import DeviceHandler
from modules.memory.cost import group_of
from modules.memory.entry import attribute

PLAIN_PROCESSORS = frozenset({"AttnProcessor", "AttnProcessor2_0", "AttnAddedKVProcessor", "AttnAddedKVProcessor2_0"})
"""Processors that compute nothing but attention. Others (adapters) would lose what they add, so they stay."""


@contextlib.contextmanager
def attention_slicing(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """Compute attention of the denoiser and the VAE for one head at a time.

    Layers whose processor does more than plain attention, and layers of transformers that have no sliced form, stay
    as they are. On leaving, every layer has its very processor back.
    """
    changed: list[tuple[Any, Any]] = []
    try:
        for name, component in components.items():
            if group_of(name) in ("denoiser", "vae"):
                changed.extend(_slice(component))
        yield
    finally:
        for layer, processor in reversed(changed):
            layer.set_processor(processor)


def _slice(component: Any) -> Iterator[tuple[Any, Any]]:
    for layer in component.modules():
        processor = getattr(layer, "processor", None)
        if not hasattr(layer, "sliceable_head_dim") or not hasattr(layer, "set_attention_slice"):
            continue
        if type(processor).__name__ in PLAIN_PROCESSORS:
            yield layer, processor
            layer.set_attention_slice(1)


@contextlib.contextmanager
def vae_slicing(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """Decode and encode one picture of a batch at a time. The result is the same."""
    vae = components.get("vae")
    with attribute(vae, "use_slicing", True) if hasattr(vae, "use_slicing") else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def vae_tiling(components: Mapping[str, Any], handler: DeviceHandler) -> Iterator[None]:
    """Decode and encode in overlapping tiles, blended. Pictures larger than one tile change slightly."""
    vae = components.get("vae")
    with attribute(vae, "use_tiling", True) if _can_tile(vae) else contextlib.nullcontext():
        yield


def _can_tile(vae: Any) -> bool:
    if not hasattr(vae, "use_tiling"):
        return False
    # diffusers' AutoencoderTiny writes tiles into an array of four channels, whatever the latents have.
    return type(vae).__name__ != "AutoencoderTiny" or vae.config.latent_channels == 4
