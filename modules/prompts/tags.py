"""Tags of extra networks in a prompt: `<lora:name:0.8>`, `<lora:name:te=0.5:unet=1>`."""

from __future__ import annotations

import re

from modules.contracts.networks import NetworkTag

_TAG = re.compile(r"<(\w+):([^<>]+)>")


def take_tags(text: str) -> tuple[str, tuple[NetworkTag, ...]]:
    """The text without its tags, and the tags in order. What is no tag of that form stays text."""
    tags = tuple(_read(match[1], match[2]) for match in _TAG.finditer(text))
    return (_TAG.sub("", text), tags) if tags else (text, ())


def _read(kind: str, arguments: str) -> NetworkTag:
    positional: list[str] = []
    named: list[tuple[str, str]] = []
    for argument in arguments.split(":"):
        key, equals, value = argument.partition("=")
        if equals and "=" not in value:
            named.append((key.strip().casefold(), value.strip()))
        else:
            positional.append(argument.strip())
    name = positional.pop(0) if positional else dict(named).get("name", "")
    return NetworkTag(kind.casefold(), name, tuple(positional), tuple(named))
