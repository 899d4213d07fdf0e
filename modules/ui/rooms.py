"""The rooms of the page beside Create: a tab each, whose script and style are fetched when it is first opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from modules.support.studio import Studio
from modules.ui.assets import KINDS, mark

CREATE = "txt2img"
"""Id of the tab with the form, A1111's name for it."""


@dataclass(frozen=True, slots=True)
class Room:
    """A room that `javascript/NAME.js` draws by `window.atelierRooms.add(NAME, build)`, from the API's answers."""

    name: str
    label: str
    calls_api: bool = True
    """Whether it is only there where the API is served."""


ROOMS: tuple[Room, ...] = ()
"""In the order of their tabs, behind Create."""


def rooms_of(studio: Studio) -> tuple[Room, ...]:
    """Those of `ROOMS` that a studio with these options has."""
    return tuple(room for room in ROOMS if studio.options.network.api or not room.calls_api)


def build_rooms(studio: Studio, quiet: dict[str, Any]) -> None:
    """Their tabs. Stands in the `gr.Tabs` of the page, behind the tab of Create."""
    for room in rooms_of(studio):
        with gr.Tab(room.label, id=room.name, elem_id=f"tab_{room.name}", render_children=True) as tab:
            _shell(room)
        tab.select(None, None, None, js=opening(room.name), **quiet)


def opening(name: str) -> str:
    """What the browser does when the tab with that id is chosen."""
    return f"() => {{ window.atelierRooms.open('{name}'); return []; }}"


def _shell(room: Room) -> gr.HTML:
    files = [f"studio/{name}?v={mark()}" for name in (f"{room.name}.css", f"{room.name}.js") if name in KINDS]
    return gr.HTML(
        {"files": files},
        html_template=f'<div class="atelier-room atelier-{room.name}"></div>',
        js_on_load=f"window.atelierRooms.place('{room.name}', element.querySelector('.atelier-room'), props.value);",
        apply_default_css=False,
        elem_id=f"atelier_{room.name}",
    )
