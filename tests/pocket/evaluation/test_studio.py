"""Orders reach the studio's engine as requests, one for each picture, with nothing lost."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
from PIL import Image

from modules.pocket.evaluation.drawing import Manner, Order
from modules.pocket.evaluation.painting import measure_inpainting
from modules.pocket.evaluation.questions import ask_grounds
from modules.pocket.evaluation.sources import start_hidden
from modules.pocket.evaluation.studio import StudioDraw


class Engine:
    """Gives back the start picture, or the seed as a shade of grey."""

    def __init__(self):
        self.requests = []

    def generate(self, request, context):
        self.requests.append(request)
        side = request.canvas.width or 32
        image = Image.new("RGB", (side, side), (request.seeds.seed,) * 3)
        if request.image is not None:
            image = Image.open(io.BytesIO(request.image.images[0]))
        return SimpleNamespace(pictures=[SimpleNamespace(image=image)])


def test_every_word_of_an_order_reaches_the_engine():
    engine = Engine()
    order = Order(("a star", "a cat"), (5, 6), negative="blue", steps=7, guidance=2.5, size=64)
    pictures = StudioDraw(engine, "pocket")(order)
    assert pictures.shape == (2, 64, 64, 3)
    assert [int(picture[0, 0, 0]) for picture in pictures] == [5, 6]
    first, second = engine.requests
    assert (first.prompt.text, second.prompt.text, first.prompt.negative) == ("a star", "a cat", "blue")
    assert (first.sampling.steps, first.sampling.cfg_scale) == (7, 2.5)
    assert (first.model.checkpoint, first.output.save, first.mode) == ("pocket", False, "txt2img")


def test_what_an_order_leaves_open_is_the_models_own():
    engine = Engine()
    StudioDraw(engine)(Order(("a star",), (5,)))
    (request,) = engine.requests
    assert request.sampling.cfg_scale is None
    assert request.canvas.width is None
    assert request.model.checkpoint is None


def test_an_engine_that_gives_the_old_picture_back_is_told_by_the_property_of_inpainting():
    engine = Engine()
    finding = measure_inpainting(StudioDraw(engine), start_hidden(ask_grounds(3), 96), Manner(size=96), overlaid=True)
    assert {bar.name: (bar.value, bar.met) for bar in finding.bars} == {
        "appears": (0.0, False),
        "outside_largest": (0.0, True),
    }
    request = engine.requests[0]
    assert request.mode == "inpaint"
    mask = np.asarray(Image.open(io.BytesIO(request.inpaint.mask)))
    assert set(np.unique(mask)) == {0, 255}
    assert request.image.denoising_strength == 1.0


def test_hints_reach_the_engine_as_units_and_adapters_as_words():
    engine, hint = Engine(), np.full((1, 32, 32, 3), 9, np.uint8)
    StudioDraw(engine)(Order(("a star",), (1,), images=hint, control="pocket-canny", weight=0.5))
    StudioDraw(engine)(Order(("a star",), (1,), adapter="robot", weight=0.5))
    drawn, worded = engine.requests
    (unit,) = drawn.control.units
    assert (drawn.mode, unit.model, unit.weight, unit.acts) == ("txt2img", "pocket-canny", 0.5, True)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(unit.image))), hint[0])
    assert (worded.prompt.text, worded.control.units) == ("a star <lora:robot:0.5>", ())
