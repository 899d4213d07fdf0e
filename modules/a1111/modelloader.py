"""A1111's `modules.modelloader`: the studio finds models by itself, so nothing is left to do."""

from __future__ import annotations


def cleanup_models() -> None:
    """Files stay where they are."""


def load_upscalers() -> None:
    """`shared.sd_upscalers` asks the catalogue each time."""
