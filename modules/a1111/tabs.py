"""A tab that an extension made of stand-ins (`on_ui_tabs`), made once more of Gradio's own components, for the page.

What the page does not serve has no place there: pictures and files stand as a sentence, and their values are None.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gradio as real

from modules.a1111 import components as gr
from modules.contracts.errors import reason_of

log = logging.getLogger(__name__)
Check = Callable[[Any], None]
"""Raises for somebody who may not do anything here."""
AS_ANOTHER = {"Blocks": "Column", "Box": "Group", "TabItem": "Tab", "Text": "Textbox", "TextArea": "Textbox"}
WITHHELD = frozenset(
    ("Image", "ImageEditor", "File", "Files", "Gallery", "Video", "Audio", "Plot", "UploadButton", "DownloadButton")
)
NOT_HERE = "Pictures and files of extensions are not shown here."
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


class TabBuilder:
    """Makes one tab. Raises whatever Gradio says of what it cannot make."""

    def __init__(self, name: str, check: Check) -> None:
        """`name` is the extension's, for messages."""
        self._name, self._check = name, check
        self._made: dict[int, Any] = {}

    def build(self, blocks: Any) -> None:
        """What stands inside of `blocks`, in the current layout, with what is bound to it."""
        self._place(blocks._inside)
        for component in _all(blocks):
            for bound in component._bound:
                self._bind(self._made[id(component)], bound)

    def _place(self, components: Iterable[Any]) -> None:
        for component in components:
            kind = _kind_of(component)
            if kind is None:
                real.Markdown(NOT_HERE)
                self._made[id(component)] = real.State(None)
                self._place(component._inside)
                continue
            made = self._made[id(component)] = kind(**_fitting(kind, component._told))
            if component._inside:
                with made:
                    self._place(component._inside)

    def _bind(self, owner: Any, bound: gr.Bound) -> None:
        names = ("fn", "inputs", "outputs")
        said = {**dict(zip(names, bound.positional, strict=False)), **bound.named}
        inputs, outputs = (_listed(said.get(name)) for name in ("inputs", "outputs"))
        known = all(id(one) in self._made for one in (*inputs, *outputs))
        listen = getattr(owner, bound.event, None)
        if listen is None or not known:
            log.warning("%s: what is bound to %s is about something else than its tab", self._name, bound.event)
            return
        act = said.get("fn")
        keyed = isinstance(said.get("inputs"), set)
        found = listen(
            None if act is None else self._acting(act, inputs if keyed else None, outputs),
            [self._made[id(one)] for one in inputs],
            [self._made[id(one)] for one in outputs],
            js=said.get("js") or said.get("_js"),
            **QUIET,
        )
        for one in bound.following:
            self._bind(found, one)

    def _acting(self, act: Callable[..., Any], keys: list[Any] | None, outputs: list[Any]) -> Callable[..., Any]:
        """`act` with who asks checked, its values as it wants them and what it gives as Gradio wants it."""

        # Gradio reads from the words of a handler that it wants the request.
        def call(request: real.Request, *values: Any) -> Any:
            self._check(request)
            try:
                given = values if keys is None else (dict(zip(keys, values, strict=True)),)
                found = act(*given)
                for last in found if inspect.isgenerator(found) else ():
                    found = last
                return _given(found, outputs)
            except gr.Error as error:
                raise real.Error(str(error), print_exception=False) from error
            except Exception as error:  # border 'extension'
                log.exception("the tab of %s failed", self._name)
                raise real.Error(
                    f"{self._name} failed: {type(error).__name__}: {reason_of(error)}.", print_exception=False
                ) from error

        return call


def _all(component: Any) -> Iterator[Any]:
    for one in component._inside:
        yield one
        yield from _all(one)


def _kind_of(component: Any) -> type[Any] | None:
    """Gradio's own; None for what the page does not serve. Of a subclass it is what it is made of."""
    for kind in type(component).__mro__:
        if kind.__name__ in WITHHELD:
            return None
        found = getattr(real, AS_ANOTHER.get(kind.__name__, kind.__name__), None)
        if kind.__module__ == gr.__name__ and inspect.isclass(found):
            return found
    return real.Column


def _fitting(kind: type[Any], told: dict[str, Any]) -> dict[str, Any]:
    """The arguments that Gradio's class has; what is not to be seen stays in the document, as scripts look for it."""
    known = inspect.signature(kind.__init__).parameters
    found = {name: value for name, value in told.items() if name in known and name not in ("render", "every")}
    if found.get("visible") is False and not issubclass(kind, real.blocks.BlockContext):
        found["visible"] = "hidden"
    return found


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple | set) else [given]


def _given(found: Any, outputs: list[Any]) -> Any:
    """What a handler gave, as Gradio wants it. Raises `ValueError` for more or fewer values than there are outputs."""
    if not outputs:
        return None
    if isinstance(found, dict) and found and all(isinstance(key, gr.Component) for key in found):
        rows = [found.get(one, real.skip()) for one in outputs]
    elif len(outputs) > 1 and isinstance(found, list | tuple):
        rows = list(found)
        if len(rows) != len(outputs):
            raise ValueError(f"its handler gave {len(rows)} values for {len(outputs)} outputs")
    else:
        rows = [found] * len(outputs)
    rows = [real.update(**one._told) if isinstance(one, gr.Component) else one for one in rows]
    rows = [None if _kind_of(out) is None else row for row, out in zip(rows, outputs, strict=True)]
    return rows if len(outputs) > 1 else rows[0]
