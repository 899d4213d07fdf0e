"""ControlNet on the page: three units, the pictures that people gave them, and what preprocessors make of those.

Pictures come as data URIs inside small calls and stay in memory here, by owner and open page; no file is taken.
"""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import gradio as gr
from PIL import Image, UnidentifiedImageError

from modules.contracts.accounts import LOCAL
from modules.contracts.control import NO_MODEL, ControlParams, ControlUnit, build_unit, unit_parameters, value_of
from modules.contracts.errors import InvalidRequest, StudioError
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import GenerationRequest
from modules.support.studio import Studio
from modules.ui.elements import control_picture
from modules.ui.facts import Choices, ModelFacts, facts_of
from modules.ui.form import coerce
from modules.ui.inputs import make_input

UNITS = 3
CAPABILITY = "control"
OFFERED = (
    *("enabled", "module", "model", "weight", "guidance_start", "guidance_end", "control_mode", "resize_mode"),
    *("pixel_perfect", "processor_res", "threshold_a", "threshold_b", "blocks"),
)
"""Fields of a unit that the page has inputs for, in the order in which handlers get their values."""
RULES = {item.path[-1]: item for item in unit_parameters()}
HELD_BYTES = 128 << 20
"""Of all pictures that open pages gave; the ones that were used longest ago go first."""
MOST_PIXELS = 1 << 22
SHOWN = 384
"""Longest side of what the page shows of a picture, pixels."""
Page = tuple[str, str]
"""Owner and session: one open page."""


class Pictures:
    """What open pages gave their units. Safe from any thread; nothing is kept for good."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Page, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, page: Page, number: int, data: bytes) -> None:
        """Keep the picture of a unit in place of the one before; empty data keeps none."""
        with self._lock:
            self._held.pop((page, number), None)
            if data:
                self._held[page, number] = data
            while sum(map(len, self._held.values())) > HELD_BYTES:
                self._held.popitem(last=False)

    def get(self, page: Page, number: int) -> bytes:
        """The picture of a unit; empty where there is none."""
        with self._lock:
            data = self._held.get((page, number), b"")
            if data:
                self._held.move_to_end((page, number))
            return data


class ControlPanel:
    """The accordion with its units. One per page as it is built; open pages share it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.pictures = Pictures()
        self.accordion: Any = None
        self.fields: list[Any] = []
        """Inputs of all units, unit by unit."""
        self._shown: list[Any] = []
        self._looks: list[Any] = []

    def build(self, facts: ModelFacts) -> None:
        """Make the accordion in the current layout."""
        able = facts.can(CAPABILITY)
        self.accordion = gr.Accordion("ControlNet", open=False, visible=able, elem_id="txt2img_controlnet")
        with self.accordion, gr.Tabs():
            for number in range(UNITS):
                with gr.Tab(f"Unit {number}", elem_id=f"txt2img_controlnet_ControlNet-{number}"):
                    self._build_unit(number)

    def _build_unit(self, number: int) -> None:
        made: dict[str, Any] = {}

        def add(name: str, choices: Choices | None = None, **look: Any) -> None:
            rule = RULES[name]
            if choices is None and isinstance(rule.param.choices, tuple):
                choices = [(word, word) for word in rule.param.choices]
            place = f"txt2img_controlnet_ControlNet-{number}_controlnet_{name}"
            made[name] = make_input(rule, choices, rule.default, elem_id=place, **look)

        self._shown.append(control_picture(number))
        with gr.Row():
            add("enabled")
            add("pixel_perfect")
            self._looks.append(gr.Button("Preview", elem_id=f"txt2img_controlnet_ControlNet-{number}_preview"))
        with gr.Row():
            add("module", self._modules())
            add("model", self._models())
        with gr.Row():
            for name in ("weight", "guidance_start", "guidance_end"):
                add(name)
        with gr.Row():
            add("control_mode")
            add("resize_mode")
        with gr.Row():
            for name in ("processor_res", "threshold_a", "threshold_b"):
                add(name)
        add("blocks")
        self.fields += [made[name] for name in OFFERED]

    def _modules(self) -> Choices:
        """Preprocessors that work with a picture alone: the page has no masks."""
        entries = self._studio.controls.preprocessors()
        return [(entry.label, entry.name) for entry in entries if entry.needs is None and not entry.masked]

    def _models(self) -> Choices:
        entries = [entry for entry in self._studio.controls.models() if entry.problem is None]
        return [(NO_MODEL, NO_MODEL), *((entry.title, entry.name) for entry in entries)]

    def connect(self, page: gr.Blocks, checkpoint: Any, stage: Any, quiet: dict[str, Any]) -> None:
        """Say which handler each control calls. `quiet` are the arguments of every event."""
        raw, each = {**quiet, "preprocess": False}, len(OFFERED)
        models = [self.fields[number * each + OFFERED.index("model")] for number in range(UNITS)]
        switches = [self.fields[number * each] for number in range(UNITS)]
        for number in range(UNITS):
            self._connect_unit(number, self.fields[number * each : (number + 1) * each], quiet)
        stage.recall(self.recall, None, self.fields, **quiet)
        checkpoint.input(self.fit, checkpoint, [self.accordion, *switches], **raw)
        page.load(lambda: [gr.update(choices=self._models())] * UNITS, None, models, **quiet)

    def _connect_unit(self, number: int, own: list[Any], quiet: dict[str, Any]) -> None:
        """Gradio reads from the words of a handler that it wants the event or the request."""
        shown, look = self._shown[number], self._looks[number]

        def choose(event: gr.EventData, request: gr.Request) -> dict[str, Any]:
            return self.choose(number, str(event.id), page_of(request))

        def clear(request: gr.Request) -> dict[str, Any]:
            return self.choose(number, "", page_of(request))

        def preview(request: gr.Request, *values: Any) -> dict[str, Any]:
            return self.preview(number, page_of(request), values)

        shown.choose(choose, None, shown, **quiet)
        shown.clear_picture(clear, None, shown, **quiet)
        look.click(preview, own, shown, **{**quiet, "preprocess": False})

    def compose(self, values: Sequence[Any], page: Page) -> ControlParams:
        """The units that the inputs ask for. Raises `InvalidRequest` for a value of the wrong kind."""
        each = len(OFFERED)
        units = [self._unit(number, values[number * each : (number + 1) * each], page) for number in range(UNITS)]
        while units and not units[-1].enabled:
            units.pop()
        return ControlParams(tuple(units))

    def _unit(self, number: int, values: Sequence[Any], page: Page) -> ControlUnit:
        if not values or not values[0]:
            return ControlUnit()
        given = {
            name: coerce(RULES[name], value)
            for name, value in zip(OFFERED, values, strict=True)
            if value is not None and value != ""
        }
        return build_unit({**given, "image": self.pictures.get(page, number)})

    def fit(self, checkpoint: str | None) -> list[Any]:
        """Another model was chosen: one that ControlNets cannot steer has no units."""
        able = facts_of(self._studio.catalog, checkpoint).can(CAPABILITY)
        return [gr.update(visible=able), *([gr.skip() if able else False] * UNITS)]

    def recall(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """The units of a finished picture, back into the inputs; their pictures have to be given again."""
        picture = self._studio.pictures.get(str(event.id))
        if picture is None or picture.owner != owner_of(request):
            return [gr.skip()] * (UNITS * len(OFFERED))
        asked, _ = to_request(parse(picture.infotext), GenerationRequest())
        return self.spread(asked.control)

    def spread(self, control: ControlParams) -> list[Any]:
        """Values of the inputs for these units; a model goes by its name without hash."""
        names = {entry.title: entry.name for entry in self._studio.controls.models()}
        values = []
        for number in range(UNITS):
            unit = control.units[number] if number < len(control.units) else ControlUnit()
            said = {name: value_of(unit, RULES[name]) for name in OFFERED}
            values += [*{**said, "model": names.get(unit.model, unit.model)}.values()]
        return values

    def choose(self, number: int, text: str, page: Page) -> dict[str, Any]:
        """Take the picture of a data URI for a unit, or with an empty text take it away; what the page then shows."""
        if not text:
            self.pictures.put(page, number, b"")
            return {"picture": None, "map": None}
        try:
            image = read_data_uri(text)
        except InvalidRequest as error:
            raise gr.Error(error.message, print_exception=False) from error
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        self.pictures.put(page, number, buffer.getvalue())
        return {"picture": data_uri(image), "map": None}

    def preview(self, number: int, page: Page, values: Sequence[Any]) -> dict[str, Any]:
        """What the preprocessor makes of the unit's picture, for the page to show."""
        try:
            unit = self._unit(number, [True, *values[1:]], page)
            found = Image.open(io.BytesIO(self._studio.controls.detect(unit)))
        except StudioError as error:
            raise gr.Error(error.message, print_exception=False) from error
        return {"picture": data_uri(Image.open(io.BytesIO(unit.image))), "map": data_uri(found)}


def owner_of(request: gr.Request) -> str:
    """Whose jobs and pictures the page shows."""
    return request.username or LOCAL.name


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
