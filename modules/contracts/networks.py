"""Extra networks that a prompt asks for with tags such as `<lora:name:0.8:te=0.5>`, as typed values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetworkTag:
    """One tag of a picture's prompt, as it was written; what its arguments mean is the network's affair."""

    kind: str
    """The word before the first colon in lower case: `lora`, `lyco`, `hypernet` …"""
    name: str
    """Which network: an alias or a file name."""
    positional: tuple[str, ...] = ()
    """Arguments without a name, in order; an empty one was left open and means the default."""
    named: tuple[tuple[str, str], ...] = ()
    """Arguments written as `key=value`, in order. Keys are in lower case; of equal keys the last one holds."""

    def argument(self, key: str, place: int | None = None) -> str | None:
        """The argument of that name, else the positional one at `place`; None where it was not given."""
        named = dict(self.named).get(key)
        if named is not None or place is None or place >= len(self.positional):
            return named
        return self.positional[place] or None
