"""The upscalers that need no model of their own, under A1111's names."""

from __future__ import annotations

from collections.abc import Sequence

from modules.contracts.catalog import UpscalerEntry
from modules.contracts.errors import InvalidRequest

UPSCALERS: tuple[UpscalerEntry, ...] = (
    UpscalerEntry("Latent", latent=True, scale=1.0),
    UpscalerEntry("Latent (antialiased)", latent=True, scale=1.0),
    UpscalerEntry("Latent (bicubic)", latent=True, scale=1.0),
    UpscalerEntry("Latent (bicubic antialiased)", latent=True, scale=1.0),
    UpscalerEntry("Latent (nearest)", latent=True, scale=1.0),
    UpscalerEntry("Latent (nearest-exact)", latent=True, scale=1.0),
    UpscalerEntry("None", latent=False),
    UpscalerEntry("Lanczos", latent=False),
    UpscalerEntry("Nearest", latent=False),
)


def find_upscaler(name: str, entries: Sequence[UpscalerEntry] = UPSCALERS) -> UpscalerEntry:
    """The upscaler of that name in any case; `InvalidRequest` lists the known ones."""
    for entry in entries:
        if entry.name.casefold() == name.strip().casefold():
            return entry
    known = ", ".join(entry.name for entry in entries if entry.problem is None)
    raise InvalidRequest(f"There is no upscaler {name!r}; known are {known}.")
