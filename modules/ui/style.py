"""Style transfer on the page: a style picture, a picture to start from, and what is made of the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import GenerationRequest, ImageParams, StyleParams, parameters
from modules.support.studio import Studio
from modules.ui.elements import given_picture
from modules.ui.facts import Choices
from modules.ui.form import coerce
from modules.ui.given import Page, Pictures, only_of, recalled_by, take_pictures
from modules.ui.inputs import make_input

OFFERED = ("style.method", "style.strength", "style.content", "style.adapter", "image.denoising_strength")
"""Declared names that the panel has inputs for, in the order in which handlers get their values."""
RULES = {item.name: item for item in parameters() if item.name in OFFERED}
STYLE, CONTENT = 0, 1
"""The two pictures of a page."""
PICTURES = ((STYLE, "style", "Style picture"), (CONTENT, "content", "Picture to start from"))
FIRST: Choices = [("The first that fits", "")]


class StylePanel:
    """The accordion. One per page as it is built; open pages share it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.pictures = Pictures()
        self.fields: list[Any] = []
        self._shown: list[Any] = []

    def build(self) -> None:
        """Make the accordion in the current layout."""
        with gr.Accordion("Style of a picture", open=False, elem_id="txt2img_style", elem_classes="section"):
            with gr.Row():
                self._shown = [
                    given_picture(f"txt2img_style_{name}", label, prompt=label) for _, name, label in PICTURES
                ]
            for names in (OFFERED[:2], OFFERED[2:4], OFFERED[4:]):
                with gr.Row():
                    self.fields += [self._input(name) for name in names]

    def _input(self, name: str) -> Any:
        rule = RULES[name]
        words = rule.param.choices
        choices = [(word, word) for word in words] if isinstance(words, tuple) else None
        if name == "style.adapter":
            choices = self._adapters()
        return make_input(rule, choices, rule.default, elem_id=f"txt2img_{name.replace('.', '_')}")

    def _adapters(self) -> Choices:
        entries = self._studio.controls.models()
        usable = [entry for entry in entries if entry.kind == "ip_adapter" and entry.problem is None]
        return [*FIRST, *((entry.title, entry.name) for entry in usable)]

    def connect(self, page: gr.Blocks, stage: Any, quiet: dict[str, Any]) -> None:
        """Say which handler each control calls. `quiet` are the arguments of every event."""
        for (number, _, _), shown in zip(PICTURES, self._shown, strict=True):
            take_pictures(shown, self.pictures, number, quiet)
        stage.recall(self.recall, None, self.fields, **quiet)
        adapter = self.fields[OFFERED.index("style.adapter")]
        page.load(lambda: gr.update(choices=self._adapters()), None, adapter, **quiet)

    def fill(self, asked: GenerationRequest, values: Sequence[Any], page: Page) -> GenerationRequest:
        """The request with the page's pictures and what the inputs say of them; without pictures as it is.

        Raises `InvalidRequest` for a value of the wrong kind.
        """
        given = {
            name: coerce(RULES[name], value)
            for name, value in zip(OFFERED, values, strict=True)
            if value is not None and value != ""
        }
        style, content = (self.pictures.get(page, number) for number in (STYLE, CONTENT))
        if content:
            strength = given.get("image.denoising_strength", ImageParams().denoising_strength)
            asked = replace(asked, image=ImageParams((content,), denoising_strength=strength))
        if style:
            own = {name.partition(".")[2]: value for name, value in given.items() if name.startswith("style.")}
            asked = replace(asked, style=StyleParams(**own, image=style))
        return asked

    def recall(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """What a finished picture says of its style; the pictures have to be given again."""
        infotext = recalled_by(self._studio.pictures, event, request)
        if infotext is None or only_of(event):
            return [gr.skip()] * len(OFFERED)
        return self.spread(infotext)

    def spread(self, infotext: str) -> list[Any]:
        """Values of the inputs for a picture that says so; an adapter goes by its name without hash."""
        asked, _ = to_request(parse(infotext), GenerationRequest(image=ImageParams((b"",))))
        names = {entry.title: entry.name for entry in self._studio.controls.models()}
        style, image = asked.style, asked.image or ImageParams()
        adapter = names.get(style.adapter, style.adapter)
        return [style.method, style.strength, style.content, adapter, image.denoising_strength]
