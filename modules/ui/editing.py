"""The Edit room's side of the studio: its inputs, and what becomes of the picture and the mask that it sends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from modules.contracts.errors import InvalidRequest
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.outpaint import NO_OUTPAINT
from modules.contracts.request import GenerationRequest, ImageParams, InpaintParams, parameters
from modules.support.studio import Studio
from modules.ui.elements import edit_facts
from modules.ui.facts import facts_of
from modules.ui.form import coerce
from modules.ui.given import Page, only_of, recalled_by
from modules.ui.inputs import make_input
from modules.ui.uploads import Uploads

ALWAYS = {
    "image.denoising_strength": "img2img_denoising_strength",
    "image.resize_mode": "resize_mode",
    "image.color_correction": "img2img_color_correction",
    "image.edit_scale": "img2img_image_cfg_scale",
}
MASKED = {
    "inpaint.fill": "img2img_inpainting_fill",
    "inpaint.blur": "img2img_mask_blur",
    "inpaint.only_masked": "img2img_inpaint_full_res",
    "inpaint.padding": "img2img_inpaint_full_res_padding",
    "inpaint.invert": "img2img_mask_mode",
    "inpaint.gradual": "img2img_differential_diffusion",
}
GROWN = {
    "outpaint.left": "img2img_outpaint_left",
    "outpaint.right": "img2img_outpaint_right",
    "outpaint.top": "img2img_outpaint_top",
    "outpaint.bottom": "img2img_outpaint_bottom",
    "outpaint.overlap": "img2img_outpaint_overlap",
    "outpaint.blur": "img2img_outpaint_blur",
    "outpaint.fill": "img2img_outpaint_fill",
}
IDS = {**ALWAYS, **MASKED, **GROWN}
"""Declared name → id in the page, in the order in which handlers get the values, behind what was sent. Where A1111 has
the same input, it is A1111's id."""
RULES = {item.name: item for item in parameters() if item.name in IDS}
ROWS = {
    "always": (("image.denoising_strength",), ("image.resize_mode", "image.edit_scale"), ("image.color_correction",)),
    "masked": (
        ("inpaint.fill",),
        ("inpaint.blur", "inpaint.padding"),
        ("inpaint.only_masked", "inpaint.invert"),
        ("inpaint.gradual",),
    ),
    "grown": (
        ("outpaint.left", "outpaint.right", "outpaint.top", "outpaint.bottom"),
        ("outpaint.fill", "outpaint.overlap", "outpaint.blur"),
    ),
}
"""How the inputs stand: what always counts, what a mask is drawn with, and margins."""
SLID = frozenset({"image.denoising_strength"})
RANGES = {IDS[name]: [RULES[name].param.minimum, RULES[name].param.maximum] for name in SLID}
"""Of the sliders beside numbers, by id in the page."""
GONE = "The picture of the Edit room is no longer here; press Generate once more."


class EditPanel:
    """The inputs. One per page as it is built; open pages share it."""

    def __init__(self, studio: Studio, uploads: Uploads) -> None:
        self._studio = studio
        self.uploads = uploads
        self.given: Any = None
        """What the browser sends with Generate, as JSON; empty in every other room."""
        self._made: dict[str, Any] = {}
        self._facts: Any = None

    @property
    def fields(self) -> list[Any]:
        """Inputs in the order in which `fill` gets their values."""
        return [self.given, *(self._made[name] for name in IDS)]

    def build(self) -> None:
        """Make the inputs in the current layout, where the room's script finds them."""
        with gr.Column(elem_id="img2img_fields", min_width=0):
            self._facts = edit_facts(self._facts_of(None))
            self.given = gr.Textbox("", visible="hidden", elem_id="img2img_given", label="Picture")
            for group, rows in ROWS.items():
                with gr.Column(elem_id=f"img2img_{group}", min_width=0):
                    for names in rows:
                        with gr.Row():
                            for name in names:
                                self._input(name)

    def _input(self, name: str) -> None:
        rule = RULES[name]
        words = rule.param.choices
        choices = [(word.capitalize(), word) for word in words] if isinstance(words, tuple) else None
        look = {"elem_classes": "slid"} if name in SLID else {}
        self._made[name] = make_input(rule, choices, rule.default, elem_id=IDS[name], **look)

    def connect(self, page: gr.Blocks, checkpoint: Any, stage: Any, quiet: dict[str, Any]) -> None:
        """Say which handler each control calls. `quiet` are the arguments of every event."""
        raw, made = {**quiet, "preprocess": False}, [self._made[name] for name in IDS]
        gr.on(
            [page.load, checkpoint.change], self.fit, checkpoint, [self._facts, self._made["image.edit_scale"]], **raw
        )
        stage.recall(self.recall, None, made, **quiet)
        sides = [self._made[name] for name in GROWN][:4]
        for side in sides:
            side.change(
                None, sides, None, js="(...sides) => { window.atelierEdit.margins(sides); return []; }", **quiet
            )
        for name in SLID:
            follow = f"(value) => {{ window.atelier.slide('{IDS[name]}', value); return []; }}"
            self._made[name].change(None, self._made[name], None, js=follow, **quiet)

    def _facts_of(self, checkpoint: str | None) -> dict[str, Any]:
        facts = facts_of(self._studio.catalog, checkpoint)
        return {"native": facts.native, "img2img": facts.can("img2img"), "inpaint": facts.can("inpaint")}

    def fit(self, checkpoint: str | None) -> list[Any]:
        """What the room may offer with that model."""
        edits = facts_of(self._studio.catalog, checkpoint).can("edit")
        return [self._facts_of(checkpoint), gr.update(visible=edits)]

    def fill(self, asked: GenerationRequest, values: Sequence[Any], page: Page) -> GenerationRequest:
        """The request with what the Edit room sent; from every other room as it is.

        Raises `InvalidRequest` for a value of the wrong kind, and where a picture that was sent is gone.
        """
        said = read_given(values[0])
        if not said:
            return asked
        if said.get("problem"):
            raise InvalidRequest(said["problem"])
        given: dict[str, dict[str, Any]] = {"image": {}, "inpaint": {}, "outpaint": {}}
        for name, value in zip(IDS, values[1:], strict=True):
            group, field = RULES[name].path
            if value is not None and value != "":
                given[group][field] = coerce(RULES[name], value)
        image = ImageParams((self._sent(said, "picture", page),), **given["image"])
        inpaint = InpaintParams(self._sent(said, "mask", page), **given["inpaint"]) if said.get("mask") else None
        outpaint = replace(NO_OUTPAINT, **given["outpaint"])
        # A second pass follows a first one that begins with nothing but noise.
        hires = replace(asked.hires, enabled=False)
        return replace(
            asked, image=image, inpaint=inpaint, outpaint=outpaint if outpaint.acts else NO_OUTPAINT, hires=hires
        )

    def _sent(self, said: dict[str, str], name: str, page: Page) -> bytes:
        data = self.uploads.get(page[0], said.get(name, ""))
        if data is None:
            raise InvalidRequest(GONE)
        return data

    def recall(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """What a picture says of its editing; picture and mask have to be given again, margins are not.

        Where only some of its settings are wanted, everything here stays as it is.
        """
        infotext = recalled_by(self._studio.pictures, event, request)
        if infotext is None or only_of(event):
            return [gr.skip()] * len(IDS)
        return self.spread(infotext)

    def spread(self, infotext: str) -> list[Any]:
        """Values of the inputs for a picture that says so, as scripts want it to be read."""
        base = GenerationRequest(image=ImageParams((b"",)), inpaint=InpaintParams())
        asked, _ = to_request(self._studio.scripts.recalled(infotext, parse(infotext)), base)
        sides = {name for name in GROWN if name.rpartition(".")[2] in ("left", "right", "top", "bottom")}
        return [
            0 if name in sides else getattr(getattr(asked, RULES[name].path[0]), RULES[name].path[1]) for name in IDS
        ]


def read_given(value: Any) -> dict[str, str]:
    """What the Edit room says that it sent: `token`, `picture`, `mask`, or a `problem`; empty for nothing.

    Raises `InvalidRequest` for what is none of that.
    """
    if not value:
        return {}
    try:
        said = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not all(isinstance(word, str) for word in said.values()):
        raise InvalidRequest("What the Edit room sent cannot be read; reload the page.")
    return said
