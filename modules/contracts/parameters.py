"""One declaration per parameter.

A field of a request group is declared once with `param(...)`: label, bounds, default, legacy JSON name, infotext label.
The page, the `/sdapi` schema, the terminal, infotext and grid axes are all made from these declarations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any

_KEY = "param"


@dataclass(frozen=True, slots=True)
class Param:
    """What there is to know of one parameter besides its type and default."""

    label: str
    """Words for a person; also the caption of the input on the page."""
    help: str = ""
    """One sentence for a tool tip and the API description."""
    minimum: float | None = None
    """Smallest lawful value, inclusive."""
    maximum: float | None = None
    """Largest lawful value, inclusive."""
    step: float | None = None
    """Granularity on the page; not enforced."""
    choices: tuple[str, ...] | str | None = None
    """Lawful words, or the name of a catalogue list (`samplers`, `schedulers`, `models`, `vaes`,
    `text_encoders`, `upscalers`)."""
    legacy: str | None = None
    """Field name in `/sdapi/v1` bodies."""
    legacy_default: Any = None
    """Default of the legacy field where it differs from ours; None when it does not."""
    override: str | None = None
    """Key in `override_settings` that sets the same thing."""
    infotext: str | None = None
    """Label in A1111 infotext; None when it is not written there by this declaration alone."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter found in a request class: where it is, its type, default and declaration."""

    path: tuple[str, ...]
    """Attribute names from the request down to the field, e.g. `("sampling", "steps")`."""
    annotation: str
    default: Any
    param: Param

    @property
    def name(self) -> str:
        """The dotted name, e.g. `sampling.steps`."""
        return ".".join(self.path)


def param(default: Any, label: str, **declaration: Any) -> Any:
    """A dataclass field with its `Param`. The first argument is the default."""
    return field(default=default, metadata={_KEY: Param(label=label, **declaration)})


def declaration_of(item: Field[Any]) -> Param | None:
    """The declaration on a dataclass field, or None when the field is not a parameter."""
    found = item.metadata.get(_KEY)
    return found if isinstance(found, Param) else None


def declared(group: type[Any], prefix: tuple[str, ...] = ()) -> Iterator[Declared]:
    """All parameters of one group class, in order of declaration."""
    if not is_dataclass(group):
        raise TypeError(f"{group!r} is not a request group")
    for item in fields(group):
        found = declaration_of(item)
        if found is not None:
            default = None if item.default is MISSING else item.default
            yield Declared((*prefix, item.name), str(item.type), default, found)
