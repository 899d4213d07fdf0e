"""A1111's `modules.ui_components`, over the stand-in for Gradio."""

from __future__ import annotations

from typing import Any

from modules.a1111 import components

gr: Any = components


class InputAccordion(gr.Checkbox):
    """A checkbox that opens what stands below it."""

    given = ("value",)

    def extra(self) -> components.Component:
        """A place beside the checkbox."""
        return components.Row()


class ToolButton(gr.Button):
    """A small button."""


class FormRow(gr.Row):
    """A row of inputs."""


class FormColumn(gr.Column):
    """A column of inputs."""


class FormGroup(gr.Group):
    """A group of inputs."""


class FormHTML(gr.HTML):
    """Markup in a form."""


class FormColorPicker(gr.ColorPicker):
    """A colour."""


class DropdownMulti(gr.Dropdown):
    """Several of a list."""

    multiselect: bool | None = True


class DropdownEditable(gr.Dropdown):
    """One of a list, or a text of one's own."""

    allow_custom_value = True
