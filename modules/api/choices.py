"""Settings whose words come from the catalogue or the device: what there is to choose, and what a word means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.api.names import ATTENTION, OWN_VAE, find_attention, find_checkpoint, find_vae
from modules.support.settings import Setting
from modules.support.studio import Studio


def settled(studio: Studio, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with checkpoint, VAE and attention as the catalogue and the device call them.

    An empty checkpoint is kept: the studio picks one by itself then. What is no text is left to the setting's own
    check. Raises `UnknownModel` and `InvalidRequest` for words that nothing is called by.
    """
    found = dict(changes)
    checkpoint, vae = found.get("sd_model_checkpoint"), found.get("sd_vae")
    attention = found.get("cross_attention_optimization")
    if isinstance(checkpoint, str) and checkpoint:
        found["sd_model_checkpoint"] = find_checkpoint(studio.catalog, checkpoint)
    if isinstance(attention, str):
        found["cross_attention_optimization"] = find_attention(studio.device_report(), attention)
    if isinstance(vae, str):
        found["sd_vae"] = find_vae(studio.catalog, vae) or OWN_VAE
    return found


def choices_of(studio: Studio, setting: Setting) -> list[str] | None:
    """The lawful words of a setting; None for one that takes any value of its type, within its bounds."""
    if setting.key == "cross_attention_optimization":
        return list(studio.device_report().get("attention", setting.choices or (ATTENTION,)))
    if setting.choices == "models":
        return ["", *(entry.name for entry in studio.catalog.models() if entry.problem is None)]
    if setting.choices == "vaes":
        return [OWN_VAE, *(entry.name for entry in studio.catalog.vaes() if entry.problem is None)]
    if setting.choices == "restorers":
        return ["", *(entry.name for entry in studio.catalog.restorers() if entry.problem is None)]
    return list(setting.choices) if isinstance(setting.choices, tuple) else None
