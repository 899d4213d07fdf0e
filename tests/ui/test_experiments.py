"""Experiments of the page: the form varies along axes, is drawn, stopped, resumed, and seen by its owner only."""

from __future__ import annotations

import asyncio
import csv
import io
from functools import partial

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.contracts.errors import InvalidRequest
from modules.contracts.networks import NetworkEntry
from modules.contracts.scripts import NoScripts
from modules.ui.experiments import ExperimentPanel, axis_choices, hint_of, split_line
from modules.ui.mount import mount
from tests.ui.fakes import FakeCatalog
from tests.ui.test_desk import asks, room

__all__ = ["room"]
AXES = ("Steps", "2, 3", "sampling.cfg_scale", "3-9 (+3)", "", "")
PROMPT = "a red circle"


@pytest.fixture
def panel(room):
    made = ExperimentPanel(room.studio)
    made.fields = [None] * 9  # as many as `build` makes
    return made


def read(panel, room, *axes, prompt=PROMPT, further="", exclude="", name="", user=None):
    values = [*room.values(prompt, **{"sampling.steps": 2, "seeds.seed": 5}), *axes, further, exclude, name]
    return partial(panel._read, room.handlers.compose, asks(user), values)


async def all_of(showing):
    return [shown async for shown in showing]


def drawn(panel, room, *axes, user=None, **more):
    """What the page was shown, and the id of the experiment."""
    shown = asyncio.run(all_of(panel.start(asks(user), read(panel, room, *axes, user=user, **more))))
    return shown, shown[0][1].get("value")


def test_a_dry_run_counts_cells_and_draws_nothing(panel, room):
    said = asyncio.run(panel.foresee(asks(), read(panel, room, *AXES, exclude="steps == 2 and cfg_scale > 6")))
    assert "5 cells, 0 drawn before, 5 pictures to draw" in said
    assert room.engine.requests == []
    assert room.studio.experiments.list() == []


def test_the_form_is_drawn_along_all_axes_and_its_files_are_offered(panel, room):
    shown, key = drawn(panel, room, *AXES, further="Sampler: DDIM, Euler\n", name="<b>Both</b>")
    seen = {(one.sampling.steps, one.sampling.cfg_scale, one.sampling.sampler) for one in room.engine.requests}
    assert seen == {(steps, scale, name) for steps in (2, 3) for scale in (3, 6, 9) for name in ("DDIM", "Euler")}
    assert {one.prompt.text for one in room.engine.requests} == {PROMPT}
    last = shown[-1][2]
    assert "12 of 12 cells are drawn; the experiment is done" in last
    assert f"studio/experiments/{key}/page.html" in last
    assert "&lt;b&gt;Both&lt;/b&gt;" in last
    assert "<b>Both" not in last


@pytest.mark.parametrize(
    ("axes", "more", "sentence"),
    [
        (("", "", "", "", "", ""), {}, "No axis is chosen"),
        (("Steps", "many", "", "", "", ""), {}, "Steps"),
        (("Flavour", "1", "", "", "", ""), {}, "There is no axis"),
        (AXES, {"further": "nothing"}, "names no axis"),
        (AXES, {"prompt": ""}, "The prompt is empty"),
        (AXES, {"further": "\n".join(["Seed: 1"] * 20)}, "at most 16 axes"),
        (("Steps", "@/etc/passwd", "", "", "", ""), {}, "file"),
        (("Steps", "1-5000", "", "", "", ""), {}, "Steps"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_begun(panel, room, axes, more, sentence):
    shown, _ = drawn(panel, room, *axes, **more)
    assert len(shown) == 1
    assert 'role="alert"' in shown[0][0]
    assert sentence in shown[0][0]
    assert not room.studio.experiments.list()


def test_one_is_cancelled_within_a_step_and_resumed_to_its_end(panel, room):
    room.engine.hold.clear()

    async def story():
        showing = panel.start(asks(session="one"), read(panel, room, *AXES))
        first = await anext(showing)
        key = first[1]["value"]
        running = (await anext(showing))[2]
        cancelled = await all_of(panel.cancel(asks(session="two"), key))
        await showing.aclose()
        room.engine.hold.set()
        resumed = await all_of(panel.resume(asks(session="one"), key))
        return running, cancelled, resumed

    running, cancelled, resumed = asyncio.run(story())
    assert 'max="6" value="0"' in running
    assert "6 cancelled; the experiment is cancelled" in cancelled[-1]
    assert "6 of 6 cells are drawn; the experiment is done" in resumed[-1]


def test_an_opened_page_shows_the_newest_one_of_its_person(panel, room):
    _, key = drawn(panel, room, *AXES, user="ada")
    mine = asyncio.run(all_of(panel.opened(asks("ada"))))
    assert mine[0][0]["value"] == key
    assert "6 of 6 cells" in mine[-1][1]
    (other,) = asyncio.run(all_of(panel.opened(asks("bob"))))
    assert (other[0]["value"], other[0]["choices"]) == (None, [])
    for act in (panel.show, panel.cancel, panel.resume):
        (refused,) = asyncio.run(all_of(act(asks("bob"), key)))
        assert "no such experiment of yours" in refused


def test_one_is_removed_with_its_pictures_by_its_person_only(panel, room):
    _, key = drawn(panel, room, *AXES, user="ada")
    said, *_ = asyncio.run(panel.remove(asks("bob"), key, True))
    assert "no such experiment of yours" in said
    assert room.studio.experiments.get(key) is not None
    assert len(room.studio.pictures.list()) == 6
    said, chosen, shown = asyncio.run(panel.remove(asks("ada"), key, True))
    assert "is removed" in said
    assert (chosen["choices"], shown) == ([], "")
    assert room.studio.experiments.get(key) is None
    assert room.studio.pictures.list() == []


def test_a_guest_removes_none_and_is_offered_no_button(panel, room):
    room.studio.accounts.add_user("ada", "correct horse", role="admin")
    room.studio.accounts.add_user("ann", "correct horse")
    room.studio.accounts.add_user("guy", "correct horse", role="guest")
    _, key = drawn(panel, room, *AXES, user="guy")
    assert [panel.offer_remove(asks(name))["visible"] for name in (None, "ann", "guy")] == [True, True, False]
    said, *_ = asyncio.run(panel.remove(asks("guy"), key, True))
    assert 'role="alert"' in said
    assert "guest" in said
    assert room.studio.experiments.get(key) is not None
    assert len(room.studio.pictures.list()) == 6


def test_a_page_that_looks_at_another_one_leaves_the_first(panel, room):
    room.engine.hold.clear()

    async def story():
        showing = panel.start(asks(), read(panel, room, *AXES))
        await anext(showing)
        await anext(showing)
        await all_of(panel.show(asks(), "other"))
        return await all_of(showing)

    assert asyncio.run(story()) == []
    assert room.studio.experiments.list()[0].state == "running"


def test_axes_are_offered_with_the_networks_that_are_there(panel, room, monkeypatch, tmp_path):
    entry = NetworkEntry("lines", "lora", tmp_path / "lines.safetensors", "lines")
    monkeypatch.setattr(type(room.studio.networks), "list", lambda self, kind: (entry,))
    keys = [key for _, key in axis_choices(room.studio)]
    assert {"sampling.steps", "prompt.replace", "control.0.weight", "prompt.lora.lines"} <= set(keys)
    assert "prompt.lora" not in keys
    assert len(keys) == len(set(keys))


def test_hints_and_lines():
    assert hint_of(FakeCatalog(), NoScripts(), "sampling.sampler") == "DPM++ 2M, Euler, Euler a, DDIM"
    assert hint_of(FakeCatalog(), NoScripts(), "canvas.tiling") == "on, off"
    assert "1-5 (+2)" in hint_of(FakeCatalog(), NoScripts(), "no such")
    assert split_line("LoRA weight: lines: 0-1 [3]") == ("LoRA weight: lines", "0-1 [3]")
    assert split_line("haze: amount: 0-1", ["Haze: Amount"]) == ("Haze: Amount", "0-1")
    with pytest.raises(InvalidRequest):
        split_line(": 4")


def test_files_go_to_their_owner_and_a_page_has_an_origin_of_its_own(panel, room):
    _, key = drawn(panel, room, *AXES)
    _, others = drawn(panel, room, *AXES, user="bob")
    with TestClient(mount(FastAPI(), room.studio)) as client:
        sheet = client.get(f"/studio/experiments/{key}/sheet.png")
        assert sheet.content.startswith(b"\x89PNG")
        page = client.get(f"/studio/experiments/{key}/page.html")
        assert "sandbox allow-scripts" in page.headers["content-security-policy"]
        assert "allow-same-origin" not in page.headers["content-security-policy"]
        table = client.get(f"/studio/experiments/{key}/cells.csv")
        assert table.headers["content-disposition"].startswith("attachment")
        assert len(list(csv.reader(io.StringIO(table.text)))) == 7
        for path in (f"{others}/sheet.png", f"{key}/other.txt", "none/page.html", "%00/page.html"):
            assert client.get(f"/studio/experiments/{path}").status_code == 404
