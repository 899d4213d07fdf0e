"""Who hears of the components of a page while an extension says which inputs it has.

Those of the page itself stand under A1111's ids before any of a script's own, as in A1111. What is bound to one is
taken and not carried out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from modules.a1111 import components as gr
from modules.a1111.desk import registered

Hear = Callable[[str, Any, dict[str, Any]], None]
"""Is told `before_component` or `after_component`, the component, and what it is made with."""
_KINDS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (gr.Textbox, ("prompt", "neg_prompt")),
    (gr.Button, ("generate", "interrupt", "skip")),
    (gr.Dropdown, ("sampling", "scheduler", "styles")),
    (gr.Slider, ("steps", "width", "height", "batch_count", "batch_size", "cfg_scale")),
    (gr.Number, ("seed",)),
)
"""What both tabs of A1111 have, by the ends of their ids."""


def tell_page(tab: str, hear: Hear) -> None:
    """Let `hear` know of the page's own components in a tab, `txt2img` or `img2img`."""
    with heard_by(hear):
        for kind, names in _KINDS:
            for name in names:
                kind(elem_id=f"{tab}_{name}", label=name.replace("_", " "))


@contextlib.contextmanager
def heard_by(hear: Hear) -> Iterator[None]:
    """Components that are made inside are told to `hear`."""
    token = gr.HEARS.set(hear)
    try:
        yield
    finally:
        gr.HEARS.reset(token)


def of_package(package: str) -> Hear:
    """The callbacks `on_before_component` and `on_after_component` of an extension."""

    def hear(moment: str, component: Any, given: dict[str, Any]) -> None:
        for callback in list(registered(package).get(moment, ())):
            callback(component, **given)

    return hear


def of_script(script: Any) -> Hear:
    """A script's methods of these names, and what it registered for one id."""

    def hear(moment: str, component: Any, given: dict[str, Any]) -> None:
        getattr(script, moment)(component, **given)
        for elem_id, callback in list(getattr(script, f"on_{moment}_elem_id") or ()):
            if elem_id == given.get("elem_id"):
                callback(SimpleNamespace(component=component))

    return hear


def both(*hears: Hear) -> Hear:
    """One after the other."""

    def hear(moment: str, component: Any, given: dict[str, Any]) -> None:
        for one in hears:
            one(moment, component, given)

    return hear
