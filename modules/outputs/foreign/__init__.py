"""Parameters that other programs leave in pictures in forms of their own, told as infotext."""

from __future__ import annotations

from collections.abc import Mapping

from modules.outputs.foreign import comfyui, fooocus, invokeai, novelai
from modules.outputs.foreign.base import Foreign
from modules.outputs.foreign.makers import maker

__all__ = ["Foreign", "maker", "translate"]


def translate(items: Mapping[str, str], width: int, height: int) -> Foreign | None:
    """What the text entries of a picture of that size say; None when nothing known is among them. Never raises.

    An entry `parameters` that is no infotext but JSON belongs here too.
    """
    for reader in (novelai, invokeai, fooocus, comfyui):
        found = reader.read(items, width, height)
        if found is not None:
            return found
    return None
