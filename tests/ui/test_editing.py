"""What the Edit room sends: pictures that are held for their owner, and the request that comes of them."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest, HiresParams, OutputParams, PromptParams
from modules.contracts.result import Picture
from modules.contracts.scripts import NoScripts
from modules.support.paths import ROOT
from modules.ui import form, uploads
from modules.ui.desk import Desk
from modules.ui.editing import IDS, RULES, EditPanel, read_given
from modules.ui.facts import facts_of
from modules.ui.handlers import Handlers
from modules.ui.table import read_table
from modules.ui.uploads import HELD_EACH, Uploads, upload_routes
from tests.ui.fakes import FakeEngine, fake_studio

PAGE = ("ada", "one")
ASKED = GenerationRequest(prompt=PromptParams("a circle"), hires=HiresParams(enabled=True))


def png(size=(48, 32), colour="white"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def values(**changes):
    """The inputs as the page has them at first, without what was sent."""
    return [changes.get(name.replace(".", "_"), RULES[name].default) for name in IDS]


@pytest.fixture
def studio(tmp_path):
    made = fake_studio(tmp_path, FakeEngine(), lanes=1)
    yield made
    made.close()


@pytest.fixture
def panel(studio):
    return EditPanel(studio, Uploads())


def test_there_is_an_input_for_every_field_behind_what_is_sent(panel):
    async def act():
        with gr.Blocks():
            panel.build()

    asyncio.run(act())
    assert [field.elem_id for field in panel.fields] == ["img2img_given", *IDS.values()]
    by_id = {field.elem_id: field for field in panel.fields}
    assert by_id["img2img_denoising_strength"].value == 0.75
    assert ("Latent noise", "latent noise") in by_id["img2img_inpainting_fill"].choices


def test_other_rooms_ask_for_what_they_asked_for(panel):
    assert panel.fill(ASKED, ["", *values()], PAGE) is ASKED


def test_picture_mask_and_margins_come_with_what_the_inputs_say(panel):
    picture, mask = png(), png(colour="black")
    given = {"token": "t", "picture": panel.uploads.put("ada", picture), "mask": panel.uploads.put("ada", mask)}
    said = values(image_denoising_strength=0.5, inpaint_fill="latent noise", inpaint_blur=9, outpaint_left=64)
    made = panel.fill(ASKED, [json.dumps(given), *said], PAGE)
    assert (made.image.images, made.image.denoising_strength) == ((picture,), 0.5)
    assert (made.inpaint.mask, made.inpaint.fill, made.inpaint.blur) == (mask, "latent noise", 9)
    assert (made.outpaint.left, made.outpaint.acts, made.mode) == (64, True, "inpaint")
    assert not made.hires.enabled
    plain = panel.fill(ASKED, [json.dumps({**given, "mask": ""}), *values()], PAGE)
    assert (plain.inpaint, plain.outpaint.acts, plain.mode) == (None, False, "img2img")


def test_what_is_gone_or_somebody_else_s_is_refused(panel):
    hers = panel.uploads.put("bob", png())
    for key in (hers, "nothing", ""):
        with pytest.raises(InvalidRequest, match="no longer here"):
            panel.fill(ASKED, [json.dumps({"picture": key, "mask": ""}), *values()], PAGE)
    with pytest.raises(InvalidRequest, match="no picture to edit yet"):
        panel.fill(ASKED, [json.dumps({"problem": "There is no picture to edit yet."}), *values()], PAGE)
    own = json.dumps({"picture": panel.uploads.put("ada", png()), "mask": ""})
    with pytest.raises(InvalidRequest, match="a number is needed"):
        panel.fill(ASKED, [own, *values(image_denoising_strength="much")], PAGE)


@pytest.mark.parametrize("value", ["{", "[]", '"a"', '{"picture": 3}', "[" * 100_000, 7])
def test_what_cannot_be_read_is_refused(value):
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_given(value)


def test_a_finished_picture_says_how_it_was_edited(panel):
    told = (
        "a\nSteps: 3, Sampler: Euler, Seed: 1, Size: 64x64, Denoising strength: 0.4, Mask blur: 7, "
        "Masked content: original, Inpaint area: Whole picture, Outpaint left: 64, Version: 0.1.0"
    )
    found = dict(zip(IDS, panel.spread(told), strict=True))
    assert (found["image.denoising_strength"], found["inpaint.blur"], found["inpaint.fill"]) == (0.4, 7, "original")
    assert found["inpaint.only_masked"] is False
    assert found["outpaint.left"] == 0


TOLD = "a\nSteps: 3, Sampler: Euler, Seed: 1, Size: 64x64, Denoising strength: 0.4, Mask blur: 7"


class Halving(NoScripts):
    """Scripts that read half of what a picture says of its strength."""

    def recalled(self, infotext, fields):
        return {**fields, "Denoising strength": str(float(fields["Denoising strength"]) / 2)}


def press(panel, studio, user="ada", **said):
    """What becomes of the inputs, by name, when a picture's settings are wanted; those that stay are left out."""
    drawn = Picture(0, Image.new("RGB", (8, 8)), 1, -1, "a", "", TOLD, {})
    row = studio.pictures.save(drawn, job_id="j", owner="ada", output=OutputParams())
    request = SimpleNamespace(username=user, session_hash="one")
    values = panel.recall(gr.EventData(None, {"id": row.id, **said}), request)
    named = zip(IDS, values, strict=True)
    return {name: value for name, value in named if not (isinstance(value, dict) and "__type__" in value)}


def test_a_picture_changes_the_inputs_only_where_all_its_settings_are_wanted(panel, studio):
    whole = press(panel, studio)
    assert set(whole) == set(IDS)
    assert (whole["image.denoising_strength"], whole["inpaint.blur"], whole["outpaint.left"]) == (0.4, 7, 0)
    assert press(panel, studio, only=["prompt"]) == {}
    assert press(panel, studio, only=["prompt", "seed", "size", "model", "sampling"]) == {}
    assert press(panel, studio, user="bob") == {}


def test_scripts_have_their_say_in_what_a_picture_says_of_its_editing(studio):
    panel = EditPanel(replace(studio, scripts=Halving()), Uploads())
    assert press(panel, studio)["image.denoising_strength"] == 0.2


def test_the_room_is_told_what_the_model_can_do(panel, studio):
    facts, edits = panel.fit(None)
    known = facts_of(studio.catalog, None)
    assert facts == {"native": known.native, "img2img": known.can("img2img"), "inpaint": known.can("inpaint")}
    assert edits["visible"] is False


def test_the_page_knows_the_jobs_of_the_room_again(studio, panel):
    handlers = Handlers(studio, Desk(studio), read_table(ROOT / "configs"), edit=panel)
    first = [form.defaults(facts_of(studio.catalog, None))[name] for name in form.NAMES]
    first[form.NAMES.index("prompt.text")] = "a circle"
    request = SimpleNamespace(username="ada", session_hash="one")
    given = {"token": "mine", "picture": panel.uploads.put("ada", png()), "mask": ""}

    async def act(sent):
        return [told async for told, _ in handlers.generate(request, *first, sent, *values()) if "job" in told]

    mine = asyncio.run(act(json.dumps(given)))
    assert mine[-1]["phase"] == "done"
    assert {told["edit"] for told in mine} == {"mine"}
    assert {told["edit"] for told in asyncio.run(act(""))} == {None}
    (refused,) = asyncio.run(act("{"))
    assert "cannot be read" in refused["error"]


def test_each_owner_keeps_the_latest_few():
    held = Uploads()
    keys = [held.put("ada", png()) for _ in range(HELD_EACH + 2)]
    other = held.put("bob", png())
    assert [held.get("ada", key) is not None for key in keys] == [False, False, *[True] * HELD_EACH]
    assert held.get("bob", other) == png()
    assert held.get("ada", other) is None


def test_all_together_take_no_more_than_is_allowed(monkeypatch):
    held, size = Uploads(), len(png())
    monkeypatch.setattr(uploads, "HELD_BYTES", 2 * size)
    first, second, third = (held.put(name, png()) for name in ("ada", "bob", "eve"))
    assert held.get("ada", first) is None
    assert held.get("bob", second) == held.get("eve", third) == png()


def test_one_person_s_bytes_take_the_place_of_their_own_oldest_only(monkeypatch):
    held, size = Uploads(), len(png())
    assert uploads.BYTES_EACH < uploads.HELD_BYTES
    monkeypatch.setattr(uploads, "HELD_BYTES", 3 * size)
    monkeypatch.setattr(uploads, "BYTES_EACH", 2 * size)
    hers = held.put("bob", png())
    keys = [held.put("ada", png()) for _ in range(5)]
    assert [held.get("ada", key) is not None for key in keys] == [False, False, False, True, True]
    assert held.get("bob", hers) == png()
    monkeypatch.setattr(uploads, "BYTES_EACH", size - 1)
    with pytest.raises(ValueError, match="MiB are taken"):
        held.put("ada", png())
    assert held.get("ada", keys[-1]) == png()


def test_the_route_takes_pictures_of_whoever_signed_in(monkeypatch):
    held, who = Uploads(), ["ada"]
    app = FastAPI()
    app.include_router(upload_routes("/page", held, lambda request: who[0]))
    client = TestClient(app)
    answer = client.post("/page/studio/given", content=png())
    assert held.get("ada", answer.json()["id"]) == png()
    bad = client.post("/page/studio/given", content=b"no picture")
    assert (bad.status_code, "cannot be read" in bad.json()["detail"]) == (422, True)
    assert client.post("/page/studio/given", content=png()[:60]).status_code == 422
    monkeypatch.setattr(uploads, "MOST_PIXELS", 1000)
    assert "48 × 32" in client.post("/page/studio/given", content=png()).json()["detail"]
    who[0] = None
    assert client.post("/page/studio/given", content=png()).status_code == 401
