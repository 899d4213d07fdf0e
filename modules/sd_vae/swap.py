"""Another VAE for the length of a job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.sd_vae.codec import latent_channels

_MISSING = object()


@contextlib.contextmanager
def swapped(components: MutableMapping[str, Any], vae: Any | None) -> Iterator[MutableMapping[str, Any]]:
    """Put `vae` in the place of `components["vae"]`, and the very same object back afterwards. None changes nothing.

    Give it the lane's own mapping, not one that other lanes read. Raises `InvalidRequest` when both have a different
    number of latent channels.
    """
    if vae is None:
        yield components
        return
    before = components.get("vae", _MISSING)
    if before is not _MISSING and before is not None:
        old, new = latent_channels(before), latent_channels(vae)
        if old != new:
            raise InvalidRequest(f"The VAE has {new} latent channels; this model needs one with {old}.")
    components["vae"] = vae
    try:
        yield components
    finally:
        if before is _MISSING:
            components.pop("vae", None)
        else:
            components["vae"] = before
