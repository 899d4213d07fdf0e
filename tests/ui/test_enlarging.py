"""A picture of the gallery is made larger from the page: by its owner, as a job that is shown like the others."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import gradio as gr
import pytest
from PIL import Image

from modules.contracts.errors import InvalidRequest, UnknownName
from modules.contracts.events import StageStarted, StepDone
from modules.ui.enlarging import Wished, enlargement, enlarging_inputs
from modules.ui.jobview import JobView, describe, fold
from tests.ui.test_desk import asks, room, told

__all__ = ["room"]


def drawn(room):
    asyncio.run(room.generate("red"))
    (row,) = room.studio.pictures.list()
    return row


async def pressed(room, picture_id, user=None, upscaler="Lanczos", factor=2.0):
    events = room.handlers.enlarge(gr.EventData(None, {"id": picture_id}), asks(user), upscaler, factor)
    return [shown async for shown in events]


def test_the_larger_picture_stands_in_the_gallery_with_its_parameters(room):
    row = drawn(room)
    shown = asyncio.run(pressed(room, row.id))
    assert told(shown)[-1]["phase"] == "done"
    larger, _ = room.studio.pictures.list()
    assert (larger.width, larger.height) == (row.width * 2, row.height * 2)
    assert larger.infotext == row.infotext
    assert room.engine.requests[-1].enlarge.upscaler == "Lanczos"


def test_a_picture_of_somebody_else_is_not_there(room):
    row = drawn(room)
    (refused,) = told(asyncio.run(pressed(room, row.id, user="bob")))
    assert (refused["phase"], refused["error"]) == ("refused", "This picture is no longer in the gallery.")
    with pytest.raises(UnknownName):
        enlargement(room.studio.pictures, "local", "none", Wished("Lanczos", 2), "png")
    assert len(room.engine.requests) == 1


@pytest.mark.parametrize(
    ("factor", "sentence"),
    [("many", "a number is needed"), (None, "a number is needed"), (99, "allowed is"), (float("nan"), "finite")],
)
def test_a_factor_that_cannot_be_is_said(room, factor, sentence):
    row = drawn(room)
    (refused,) = told(asyncio.run(pressed(room, row.id, factor=factor)))
    assert sentence in refused["error"]


def test_what_is_transparent_goes_along(room):
    row = drawn(room)
    buffer = io.BytesIO()
    Image.new("LA", (8, 8), (9, 100)).save(buffer, "PNG")
    room.studio.pictures.read = lambda picture_id: buffer.getvalue()
    wish = enlargement(room.studio.pictures, "local", row.id, Wished("Lanczos", "3"), "webp")
    assert Image.open(io.BytesIO(wish.enlarge.images[0])).mode == "RGBA"
    assert (wish.enlarge.scale, wish.output.format, wish.output.save) == (3.0, "webp", True)
    with pytest.raises(InvalidRequest):
        enlargement(room.studio.pictures, "local", row.id, Wished("Lanczos", "x"), "png")


def test_a_film_is_not_made_larger(room):
    row = drawn(room)
    room.studio.pictures.rows[row.id] = replace(row, media_type="video/mp4")
    with pytest.raises(InvalidRequest, match="film"):
        enlargement(room.studio.pictures, "local", row.id, Wished("Lanczos", "3"), "png")


def test_faces_are_restored_on_wish(room):
    row = drawn(room)
    wish = enlargement(room.studio.pictures, "local", row.id, Wished("Lanczos", 1, "faces", 0.4), "png").enlarge
    assert (wish.restores, wish.restorer, wish.restorer_share) == (True, "faces", 0.4)


def test_the_inputs_offer_what_works_on_pictures(room):
    upscaler, factor, restorer, share = enlarging_inputs(room.studio.catalog)
    assert [value for _, value in restorer.choices] == ["None", "faces"]
    assert (share.minimum, share.maximum, share.value) == (0, 1, 1.0)
    names = [name for _, name in upscaler.choices]
    latent = {entry.name for entry in room.studio.catalog.upscalers() if entry.latent}
    assert names
    assert not latent.intersection(names)
    assert (upscaler.elem_id, factor.elem_id) == ("extras_upscaler_1", "extras_upscaling_resize")
    assert factor.maximum == 16


def test_few_words_say_what_goes_on():
    assert describe(JobView("j", "running", stage="enlarge"))[0] == "Making it larger"
    begun = fold(JobView("j"), StageStarted("j", "enlarge"))
    assert describe(fold(begun, StepDone("j", 2, 9, progress=0.2)))[0] == "Making it larger, part 2 of 9"
