"""Names that clients send: those of the catalogue as everybody finds them, and the ways of attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.bootstrap.options import OptionError, parse_attention
from modules.contracts.errors import InvalidRequest
from modules.support.names import OWN_VAE as OWN_VAE
from modules.support.names import SAME as SAME
from modules.support.names import SamplerNotFound as SamplerNotFound
from modules.support.names import find_checkpoint as find_checkpoint
from modules.support.names import find_sampler as find_sampler
from modules.support.names import find_scheduler as find_scheduler
from modules.support.names import find_text_encoder as find_text_encoder
from modules.support.names import find_upscaler as find_upscaler
from modules.support.names import find_vae as find_vae

ATTENTION = "Automatic"
"""The word of the setting for what the start or the libraries choose."""


def find_attention(hardware: Mapping[str, Any], wanted: str) -> str:
    """The setting's word for a way of attention, from its name or A1111's. Raises `InvalidRequest` when it is not
    known, or not offered by the device where that is known; `hardware` is `Studio.device_report`."""
    try:
        name = parse_attention(wanted) or ATTENTION
    except OptionError as error:
        raise InvalidRequest(str(error)) from error
    offered = hardware.get("attention", (name,))
    if name not in offered:
        raise InvalidRequest(f"The attention {name!r} is not available here; available are {', '.join(offered)}.")
    return name
