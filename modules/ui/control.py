"""ControlNet on the page: three units, the pictures that people gave them, and what preprocessors make of those."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import gradio as gr
from PIL import Image

from modules.contracts.control import NO_MODEL, ControlParams, ControlUnit, build_unit, unit_parameters, value_of
from modules.contracts.errors import StudioError
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import GenerationRequest
from modules.support.studio import Studio
from modules.ui.elements import control_picture
from modules.ui.facts import Choices, ModelFacts, facts_of
from modules.ui.form import coerce
from modules.ui.given import Page, Pictures, data_uri, only_of, page_of, recalled_by, take_pictures
from modules.ui.inputs import make_input

UNITS = 3
CAPABILITY = "control"
OFFERED = (
    *("enabled", "module", "model", "weight", "guidance_start", "guidance_end", "control_mode", "resize_mode"),
    *("pixel_perfect", "processor_res", "threshold_a", "threshold_b", "blocks"),
)
"""Fields of a unit that the page has inputs for, in the order in which handlers get their values."""
RULES = {item.path[-1]: item for item in unit_parameters()}


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
        self.accordion = gr.Accordion(
            "ControlNet", open=False, visible=able, elem_id="txt2img_controlnet", elem_classes="section"
        )
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
        listed = [
            self.fields[number * each + OFFERED.index(name)] for name in ("module", "model") for number in range(UNITS)
        ]
        switches = [self.fields[number * each] for number in range(UNITS)]
        for number in range(UNITS):
            self._connect_unit(number, self.fields[number * each : (number + 1) * each], quiet)
        stage.recall(self.recall, None, self.fields, **quiet)
        checkpoint.input(self.fit, checkpoint, [self.accordion, *switches], **raw)
        page.load(self.look_again, None, listed, **quiet)

    def _connect_unit(self, number: int, own: list[Any], quiet: dict[str, Any]) -> None:
        """Gradio reads from the words of a handler that it wants the event or the request."""
        shown, look = self._shown[number], self._looks[number]

        def preview(request: gr.Request, *values: Any) -> dict[str, Any]:
            return self.preview(number, page_of(request), values)

        take_pictures(shown, self.pictures, number, quiet)
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

    def look_again(self) -> list[Any]:
        """Preprocessors and networks that there are now, for a page that opens: those of all units."""
        self._studio.controls.refresh()
        modules, models = gr.update(choices=self._modules()), gr.update(choices=self._models())
        return [*([modules] * UNITS), *([models] * UNITS)]

    def fit(self, checkpoint: str | None) -> list[Any]:
        """Another model was chosen: one that ControlNets cannot steer has no units."""
        able = facts_of(self._studio.catalog, checkpoint).can(CAPABILITY)
        return [gr.update(visible=able), *([gr.skip() if able else False] * UNITS)]

    def recall(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """The units of a finished picture, back into the inputs; their pictures have to be given again."""
        infotext = recalled_by(self._studio.pictures, event, request)
        if infotext is None or only_of(event):
            return [gr.skip()] * (UNITS * len(OFFERED))
        asked, _ = to_request(parse(infotext), GenerationRequest())
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

    def preview(self, number: int, page: Page, values: Sequence[Any]) -> dict[str, Any]:
        """What the preprocessor makes of the unit's picture, for the page to show."""
        try:
            unit = self._unit(number, [True, *values[1:]], page)
            found = Image.open(io.BytesIO(self._studio.controls.detect(unit)))
        except StudioError as error:
            raise gr.Error(error.message, print_exception=False) from error
        return {"picture": data_uri(Image.open(io.BytesIO(unit.image))), "map": data_uri(found)}
