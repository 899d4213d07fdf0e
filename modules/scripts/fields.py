"""What scripts add to infotext, made fit for it."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from modules.contracts.infotext_format import text_of
from modules.scripts.context import JobContext
from modules.scripts.parameters import Picture
from modules.scripts.v1 import Script

MOST = 50
"""Fields of one script."""
LONGEST = 2000
"""Characters of one value."""
_NOT_KEY = re.compile(r"[^\w \-/]")


def sound_fields(script: Script, context: JobContext, taken: Container[str]) -> dict[str, str]:
    """What the script wrote into `infotext`, and its parameters that differ from their defaults under its title."""
    changed = {
        item.name: context.values[item.name]
        for item in script.parameters
        if not isinstance(item, Picture) and not item.silent and context.values[item.name] != item.default
    }
    written: dict[Any, Any] = dict(context.infotext)
    if changed:
        written = {script.title: ", ".join(f"{name}: {text_of(value)}" for name, value in changed.items()), **written}
    found: dict[str, str] = {}
    for key, value in list(written.items())[:MOST]:
        label = " ".join(_NOT_KEY.sub(" ", str(key)).split())[:100]
        if len(label) >= 2 and label not in taken and value is not None:
            found[label] = text_of(value)[:LONGEST]
    return found
