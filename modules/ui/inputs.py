"""Inputs made from the declarations: label, bounds, step and choices stand in the contracts and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from modules.contracts.catalog import Catalog
from modules.contracts.parameters import Declared
from modules.ui.facts import NO_MODEL, Choices, choices_of
from modules.ui.form import ELEM_IDS, OPEN

PLACEHOLDERS = {
    "prompt.text": "Describe the picture you want",
    "prompt.negative": "What should not be in it (optional)",
}


class Inputs:
    """The inputs of one page by declared name, each made on demand so that the layout decides the order."""

    def __init__(
        self, declared: Mapping[str, Declared], catalog: Catalog, values: Mapping[str, Any], absent: frozenset[str]
    ) -> None:
        """`values` by declared name; `absent` names those that the model cannot use, made but not shown."""
        self._declared = declared
        self._catalog = catalog
        self._values = values
        self._absent = absent
        self.made: dict[str, Any] = {}

    def __call__(self, name: str, choices: Choices | None = None, **appearance: Any) -> Any:
        """Make the input for that parameter in the current layout. `appearance` goes to the Gradio component.

        `choices` are for a parameter whose words are in no catalogue.
        """
        look = {"visible": name not in self._absent, **appearance}
        known = self._choices(name) if choices is None else choices
        component = make_input(self._declared[name], known, self._values.get(name), **look)
        self.made[name] = component
        return component

    def _choices(self, name: str) -> Choices | None:
        choices = self._declared[name].param.choices
        if isinstance(choices, str):
            found = choices_of(self._catalog, choices)
            return [NO_MODEL, *found] if choices == "models" and name in OPEN else found
        return None if choices is None else [(word, word) for word in choices]


def make_input(declared: Declared, choices: Choices | None, value: Any, **appearance: Any) -> Any:
    """The Gradio component for one declaration, with its id. Values are checked by the queue, not by Gradio."""
    rule = declared.param
    look: dict[str, Any] = {"label": rule.label, "elem_id": ELEM_IDS.get(declared.name), "min_width": 0, **appearance}
    kind = declared.annotation.removesuffix(" | None")
    if choices is not None:
        many = kind.startswith("tuple")
        return gr.Dropdown(choices=choices, value=value, multiselect=True if many else None, **look)
    if kind == "bool":
        return gr.Checkbox(value=bool(value), **look)
    if kind in ("int", "float"):
        return gr.Number(
            value=value,
            minimum=rule.minimum,
            maximum=rule.maximum,
            step=rule.step or 1,
            precision=0 if kind == "int" else None,
            **look,
        )
    return gr.Textbox(value=value, placeholder=PLACEHOLDERS.get(declared.name), **look)
