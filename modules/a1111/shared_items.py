"""A1111's `modules.shared_items`: lists that inputs of extensions offer."""

from __future__ import annotations

from modules.a1111.house import HOUSE


def sd_vae_items() -> list[str]:
    """Names of VAEs, behind those for the usual one and for none."""
    return ["Automatic", "None", *(one.name for one in HOUSE.services.catalog.vaes())]


def list_samplers() -> list[object]:
    """Rows of samplers, each with its `name`."""
    return list(HOUSE.services.catalog.samplers())


def refresh_vae_list() -> None:
    """The list is always that of the studio."""
