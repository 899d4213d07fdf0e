"""Stands in for `gradio` while an extension says which inputs it has.

Nothing is drawn with it: a component keeps what it was made with, what stands inside it and what is bound to it. The
studio makes parameters of those that `ui()` gives, and `modules.a1111.tabs` makes real ones of a tab's. Keywords of
every generation of Gradio are taken.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
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
PLACE: ContextVar[list[Component] | None] = ContextVar("a1111_place", default=None)
"""What the layout holds that was entered last."""


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
        hear, around = HEARS.get(), PLACE.get()
        self._told = told = {**dict(zip(self.given, positional, strict=False)), **named}
        self._inside: list[Component] = []
        self._bound: list[Bound] = []
        if around is not None:
            around.append(self)
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
        """Events: they are kept, and carried out on a tab of the page only."""
        if name in EVENTS:
            return _Binder(self._bound, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __enter__(self) -> Any:
        """What is made from now on stands inside of it."""
        self._entered = PLACE.set(self._inside)
        return self

    def __exit__(self, *raised: object) -> None:
        """What is made from now on stands where this one does."""
        PLACE.reset(self._entered)

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


@dataclass(slots=True)
class Bound:
    """What happens on an event: the arguments of the call that bound it, and what follows."""

    event: str
    positional: tuple[Any, ...]
    named: dict[str, Any]
    following: list[Bound] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """More can be hung onto it."""
        if name in EVENTS:
            return _Binder(self.following, name)
        raise AttributeError(name)


class _Binder:
    """Binds to one event."""

    def __init__(self, kept: list[Bound], event: str) -> None:
        self._kept, self._event = kept, event

    def __call__(self, *positional: Any, **named: Any) -> Bound:
        bound = Bound(self._event, positional, named)
        self._kept.append(bound)
        return bound


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
