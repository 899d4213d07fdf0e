"""The page's own elements: fixed shells of HTML whose insides `javascript/studio.js` draws from a plain value."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from modules.contracts.prompts import TokenCount
from modules.support.studio import Status
from modules.ui.assets import mark

MARK = (
    '<svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">'
    '<rect width="32" height="32" rx="9" fill="#bd4219"/>'
    '<path d="M8 24 15.1 7.6a1 1 0 0 1 1.8 0L24 24" fill="none" stroke="#fff" stroke-width="3" '
    'stroke-linecap="round" stroke-linejoin="round"/>'
    '<circle cx="16" cy="19.5" r="3.1" fill="#ffd9c7"/></svg>'
)
"""The logo: an A that is an easel, with a sun on it."""


NO_ARCHIVE = {"token": "", "got": 0, "count": 0}
"""What the page shows of a zip file before there is one."""


def _element(part: str, value: Any, *, events: tuple[str, ...] = (), **look: Any) -> gr.HTML:
    """A shell that `studio.js` fills. `events` are the words that it may send back."""
    names = ", ".join(f"'{name}'" for name in events)
    return gr.HTML(
        value,
        html_template=f'<div class="atelier-{part}"></div>',
        js_on_load=f"window.atelier.raise('{part}', element, props, watch, trigger, [{names}]);",
        head=f'<script src="studio/studio.js?v={mark()}"></script>',
        apply_default_css=False,
        **look,
    )


def stage(value: dict[str, Any], ranges: Mapping[str, Sequence[float | None]]) -> gr.HTML:
    """The big picture with progress, details and actions.

    Sends `recall` and `enlarge` with the id of the picture shown, `attach` when it has lost sight of a running job, and
    `ping` soon after each click.
    """
    return _element(
        "stage", value, events=("recall", "enlarge", "attach", "ping"), elem_id="txt2img_stage", ranges=ranges
    )


def gallery(value: dict[str, Any]) -> gr.HTML:
    """The owner's pictures, newest first."""
    return _element("gallery", value, elem_id="txt2img_gallery")


def examples(prompts: tuple[str, ...]) -> gr.HTML:
    """Prompts to begin with; a press puts one into the prompt."""
    return _element("examples", {"prompts": list(prompts)}, elem_id="txt2img_examples")


def brand() -> gr.HTML:
    """Logo and name."""
    return gr.HTML(f"{MARK}<h1>Atelier</h1>", elem_id="atelier_brand", js_on_load=None, apply_default_css=False)


def control_picture(number: int) -> gr.HTML:
    """The picture of a ControlNet unit with its map. Sends `choose` with a data URI as id, and `clear_picture`."""
    return given_picture(f"txt2img_controlnet_ControlNet-{number}_input_image", "Picture of this unit")


def given_picture(place: str, label: str, **more: str) -> gr.HTML:
    """A picture that the page is given, with that id. Sends `choose` with a data URI as id, and `clear_picture`.

    `more` may have a `prompt`, the words where it is dropped.
    """
    value = {"picture": None, "map": None}
    return _element("control", value, events=("choose", "clear_picture"), elem_id=place, label=label, **more)


def given_archive(place: str) -> gr.HTML:
    """A zip file that the page is given, with that id. Sends `piece` with its token, the piece's number, how many there
    are and the bytes in base64 as id, one after the other, and `clear_archive`."""
    return _element("archive", NO_ARCHIVE, events=("piece", "clear_archive"), elem_id=place)


def edit_facts(value: dict[str, Any]) -> gr.HTML:
    """What the Edit room has to know of the model: `native` side in pixels, and whether it can `img2img`, `inpaint`."""
    return _element("facts", value, elem_id="img2img_facts")


def appearance() -> gr.HTML:
    """The button that changes between light and dark."""
    return _element("appearance", None, elem_id="atelier_appearance")


def language() -> gr.HTML:
    """The list of the languages that the page speaks."""
    return _element("language", None, elem_id="atelier_language")


def tokens(count: TokenCount | None) -> str:
    """How many tokens the prompt has and how many there is room for, as HTML; nothing where that is not known."""
    if count is None:
        return ""
    pieces = f" in {count.pieces} pieces" if count.pieces > 1 else ""
    words = f"{count.tokens} of {count.limit} tokens{pieces}"
    return f'<span class="tokens" title="{words}" aria-label="{words}">{count.tokens}/{count.limit}</span>'


def left(text: str) -> str:
    """What somebody has left, as HTML; nothing for nothing."""
    return f'<p class="left" role="status">{html.escape(text)}</p>' if text else ""


def status_line(status: Status) -> str:
    """One pill: what the studio is doing at its start, as HTML."""
    mood = {"ready": "ready", "failed": "failed"}.get(status.phase, "busy")
    words = html.escape(status.message)
    return (
        f'<span class="pill {mood}" role="status" data-phase="{status.phase}" title="{words}">'
        f'<span class="dot" aria-hidden="true"></span><span class="words">{words}</span></span>'
    )
