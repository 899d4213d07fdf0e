"""Which program wrote an infotext, told by the versions and names that they put into it."""

from __future__ import annotations

import re

from modules.contracts.infotext import parse

OURS = "Atelier"
_BY_VERSION = (
    (re.compile("atelier", re.IGNORECASE), OURS),
    (re.compile("fooocus", re.IGNORECASE), "Fooocus"),
    (re.compile("comfyui", re.IGNORECASE), "ComfyUI"),
    (re.compile("f[0-9]|neo|classic|forge", re.IGNORECASE), "Forge"),
    (re.compile(r"v?1\.[0-9]"), "A1111"),
)
_KNOWN = ("SD.Next", "InvokeAI", "ComfyUI", "NovelAI", "Fooocus")


def maker(infotext: str) -> str:
    """The program's name; empty where the text does not say, as those of A1111 before version 1.3 do not."""
    said = parse(infotext, defaults=False)
    if said.get("App") in _KNOWN:
        return said["App"]
    version = said.get("Version", "")
    return next((name for pattern, name in _BY_VERSION if pattern.match(version)), "")
