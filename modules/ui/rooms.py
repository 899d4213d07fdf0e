"""The rooms of the page beside Create: a tab each, whose script and style are fetched when it is first opened."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from modules.contracts.accounts import NOT_FOR_GUESTS
from modules.support.studio import Studio
from modules.ui.assets import KINDS, mark
from modules.ui.given import is_guest

CREATE = "txt2img"
"""Id of the tab with the form, A1111's name for it."""
EDIT = "edit"


@dataclass(frozen=True, slots=True)
class Room:
    """A room that `javascript/NAME.js` draws by `window.atelierRooms.add(NAME, build)`, from the API's answers."""

    name: str
    label: str
    calls_api: bool = True
    """Whether it is only there where the API is served."""
    files: tuple[str, ...] = ()
    """Further files that it needs, fetched before its own."""


KIT = ("roomkit.css", "roomkit.js")
"""What rooms are furnished with."""
ROOMS: tuple[Room, ...] = (
    Room(
        EDIT,
        "Edit",
        calls_api=False,
        files=(
            *("edit-layers.js", "edit-brush.js", "edit-paint.js", "edit-view.js", "edit-draft.js"),
            *("edit-compare.js", "edit-tools.js"),
        ),
    ),
    Room("gallery", "Gallery", files=("gallery-grid.js", "gallery-viewer.js", "gallery-compare.js")),
    Room("queue", "Queue", files=(*KIT, "queuerow.js")),
    Room("settings", "Settings", files=KIT),
    Room("system", "System", files=(*KIT, "system-chart.js", "system-log.js")),
)
"""In the order of their tabs, behind Create."""


def rooms_of(studio: Studio) -> tuple[Room, ...]:
    """Those of `ROOMS` that a studio with these options has."""
    return tuple(room for room in ROOMS if studio.options.network.api or not room.calls_api)


def build_rooms(studio: Studio, quiet: dict[str, Any], inputs: Mapping[str, Callable[[], None]]) -> None:
    """Their tabs. Stands in the `gr.Tabs` of the page, behind the tab of Create.

    `inputs` make, by the name of a room, the inputs that its script finds beside its shell.
    """
    for room in rooms_of(studio):
        with gr.Tab(room.label, id=room.name, elem_id=f"tab_{room.name}", render_children=True) as tab:
            _shell(room)
            if room.name in inputs:
                inputs[room.name]()
        tab.select(None, None, None, js=opening(room.name), **quiet)


def build_tabs(studio: Studio, quiet: dict[str, Any]) -> None:
    """Rooms of extensions, behind the studio's own; a name that is taken is left out."""

    def check(request: gr.Request) -> None:
        if is_guest(studio.accounts, request):
            raise gr.Error(NOT_FOR_GUESTS, print_exception=False)

    taken = {CREATE, *(room.name for room in rooms_of(studio))}
    for entry in studio.scripts.rooms():
        if entry.name in taken:
            continue
        with gr.Tab(entry.title, id=entry.name, elem_id=f"tab_{entry.name}", render_children=True) as tab:
            trouble = entry.build(check)
            if trouble:
                gr.Markdown(html.escape(trouble), elem_classes="trouble")
        tab.select(None, None, None, js=opening(entry.name), **quiet)


def opening(name: str) -> str:
    """What the browser does when the tab with that id is chosen."""
    return f"() => {{ window.atelierRooms.open('{name}'); return []; }}"


def _shell(room: Room) -> gr.HTML:
    names = (*room.files, f"{room.name}.css", f"{room.name}.js")
    files = [f"studio/{name}?v={mark()}" for name in names if name in KINDS]
    return gr.HTML(
        {"files": files},
        html_template=f'<div class="atelier-room atelier-{room.name}"></div>',
        js_on_load=f"window.atelierRooms.place('{room.name}', element.querySelector('.atelier-room'), props.value);",
        apply_default_css=False,
        elem_id=f"atelier_{room.name}",
    )
