"""Style transfer on the page: its inputs, the two pictures that people give it, and what becomes of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest, PromptParams, StyleParams
from modules.contracts.style import SHARED, STATISTICS
from modules.support.paths import ROOT
from modules.ui import form, given
from modules.ui.desk import Desk
from modules.ui.facts import facts_of
from modules.ui.handlers import Handlers
from modules.ui.style import CONTENT, OFFERED, STYLE, StylePanel
from modules.ui.table import read_table
from tests.ui.fakes import FakeEngine, fake_studio
from tests.ui.test_control import data_uri, opened

PAGE = ("ada", "one")
ASKED = GenerationRequest(prompt=PromptParams("a circle"))
VALUES = [SHARED, 0.8, 0.25, "", 0.6]


@pytest.fixture
def studio(tmp_path):
    made = fake_studio(tmp_path, FakeEngine(), lanes=1)
    yield made
    made.close()


@pytest.fixture
def panel(studio):
    return StylePanel(studio)


def test_there_is_an_input_for_every_field(panel):
    async def act():
        with gr.Blocks():
            panel.build()

    asyncio.run(act())
    assert len(panel.fields) == len(OFFERED)
    assert [field.label for field in panel.fields[:3]] == ["Style method", "Style strength", "Content strength"]
    assert panel.fields[0].value == "automatic"


def test_without_pictures_the_request_stays_as_it_is(panel):
    assert panel.fill(ASKED, VALUES, PAGE) == ASKED


def test_pictures_come_with_what_the_inputs_say_of_them(panel):
    shown = panel.pictures.take(STYLE, data_uri((48, 32)), PAGE)
    assert opened(shown["picture"]).size == (48, 32)
    made = panel.fill(ASKED, VALUES, PAGE)
    assert replace(made.style, image=b"") == StyleParams(SHARED, 0.8, 0.25)
    assert made.style.acts
    assert made.image is None
    panel.pictures.take(CONTENT, data_uri((64, 64)), PAGE)
    both = panel.fill(ASKED, VALUES, PAGE)
    assert both.image is not None
    assert both.image.denoising_strength == 0.6
    assert panel.fill(ASKED, VALUES, ("ada", "another")) == ASKED
    panel.pictures.take(STYLE, "", PAGE)
    assert not panel.fill(ASKED, VALUES, PAGE).style.acts
    with pytest.raises(InvalidRequest):
        panel.fill(ASKED, [SHARED, "much", 0.25, "", 0.6], PAGE)
    with pytest.raises(gr.Error):
        panel.pictures.take(STYLE, "data:text/plain;base64,eA==", PAGE)


def test_a_finished_picture_says_what_its_style_was(panel):
    told = "a\nSize: 64x64, Style method: statistics, Style strength: 0.5, Content strength: 0.25, Version: 0.1.0"
    assert panel.spread(told)[:4] == [STATISTICS, 0.5, 0.25, ""]
    assert panel.spread("a\nSteps: 3, Sampler: Euler, Seed: 1, Size: 64x64")[:3] == ["automatic", 1.0, 0.5]


def test_the_page_sends_what_its_panels_say(studio, panel):
    handlers = Handlers(studio, Desk(studio), read_table(ROOT / "configs"), None, panel)
    panel.pictures.take(STYLE, data_uri(), PAGE)
    values = [form.defaults(facts_of(studio.catalog, None))[name] for name in form.NAMES]
    values[form.NAMES.index("prompt.text")] = "a circle"
    taken = []
    request = SimpleNamespace(username="ada", session_hash="one")

    async def act():
        async def submit(asked, owner):
            taken.append(asked)
            raise InvalidRequest("enough")

        handlers._desk.submit = submit
        async for _ in handlers.generate(request, *values, *VALUES):
            pass

    asyncio.run(act())
    assert taken[0].style.strength == 0.8


def test_statistics_needs_no_words(studio):
    desk = Desk(studio)
    with pytest.raises(InvalidRequest, match="prompt is empty"):
        asyncio.run(desk.submit(GenerationRequest(style=StyleParams(image=b"x")), "ada"))


def test_an_event_of_nobody_says_nothing():
    assert given.said_by(gr.EventData(None, {"id": "abc"})) == "abc"
    for nothing in (None, {}, [], "id"):
        assert given.said_by(gr.EventData(None, nothing)) == ""
