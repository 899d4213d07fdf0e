"""Stands in for `gradio` while an extension says which inputs it has.

Nothing is drawn with it: a component keeps what it was made with, and the studio makes parameters of those that `ui()`
gives. Keywords of every generation of Gradio are taken; events between components are taken and not carried out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar

from modules.a1111.house import now

log = logging.getLogger(__name__)
EVENTS = frozenset(
    (
        *("blur", "change", "clear", "click", "edit", "focus", "input", "key_up", "like", "load", "release", "select"),
        *("stream", "submit", "success", "then", "tick", "unload", "upload"),
    )
)


HEARS: ContextVar[Callable[[str, Any, dict[str, Any]], None] | None] = ContextVar("a1111_hears", default=None)
"""Who hears of each component that is made."""


class Component:
    """An input, an output or a layout. `given` are the positional arguments' names."""

    given: ClassVar[tuple[str, ...]] = ("value",)
    value: Any = None
    label: str | None = None
    choices: Any = ()
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    precision: int | None = None
    type: str | None = None
    info: str | None = None
    multiselect: bool | None = None
    allow_custom_value: bool = False
    lines: int = 1
    visible: Any = True
    interactive: Any = None
    elem_id: str | None = None

    def __init__(self, *positional: Any, **named: Any) -> None:
        """Whatever the arguments are, each becomes an attribute; who listens hears of it before and afterwards."""
        hear = HEARS.get()
        told = {**dict(zip(self.given, positional, strict=False)), **named}
        if hear is not None:
            hear("before_component", self, told)
        for name, value in (*zip(self.given, positional, strict=False), *named.items()):
            if name not in EVENTS and not isinstance(getattr(type(self), name, None), Callable):  # type: ignore[arg-type]
                setattr(self, name, value)
        if callable(self.value):
            self.value = self.value()
        if hear is not None:
            hear("after_component", self, told)

    def __getattr__(self, name: str) -> Any:
        """Events: they are taken and not carried out."""
        if name in EVENTS:
            return _take
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __enter__(self) -> Any:
        """Layouts are entered."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Nothing to end."""

    def style(self, *positional: Any, **named: Any) -> Any:
        """Gradio 3's; looks are the studio's own."""
        return self

    def render(self) -> Any:
        """It stands where it was made."""
        return self

    @classmethod
    def update(cls, **named: Any) -> dict[str, Any]:
        """Gradio 3's way to change a component."""
        return update(**named)


class _Event:
    """What an event gives: more can be hung onto it."""

    def __getattr__(self, name: str) -> Any:
        if name in EVENTS:
            return _take
        raise AttributeError(name)


def _take(*positional: Any, **named: Any) -> _Event:
    return _Event()


def _kind(name: str, *given: str) -> type[Component]:
    return type(name, (Component,), {"given": given, "__doc__": f"As `gradio.{name}`.", "__module__": __name__})


class Slider(Component):
    """As `gradio.Slider`."""

    given = ("minimum", "maximum", "value", "step")
    minimum: float | None = 0
    maximum: float | None = 100


Checkbox, Textbox, Number, State = (_kind(one, "value") for one in ("Checkbox", "Textbox", "Number", "State"))
Text = TextArea = Textbox
Dropdown, Radio, CheckboxGroup = (_kind(one, "choices", "value") for one in ("Dropdown", "Radio", "CheckboxGroup"))
Image, ImageEditor, ColorPicker, HTML, Markdown, Button, File, Gallery, Code, JSON, Label, Plot, Files, Video, Audio = (
    _kind(one, "value")
    for one in (
        *("Image", "ImageEditor", "ColorPicker", "HTML", "Markdown", "Button", "File", "Gallery", "Code", "JSON"),
        *("Label", "Plot", "Files", "Video", "Audio"),
    )
)
UploadButton, DownloadButton, HighlightedText, Variable = (
    _kind(one, "value") for one in ("UploadButton", "DownloadButton", "HighlightedText", "Variable")
)
Dataframe, DataFrame, Dataset = (_kind(one, "value") for one in ("Dataframe", "DataFrame", "Dataset"))
Blocks, Row, Column, Group, Box, Tabs = (_kind(one) for one in ("Blocks", "Row", "Column", "Group", "Box", "Tabs"))
Accordion, Tab, TabItem = (_kind(one, "label") for one in ("Accordion", "Tab", "TabItem"))


class Error(Exception):
    """As `gradio.Error`: ends what is being done with a sentence."""


class Request:
    """As `gradio.Request`, for annotations."""


class SelectData:
    """As `gradio.SelectData`, for annotations."""


class EventData:
    """As `gradio.EventData`, for annotations."""


def update(**named: Any) -> dict[str, Any]:
    """A change of a component, as Gradio writes it down."""
    return {"__type__": "update", **named}


def skip() -> dict[str, Any]:
    """No change."""
    return update()


def _say(text: Any, *positional: Any, **named: Any) -> None:
    """Tell the person something with the job's result, or the log where there is no job."""
    job = now()
    if job is None:
        log.warning("an extension says: %s", text)
    else:
        job.context.note(str(text))


Warning = Info = _say  # noqa: A001 -- Gradio's names
components = blocks = sys.modules[__name__]
"""Gradio's own modules of components: `gradio.components.Slider` is `gradio.Slider`."""
