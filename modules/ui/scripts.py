"""Scripts and extensions on the page: an accordion for each script that is always on, a list of those that own a run,
and for admins the place where extensions are switched on and off.

The form has the scripts that stood when the page was built. One that was switched off meanwhile is told nothing.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import gradio as gr

from modules.contracts.errors import StudioError
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import GivenValue, ParameterEntry, ScriptEntry, ScriptParams, ScriptUse
from modules.support.studio import Studio
from modules.ui.elements import given_picture
from modules.ui.given import Page, Pictures, owner_of, take_pictures
from modules.ui.installing import InstallPlace

NONE = "None"
"""Of the list of scripts that own a run."""
HEADS = ("Extension", "State", "Scripts", "Load", "Memory", "Last failure")


@dataclass(frozen=True, slots=True)
class _Field:
    """An input of a script. `number` is that of its picture, for a parameter that is one."""

    script: ScriptEntry
    item: ParameterEntry
    number: int = -1


class ScriptPanel:
    """The inputs of all scripts. One per page as it is built; open pages share it."""

    def __init__(self, studio: Studio, modes: Sequence[str] = ("txt2img", "img2img")) -> None:
        """Those of jobs of these `modes`; `enlarge` is the third."""
        self._studio, self._modes = studio, tuple(modes)
        self.pictures = Pictures()
        self.fields: list[Any] = []
        """The list of scripts that own a run, if there are any, then the inputs of every script."""
        self._asked: list[_Field] = []
        self._drawn: list[tuple[_Field, Any]] = []
        self._owners: tuple[ScriptEntry, ...] = ()

    def build(self) -> None:
        """Make the accordions in the current layout; nothing where there are no scripts."""
        scripts = self._studio.scripts
        both = [scripts.offered(mode, always_on=False) for mode in self._modes]
        self._owners = tuple({one.title: one for each in both for one in each}.values())
        always = [scripts.offered(mode, always_on=True) for mode in self._modes]
        for script in {one.title: one for each in always for one in each}.values():
            if script.panel or any(not item.hidden for item in script.parameters):
                self._accordion(script)
        if self._owners:
            with gr.Accordion("Script", open=False, elem_id="txt2img_script_container", elem_classes="section"):
                titles = [NONE, *(one.title for one in self._owners)]
                chosen = gr.Dropdown(titles, value=NONE, label="Script", elem_id="script_list", min_width=0)
                self.fields.insert(0, chosen)
                for script in self._owners:
                    self._accordion(script)

    def _accordion(self, script: ScriptEntry) -> None:
        with gr.Accordion(script.title, open=False, elem_id=_id(script), elem_classes="section"):
            if script.panel:
                gr.Markdown(script.panel, sanitize_html=True)
            for item in script.parameters:
                if item.hidden:
                    continue
                if item.kind == "picture":
                    one = _Field(script, item, len(self._drawn))
                    self._drawn.append((one, given_picture(_id(script, item), item.label, prompt=item.label)))
                else:
                    self._asked.append(_Field(script, item))
                    self.fields.append(_input(script, item))

    def connect(self, quiet: dict[str, Any]) -> None:
        """Say what the picture inputs do. `quiet` are the arguments of every event."""
        for one, shown in self._drawn:
            take_pictures(shown, self.pictures, one.number, quiet)

    def fill(self, asked: GenerationRequest, values: Sequence[Any], page: Page) -> GenerationRequest:
        """The request with what the inputs say, as far as it is not the default. Values are checked by the queue."""
        given = list(values)
        chosen = str(given.pop(0) or NONE) if self._owners else NONE
        said: dict[str, list[GivenValue]] = {}
        for field, value in zip(self._asked, given, strict=True):
            item = field.item
            usual = list(item.default) if item.kind == "choices" else item.default
            if value is not None and value != usual:
                whole = isinstance(item.default, int) and isinstance(value, float) and value.is_integer()
                said.setdefault(field.script.title, []).append(GivenValue(item.name, int(value) if whole else value))
        for field, _ in self._drawn:
            data = self.pictures.get(page, field.number)
            if data:
                said.setdefault(field.script.title, []).append(GivenValue(field.item.name, picture=data))
        mode = asked.mode if asked.mode in ("txt2img", "enlarge") else "img2img"
        always = tuple(
            ScriptUse(one.title, tuple(said[one.title]))
            for one in self._studio.scripts.offered(mode, always_on=True)
            if one.title in said
        )
        run = None if chosen == NONE else ScriptUse(chosen, tuple(said.get(chosen, ())))
        return replace(asked, scripts=ScriptParams(always, run))


def _id(script: ScriptEntry, item: ParameterEntry | None = None) -> str:
    """As A1111 names the inputs of scripts."""
    words = f"script_txt2img_{script.title}" + ("" if item is None else f"_{item.name}")
    return "".join(mark if mark.isalnum() else "_" for mark in words.lower())


def _input(script: ScriptEntry, item: ParameterEntry) -> Any:
    look: dict[str, Any] = {
        "label": item.label,
        "elem_id": _id(script, item),
        "min_width": 0,
        "info": item.help or None,
    }
    if item.kind == "toggle":
        return gr.Checkbox(value=bool(item.default), **look)
    if item.kind == "choice":
        return gr.Dropdown(list(item.choices or ()), value=item.default, **look)
    if item.kind == "choices":
        return gr.CheckboxGroup(list(item.choices or ()), value=list(item.default), **look)
    if item.kind == "text":
        return gr.Textbox(value=item.default, lines=item.lines, **look)
    bounds = {"minimum": item.minimum, "maximum": item.maximum}
    step = item.step or (1 if isinstance(item.default, int) else 0.01)
    if item.minimum is not None and item.maximum is not None:
        return gr.Slider(value=item.default, step=step, **bounds, **look)
    return gr.Number(value=item.default, step=step, **bounds, **look)


class ExtensionPlace:
    """Where admins see what is loaded and switch it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.installing = InstallPlace(studio)

    def build(self, page: gr.Blocks, quiet: dict[str, Any]) -> None:
        """Make the place in the current layout; it is filled for those who may see it when a page opens."""
        with gr.Accordion(
            "Extensions", open=False, visible=False, elem_id="tab_extensions", elem_classes="section"
        ) as place:
            table = gr.HTML("", elem_id="extensions_table", js_on_load=None, apply_default_css=False)
            chosen = gr.Dropdown([], label="Extension", elem_id="extensions_chosen")
            with gr.Row():
                buttons = {
                    action: gr.Button(action.capitalize(), size="sm", min_width=0)
                    for action in ("enable", "disable", "reload")
                }
            install, told = self.installing.build(chosen, quiet)
        shown = [table, chosen]
        page.load(self.open, None, [place, *shown, install], **quiet)
        told.change(self.again, None, shown, **quiet)
        for action, button in buttons.items():
            button.click(self._acting(action), chosen, shown, **quiet)

    def _acting(self, action: str) -> Any:
        def act(name: str | None, request: gr.Request) -> list[Any]:
            return self.switch(action, name, request)

        return act

    def open(self, request: gr.Request) -> list[Any]:
        """The place with its table and names, for admins; nobody else sees it."""
        if not self._is_admin(request):
            return [gr.update(visible=False), "", gr.update(choices=[]), gr.update(visible=False)]
        return [gr.update(visible=True), *self._shown(None), gr.update(visible=self.installing.may(request))]

    def again(self, request: gr.Request) -> list[Any]:
        """Table and names after a change of what there is, for admins."""
        return self._shown(None) if self._is_admin(request) else ["", gr.update(choices=[])]

    def switch(self, action: str, name: str | None, request: gr.Request) -> list[Any]:
        """Do that to an extension; what the place shows then."""
        if not self._is_admin(request):
            raise gr.Error("Only an admin may do that.", print_exception=False)
        acts: dict[str, Literal["enable", "disable", "reload"]] = {
            "enable": "enable",
            "disable": "disable",
            "reload": "reload",
        }
        try:
            entry = self._studio.scripts.switch(name or "", acts[action])
        except StudioError as error:
            raise gr.Error(error.message, print_exception=False) from error
        if entry.state == "failed":
            gr.Warning(entry.error, title=entry.name)
        return self._shown(entry.name)

    def _shown(self, chosen: str | None) -> list[Any]:
        names = [entry.name for entry in self._studio.scripts.entries()]
        return [self.table(), gr.update(choices=names, value=chosen if chosen in names else next(iter(names), None))]

    def table(self) -> str:
        """All extensions with state, time, memory and the last failure, as HTML."""
        scripts = self._studio.scripts
        rows = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(word)}</td>" for word in words)
            + f"<td>{html.escape(entry.error)}{_details(entry.trace)}</td></tr>"
            for entry in scripts.entries()
            for words in [
                (
                    entry.name,
                    entry.state,
                    ", ".join(one.title for one in entry.scripts),
                    f"{entry.seconds:.2f} s",
                    f"{entry.bytes / 2**20:.1f} MiB",
                )
            ]
        )
        heads = "".join(f"<th>{head}</th>" for head in HEADS)
        said = ["The studio was started with --safe-mode: nothing is loaded."] if scripts.safe else []
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in (*said, *scripts.notices))
        return f"{notes}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"

    def _is_admin(self, request: gr.Request) -> bool:
        """Names without an account are admins: whoever sits at this machine, and those of `--api-auth`."""
        user = self._studio.accounts.user(owner_of(request))
        return user is None or user.role == "admin"


def _details(trace: str) -> str:
    return f"<details><summary>Traceback</summary><pre>{html.escape(trace)}</pre></details>" if trace else ""
