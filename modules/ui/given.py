"""Pictures that people give to the page: kept by owner and open page, for the panels that ask for some.

They come as data URIs inside small calls and stay in memory here; no file is taken.
"""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import gradio as gr
from PIL import Image, UnidentifiedImageError

from modules.contracts.accounts import LOCAL, Accounts
from modules.contracts.errors import InvalidRequest
from modules.contracts.pictures import PictureStore

HELD_BYTES = 128 << 20
"""Of all pictures that open pages gave; the ones that were used longest ago go first."""
MOST_PIXELS = 1 << 22
SHOWN = 384
"""Longest side of what the page shows of a picture, pixels."""
Page = tuple[str, str]
"""Owner and session: one open page."""


class Pictures:
    """What open pages gave the fields of one panel. Safe from any thread; nothing is kept for good."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Page, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, page: Page, number: int, data: bytes) -> None:
        """Keep the picture of a field in place of the one before; empty data keeps none."""
        with self._lock:
            self._held.pop((page, number), None)
            if data:
                self._held[page, number] = data
            while sum(map(len, self._held.values())) > HELD_BYTES:
                self._held.popitem(last=False)

    def get(self, page: Page, number: int) -> bytes:
        """The picture of a field; empty where there is none."""
        with self._lock:
            data = self._held.get((page, number), b"")
            if data:
                self._held.move_to_end((page, number))
            return data

    def take(self, number: int, text: str, page: Page) -> dict[str, Any]:
        """Keep the picture of a data URI, or with an empty text none; what the page then shows."""
        if not text:
            self.put(page, number, b"")
            return {"picture": None, "map": None}
        try:
            image = read_data_uri(text)
        except InvalidRequest as error:
            raise gr.Error(error.message, print_exception=False) from error
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        self.put(page, number, buffer.getvalue())
        return {"picture": data_uri(image), "map": None}


def take_pictures(shown: Any, pictures: Pictures, number: int, quiet: Mapping[str, Any]) -> None:
    """Let the element `shown` give `pictures` the one of that number, and take it away. `quiet` goes to each event."""

    # Gradio reads from the words of a handler that it wants the event or the request.
    def choose(event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        return pictures.take(number, said_by(event), page_of(request))

    def clear(request: gr.Request) -> dict[str, Any]:
        return pictures.take(number, "", page_of(request))

    shown.choose(choose, None, shown, **quiet)
    shown.clear_picture(clear, None, shown, **quiet)


def said_by(event: gr.EventData) -> str:
    """What the page said with an event; empty where somebody calls without one."""
    said = vars(event).get("_data")  # asking the event itself for what it lacks is an error of another kind
    return str(said.get("id", "")) if isinstance(said, dict) else ""


def text_by(event: gr.EventData) -> str:
    """The infotext that the page sent along, of a picture that is not in the gallery; empty where there is none."""
    said = vars(event).get("_data")
    text = said.get("infotext") if isinstance(said, dict) else None
    return text if isinstance(text, str) else ""


def recalled_by(pictures: PictureStore, event: gr.EventData, request: gr.Request) -> str | None:
    """The infotext that is to be recalled: the one sent along, or that of a picture of the person's own.

    None where the picture is not theirs, or is gone.
    """
    text = text_by(event)
    if text:
        return text
    picture = pictures.get(said_by(event))
    return picture.infotext if picture is not None and picture.owner == owner_of(request) else None


def only_of(event: gr.EventData) -> tuple[str, ...]:
    """Which kinds of settings the page wants of a picture; empty for all."""
    said = vars(event).get("_data")
    only = said.get("only") if isinstance(said, dict) else None
    return tuple(map(str, only)) if isinstance(only, list) else ()


def owner_of(request: gr.Request) -> str:
    """Whose jobs and pictures the page shows."""
    return request.username or LOCAL.name


def is_guest(accounts: Accounts, request: gr.Request) -> bool:
    """Names without an account are admins: whoever sits at this machine, and those of `--api-auth`."""
    user = accounts.user(owner_of(request))
    return user is not None and user.role == "guest"


def page_of(request: gr.Request) -> Page:
    """Which open page asks."""
    return owner_of(request), str(request.session_hash)


def read_data_uri(text: str) -> Image.Image:
    """The RGB picture of a data URI. Raises `InvalidRequest` for anything else, and for one that is too large."""
    head, _, packed = text.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise InvalidRequest("That is no picture; PNG, JPEG and WebP are understood.")
    try:
        image = Image.open(io.BytesIO(base64.b64decode(packed, validate=True)), formats=("PNG", "JPEG", "WEBP"))
        if image.width * image.height > MOST_PIXELS:
            raise InvalidRequest(f"The picture has {image.width} × {image.height} pixels; four million are taken.")
        return image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InvalidRequest("That picture cannot be read; PNG, JPEG and WebP are understood.") from error


def data_uri(image: Image.Image) -> str:
    """A small copy of a picture for the page."""
    small = image.convert("RGB")
    small.thumbnail((SHOWN, SHOWN))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
