"""The ways to compute attention, by the names that people choose them by, and which of them a device offers."""

from __future__ import annotations

from dataclasses import dataclass

from modules.bootstrap.options import ATTENTIONS
from modules.contracts.errors import UnsupportedFeature
from modules.device.base import DeviceHandler

AUTOMATIC = "Automatic"
"""As A1111 writes it: nothing is changed, and diffusers and torch choose."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way: what the device has to offer for it, and with what diffusers computes it."""

    needs: str | None = None
    """A name of `DeviceHandler.attention_backends`; None where nothing but torch is needed."""
    processor: str | None = None
    """Processor class of diffusers for layers of UNets and autoencoders; None leaves them as they are."""
    backend: str | None = None
    """Name in diffusers' dispatcher, for transformers that have it; None leaves them as they are."""
    kernels: tuple[str, ...] = ()
    """What torch's `scaled_dot_product_attention` may use, names of `SDPBackend`; empty is torch's own choice."""


_SDP = "AttnProcessor2_0"
# `MATH` is always among the kernels: the only head of a VAE's decoder is too wide for most of the others.
WAYS = {
    "sdp": Way("native", _SDP, "native"),
    "sdp-cudnn": Way("_native_cudnn", _SDP, "native", ("CUDNN_ATTENTION", "MATH")),
    "sdp-flash": Way("_native_flash", _SDP, "native", ("FLASH_ATTENTION", "MATH")),
    "sdp-efficient": Way("_native_efficient", _SDP, "native", ("EFFICIENT_ATTENTION", "MATH")),
    "sdp-math": Way("_native_math", _SDP, "native", ("MATH",)),
    "xformers": Way("xformers", "XFormersAttnProcessor", "xformers"),
    "flash": Way("flash", None, "flash"),
    "sage": Way("sage", None, "sage"),
    "sliced": Way(None, "SlicedAttnProcessor"),
    "plain": Way(None, "AttnProcessor", "native", ("MATH",)),
}
"""Every name of `ATTENTIONS`; `plain` holds the whole score matrix, `sliced` one head of it at a time."""


def available_attentions(handler: DeviceHandler) -> tuple[str, ...]:
    """The names that can be chosen on that device, in the order of `ATTENTIONS`. What a model has is another matter."""
    offered = handler.attention_backends()
    return tuple(name for name in ATTENTIONS if WAYS[name].needs is None or WAYS[name].needs in offered)


def check_attention(name: str, handler: DeviceHandler) -> str:
    """`name`, one of ATTENTIONS or AUTOMATIC. Raises `UnsupportedFeature` when the device does not offer it."""
    available = available_attentions(handler)
    if name != AUTOMATIC and name not in available:
        raise UnsupportedFeature(
            f"The attention {name!r} is not available on {handler.label}; "
            f"available are {', '.join((AUTOMATIC, *available))}."
        )
    return name
