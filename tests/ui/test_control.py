"""ControlNet on the page: the inputs of its units, the pictures that people give them, and what becomes of them."""

from __future__ import annotations

import asyncio
import base64
import io
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.contracts.control import CONTROL_MODES, ControlParams, ControlUnit, HintParams
from modules.contracts.controls import ControlEntry
from modules.contracts.errors import InvalidRequest
from modules.support.paths import ROOT
from modules.ui import form, given
from modules.ui.control import OFFERED, RULES, UNITS, ControlPanel
from modules.ui.desk import Desk
from modules.ui.facts import ModelFacts, facts_of
from modules.ui.given import Pictures, read_data_uri
from modules.ui.handlers import Handlers
from modules.ui.table import read_table
from tests.ui.fakes import FakeEngine, fake_studio, family

PAGE = ("ada", "one")


def data_uri(size=(48, 32), kind="PNG"):
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((8, 8, 24, 24), fill="black")
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def opened(text):
    return Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2])))


def values(**changes):
    """The inputs of one unit."""
    return [
        {name: RULES[name].default for name in OFFERED}.get(name) if name not in changes else changes[name]
        for name in OFFERED
    ]


OFF = values()


@pytest.fixture
def studio(tmp_path):
    made = fake_studio(tmp_path, FakeEngine(), lanes=1)
    yield made
    made.close()


@pytest.fixture
def panel(studio):
    return ControlPanel(studio)


def build(panel, facts):
    """The accordion in a page of its own, with a running loop: without one Gradio makes loops that it never closes."""

    async def act():
        with gr.Blocks():
            panel.build(facts)

    asyncio.run(act())


def test_the_accordion_has_an_input_for_every_field(studio, panel):
    build(panel, ModelFacts())
    assert len(panel.fields) == UNITS * len(OFFERED)
    ids = {component.elem_id for component in panel.fields}
    assert len(ids) == len(panel.fields)
    weight = panel.fields[OFFERED.index("weight")]
    assert (weight.label, weight.minimum, weight.maximum, weight.value) == ("Control weight", 0, 2, 1.0)
    modules = [value for _, value in panel.fields[OFFERED.index("module")].choices]
    assert modules[:2] == ["none", "canny"]
    assert "reference_only" in modules
    assert not {"openpose", "inpaint"} & set(modules), "neither what lacks weights nor what wants a mask"
    assert panel.accordion.visible is True
    build(panel, ModelFacts(capabilities=frozenset({"hires"})))
    assert panel.accordion.visible is False


def test_a_picture_goes_into_the_job(studio, panel):
    handlers = Handlers(studio, Desk(studio), read_table(ROOT / "configs"), panel)
    shown = panel.pictures.take(1, data_uri(), ("local", "s"))
    assert opened(shown["picture"]).size == (48, 32)
    assert shown["map"] is None
    given = values(
        enabled=True,
        module="canny",
        model="edges",
        weight=0.5,
        control_mode=CONTROL_MODES[2],
        threshold_a=40,
        blocks="up.1=0.5",
    )
    filled = {**form.defaults(facts_of(studio.catalog, "pocket")), "prompt.text": "a red circle"}
    inputs = [filled[name] for name in form.NAMES]
    request = SimpleNamespace(username=None, session_hash="s")

    async def draw():
        return [one async for one in handlers.generate(request, *inputs, *OFF, *given, *OFF)]

    asyncio.run(draw())
    asked = studio.queue.request(studio.queue.list()[0].id).control
    first, second = asked.units
    assert first == ControlUnit()
    assert (second.model, second.weight, second.control_mode) == ("edges", 0.5, CONTROL_MODES[2])
    assert second.hint == HintParams(threshold_a=40.0, blocks="up.1=0.5")
    assert Image.open(io.BytesIO(second.image)).size == (48, 32)


def test_pictures_belong_to_one_page(panel):
    panel.pictures.take(0, data_uri(), PAGE)
    on = values(enabled=True, model="edges")
    assert panel.compose([*on, *OFF, *OFF], PAGE).units[0].image
    for other in (("ada", "two"), ("bob", "one")):
        assert panel.compose([*on, *OFF, *OFF], other).units[0].image == b""
    assert panel.compose([*OFF, *on, *OFF], PAGE).units[1].image == b""
    assert panel.pictures.take(0, "", PAGE) == {"picture": None, "map": None}
    assert panel.compose([*on, *OFF, *OFF], PAGE).units[0].image == b""
    assert panel.compose([*OFF] * UNITS, PAGE) == ControlParams()


def test_the_oldest_pictures_go_first(monkeypatch):
    monkeypatch.setattr(given, "HELD_BYTES", 10)
    held = Pictures()
    for number in range(3):
        held.put(PAGE, number, b"1234")
        held.get(PAGE, 0)
    assert [held.get(PAGE, number) for number in range(3)] == [b"1234", b"", b"1234"]


def test_the_preview_is_what_the_preprocessor_makes(panel):
    panel.pictures.take(0, data_uri(), PAGE)
    shown = panel.preview(0, PAGE, values(module="canny", processor_res=96))
    found = np.asarray(opened(shown["map"]).convert("L"))
    assert found.shape == (96, 144)
    assert found.max() > 200
    assert found[:, 100:].max() < 60
    with pytest.raises(gr.Error, match="no picture"):
        panel.preview(1, PAGE, values(module="canny"))


def test_a_page_that_opens_lists_what_has_come(studio, panel):
    names = [{value for _, value in each["choices"]} for each in panel.look_again()]
    assert all("softedge_hed" not in each and "canny" in each for each in names[:UNITS])
    folder = studio.paths.models / "annotators"
    folder.mkdir(parents=True)
    (folder / "ControlNetHED.pth").write_bytes(b"weights")
    studio.controls._rested = 0.0  # the catalogue looks at most every other second
    names = [{value for _, value in each["choices"]} for each in panel.look_again()]
    assert all({"softedge_hed", "scribble_hed"} <= each for each in names[:UNITS])
    assert all("None" in each for each in names[UNITS:])


def test_what_is_no_picture_is_said(panel):
    big = data_uri((2100, 2100))
    for text in (
        "data:image/png;base64,AAAA",
        "/etc/passwd",
        "data:text/html;base64,AAAA",
        "data:image/png;base64,!",
        big,
    ):
        with pytest.raises(InvalidRequest):
            read_data_uri(text)
        with pytest.raises(gr.Error):
            panel.pictures.take(0, text, PAGE)
    assert read_data_uri(data_uri(kind="JPEG")).size == (48, 32)
    with pytest.raises(InvalidRequest, match="Control weight is 'much'"):
        panel.compose([*values(enabled=True, weight="much"), *OFF, *OFF], PAGE)


def test_units_come_back_from_a_picture_without_their_pictures(studio, panel, tmp_path):
    studio.controls.models = lambda: (ControlEntry("edges", tmp_path, "controlnet", "sd15", "d14c016b"),)
    unit = ControlUnit(True, "canny", "edges [d14c016b]", 0.5, hint=HintParams(pixel_perfect=True), image=b"x")
    shown = panel.spread(ControlParams((ControlUnit(), unit)))
    assert len(shown) == UNITS * len(OFFERED)
    again = panel.compose(shown, PAGE).units
    assert again[1] == ControlUnit(True, "canny", "edges", 0.5, hint=HintParams(pixel_perfect=True))


def test_a_model_that_cannot_be_steered_hides_the_units(studio, panel, monkeypatch):
    visible, *switches = panel.fit("big")
    assert visible["visible"] is True
    assert all(one == gr.skip() for one in switches)
    unable = family("sdxl", capabilities=frozenset({"hires"}))
    monkeypatch.setattr(studio.catalog, "family", lambda _: unable)
    visible, *switches = panel.fit("big")
    assert (visible["visible"], switches) == (False, [False] * UNITS)
