"""Tabs that extensions written for A1111 make, as rooms of the page with Gradio's own components."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import gradio as gr
import pytest

from modules.a1111.house import HOUSE, Services
from modules.a1111.opening import open_facade
from modules.scripts.desk import ScriptDesk
from modules.scripts.shelf import ScriptShelf
from modules.support.paths import Paths
from modules.ui.rooms import build_tabs
from tests.a1111.conftest import put

TABBED = """
import gradio as gr
from modules import script_callbacks
from modules.ui_components import ToolButton


def join(text, count, way):
    if text == "fail":
        raise KeyError(text)
    if text == "short":
        return text, count
    if text == "refuse":
        raise gr.Error("Not that.")
    return " ".join([text] * int(count)), gr.Slider.update(maximum=9), gr.update(value=way)


def keyed(data):
    return {told: f"{data[words]}!"}


def tab():
    global words, told
    with gr.Blocks(analytics_enabled=False) as blocks:
        with gr.Row().style(equal_height=True):
            words = gr.Textbox("haze", label="Words", elem_id="haze_words", placeholder="x", unknown=1)
            count = gr.Slider(1, 5, 2, step=1, label="Count")
        with gr.Accordion("More", open=False):
            way = gr.Dropdown(choices=["Up", "Down"], value="Up", type="index", label="Way")
            hidden = gr.Textbox(visible=False, elem_id="haze_hidden")
            picture = gr.Image(label="Picture")
        go = ToolButton("Go", elem_id="haze_go")
        told = gr.HTML("")
        go.click(fn=join, inputs=[words, count, way], outputs=[told, count, hidden], _js="noop").then(
            fn=keyed, inputs={words}, outputs=[told]
        )
        picture.upload(fn=join, inputs=[picture], outputs=[told])
    return [(blocks, "Haze tab", "haze_tab")]


def broken():
    return [(gr.Blocks(), "Txt", "txt2img"), (3, "Odd", "odd")]


script_callbacks.on_ui_tabs(tab)
script_callbacks.on_ui_tabs(broken)
"""


class Catalogue:
    """Of a studio without models."""


@pytest.fixture(scope="module")
def tabbed(tmp_path_factory):
    """What the page has of a studio with this extension."""
    folder, before = tmp_path_factory.mktemp("tabbed"), HOUSE._services
    put(folder, "tabbed/scripts/tabbed.py", TABBED)
    facade = open_facade(Paths(folder, folder / "models"), {}, Catalogue())
    shelf = ScriptShelf([folder / "extensions"], [], folder, reading=facade.reading)
    shelf.scan()
    assert shelf.get("tabbed").error == ""
    options = SimpleNamespace(network=SimpleNamespace(api=True))
    accounts = SimpleNamespace(user=lambda name: SimpleNamespace(role=name))
    yield SimpleNamespace(scripts=ScriptDesk(shelf), options=options, accounts=accounts)
    shelf.close()
    if isinstance(before, Services):
        HOUSE.open(before)


@pytest.fixture(scope="module")
def page(tabbed):
    """Gradio's page with the rooms of extensions."""

    async def act():
        with gr.Blocks() as made, gr.Tabs():
            build_tabs(tabbed, {})
        return made

    return asyncio.run(act())


def asking(name="user"):
    return SimpleNamespace(username=name, session_hash="one")


def made(page, kind, **facts):
    found = [
        one for one in page.blocks.values()
        if isinstance(one, kind) and all(getattr(one, key, None) == value for key, value in facts.items())
    ]  # fmt: skip
    assert len(found) == 1, found
    return found[0]


def handler(page, event, owner):
    (found,) = [one for one in page.fns.values() if (owner._id, event) in one.targets]
    return found


def test_layout_and_inputs_stand_as_the_extension_made_them(page):
    assert [one.label for one in page.blocks.values() if isinstance(one, gr.Tab)] == ["Haze tab", "Odd"]
    words = made(page, gr.Textbox, elem_id="haze_words")
    assert (words.value, words.label, words.placeholder) == ("haze", "Words", "x")
    assert isinstance(words.parent.parent, gr.Row)  # Gradio lays a form round its inputs
    count = made(page, gr.Slider, label="Count")
    assert (count.minimum, count.maximum, count.value) == (1, 5, 2)
    assert made(page, gr.Textbox, elem_id="haze_hidden").visible == "hidden"
    assert made(page, gr.Dropdown, label="Way").type == "index"
    assert made(page, gr.Button, elem_id="haze_go").value == "Go"
    assert not [one for one in page.blocks.values() if isinstance(one, gr.Image)]
    assert any("not shown here" in str(one.value) for one in page.blocks.values() if isinstance(one, gr.Markdown))


def test_what_is_bound_is_carried_out(page):
    click = handler(page, "click", made(page, gr.Button, elem_id="haze_go"))
    assert click.js == "noop"
    joined, slider, hidden = click.fn(asking(), "fog", 2, 1)
    assert (joined, slider["maximum"], hidden["value"]) == ("fog fog", 9, 1)
    (following,) = [one for one in page.fns.values() if one.trigger_after == click._id]
    assert following.fn(asking(), "fog") == "fog!"
    assert [block._id for block in click.outputs][1] == made(page, gr.Slider, label="Count")._id


def test_who_may_not_and_what_fails_gets_a_sentence(page):
    click = handler(page, "click", made(page, gr.Button, elem_id="haze_go"))
    with pytest.raises(gr.Error, match="tabbed failed: KeyError"):
        click.fn(asking(), "fail", 1, 0)
    with pytest.raises(gr.Error, match="tabbed failed: ValueError: its handler gave 2 values for 3 outputs"):
        click.fn(asking(), "short", 1, 0)
    with pytest.raises(gr.Error, match=r"Not that\."):
        click.fn(asking(), "refuse", 1, 0)
    with pytest.raises(gr.Error, match="A guest may draw"):
        click.fn(asking("guest"), "fog", 1, 0)


def test_a_tab_that_cannot_be_built_is_named_and_one_of_the_studios_stays(page, tabbed):
    said = [str(one.value) for one in page.blocks.values() if isinstance(one, gr.Markdown)]
    assert any("tabbed could not build this tab: AttributeError" in text for text in said)
    entry = next(one for one in tabbed.scripts.entries() if one.name == "tabbed")
    assert "the tab Odd could not be built" in entry.error


def test_gradio_itself_brings_values_there_and_back(page):
    click = handler(page, "click", made(page, gr.Button, elem_id="haze_go"))
    request = gr.Request(username="user", session_hash="one")
    told = asyncio.run(page.process_api(click, ["fog", 3, "Down"], request=request))["data"]
    assert told[0] == "fog fog fog"
    assert (told[1]["maximum"], told[1]["__type__"]) == (9, "update")
    assert told[2]["value"] == "1"  # a list of type index gives the place
