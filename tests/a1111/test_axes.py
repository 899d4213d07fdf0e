"""Axes that an extension adds to A1111's X/Y/Z plot, as axes of the studio's grids."""

from __future__ import annotations

import base64
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from modules.api.app import add_api
from modules.contracts.codec import decode, encode
from modules.contracts.errors import InvalidRequest, ScriptFailed
from modules.contracts.experiments import Experiment
from modules.contracts.request import ImageParams
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse
from modules.experiments.cells import caption, expand
from modules.experiments.reading import AxisReader, make_experiment
from modules.experiments.results import Results
from modules.ui.experiments import axis_choices
from tests.a1111.conftest import put
from tests.a1111.test_over_http import BODY
from tests.a1111.test_scripts import PLAIN, drawn

SWING = """
from PIL import Image
import modules.scripts as scripts
from modules import script_callbacks

KEPT = {}


def set_colour(p, x, xs):
    p._swing_colour = x


def set_share(p, x, xs):
    KEPT["share"] = xs.index(x) / (len(xs) - 1)
    p.extra_generation_params["Swing of"] = len(xs)


def set_steps(p, x, xs):
    p.steps = 2 * x


def confirm(p, xs):
    for x in xs:
        if x not in ("red", "blue"):
            raise RuntimeError(f"Unknown colour: {x} ({p.steps} steps)")


def fall(p, x, xs):
    raise KeyError(x)


def add():
    (grid,) = [one.module for one in scripts.scripts_data if one.script_class.__module__ == "xyz_grid.py"]
    grid.axis_options.extend([
        grid.AxisOption("[Swing] Colour", str, set_colour, confirm=confirm, choices=lambda: ["red", "blue"], cost=0.4),
        grid.AxisOption("[Swing] Share", float, set_share, format_value=lambda p, opt, x: f"share of {x}"),
        grid.AxisOptionTxt2Img("[Swing] Pairs of steps", int, set_steps),
        grid.AxisOptionImg2Img("[Swing] Picture", str, set_colour),
        grid.AxisOption("[Swing] Fall", str, fall, prepare=lambda text: text.split("/")),
    ])


script_callbacks.on_before_ui(add)


class Swing(scripts.Script):
    def title(self):
        return "Swing"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def postprocess_image(self, p, pp):
        if hasattr(p, "_swing_colour"):
            pp.image = Image.new("RGB", pp.image.size, p._swing_colour)
        if "share" in KEPT:
            pp.image = Image.blend(pp.image, Image.new("RGB", pp.image.size, "white"), KEPT["share"])

    def postprocess(self, p, processed):
        KEPT.clear()
"""
COLOUR, SHARE = "scripts.swing (axes).swing_colour", "[Swing] Share"


@pytest.fixture(scope="module")
def swinging(legacy_studio):
    """The studio with one more extension, as long as this file's tests last."""
    folder = legacy_studio.paths.data.parent
    put(folder, "swing/scripts/swing.py", SWING)
    legacy_studio.scripts.refresh()
    entry = next(one for one in legacy_studio.scripts.entries() if one.name == "swing")
    assert entry.state == "on", entry.trace
    yield legacy_studio
    shutil.rmtree(folder / "extensions/swing")
    legacy_studio.scripts.refresh()


@pytest.fixture(scope="module")
def client(swinging):
    app = FastAPI()
    add_api(app, swinging)
    with TestClient(app, base_url="http://127.0.0.1:7860") as made:
        yield made


def read(studio, name, values, base=PLAIN, tab="txt2img"):
    return AxisReader(studio.catalog, scripts=studio.scripts, base=base).axis(name, values, tab)


def test_a_grid_draws_what_the_extension_does_to_p_and_to_its_own_modules(swinging):
    axes = [read(swinging, "[swing] colour", "red, blue"), read(swinging, SHARE, "0-1 [3]")]
    made = make_experiment(PLAIN, axes)
    assert decode(Experiment, json.loads(json.dumps(encode(made)))) == made  # so it goes on after a crash
    record = swinging.experiments.start(made, "ada")
    record = swinging.experiments.wait(record.id, 120)
    assert record.counts == {"done": 6}
    seen, texts = [], []
    for cell in swinging.experiments.cells(record.id):
        shown = Results(swinging.pictures)
        seen.append(shown.shown(cell).convert("RGB").getpixel((5, 5)))
        texts.append(shown.stored(cell).infotext)
    colours = np.array([(255, 0, 0), (0, 0, 255)])
    wanted = [pure + (255 - pure) * share for share in (0, 0.5, 1) for pure in colours]
    assert np.abs(np.array(seen) - np.array(wanted)).max() <= 1
    assert "Swing Colour: red, Swing Share: 0, " in texts[0]
    assert "Swing of: 3" in texts[0]
    assert [caption(axes[1], place) for place in range(3)] == ["share of 0.0", "share of 0.5", "share of 1.0"]
    assert drawn(swinging).pictures[0].image.getpixel((5, 5)) not in map(tuple, colours)


def test_fields_of_p_are_drawn_and_cells_say_so(swinging):
    experiment = make_experiment(PLAIN, [read(swinging, "[Swing] Pairs of steps", "1-2")])
    results = [swinging.queue.submit(cell.request, "ada").wait(60) for cell in expand(experiment)]
    assert ["Steps: 2," in results[0].pictures[0].infotext, "Steps: 4," in results[1].pictures[0].infotext] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("[Swing] Colour", "red, green", r"Unknown colour: green \(2 steps\)"),
        ("[Swing] Share", "much", "is no number"),
        ("[Swing] Picture", "red", "There is no axis"),
        ("[Swing] Colour", "", "no values"),
    ],
)
def test_values_are_confirmed_before_anything_is_drawn(swinging, name, values, said):
    with pytest.raises(InvalidRequest, match=said):
        read(swinging, name, values)


def test_each_tab_has_its_own_axes_and_prepared_values(swinging):
    base = make_experiment(PLAIN, [read(swinging, "[Swing] Fall", "a, b/c")])
    assert [cell.request.scripts.always[0].values[0].value for cell in expand(base)] == [
        ["a, b", "a, b", "c"],
        ["c", "a, b", "c"],
    ]
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    given = replace(PLAIN, image=ImageParams((picture.getvalue(),)))
    assert read(swinging, "[Swing] Picture", "red", given, "img2img").values == ("red",)
    labels = [label for label, _ in axis_choices(swinging)]
    assert {"[Swing] Colour", "[Swing] Picture", "Tint: Colour", "Pair of seeds: Gap"} <= set(labels)


def test_a_cell_that_the_extension_cannot_apply_fails_by_name(swinging):
    use = ScriptUse("swing (axes)", (GivenValue("swing_fall", ["x", "x"]),))
    with pytest.raises(ScriptFailed, match=r"The axis \[Swing\] Fall failed at 'x': KeyError"):
        swinging.queue.submit(replace(PLAIN, scripts=ScriptParams((use,))), "ada").wait(60)
    swinging.scripts.switch("swing", "enable")  # this one is counted, and there would be two more


def test_the_plot_of_the_old_api_takes_them_by_label_and_by_number(client):
    (info,) = [
        row
        for row in client.get("/sdapi/v1/script-info").json()
        if row["name"] == "x/y/z plot" and not row["is_img2img"]
    ]
    labels = info["args"][0]["choices"]
    assert labels[0] == "Nothing"
    assert "[Swing] Picture" not in labels
    number = labels.index(SHARE)
    asked = ["[Swing] Colour", "", ["blue", "red"], number, "0, 1", [], 0, "", [], False, True]
    answer = client.post("/sdapi/v1/txt2img", json={**BODY, "script_name": "x/y/z plot", "script_args": asked})
    assert answer.status_code == 200, answer.text
    images = [Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB") for one in answer.json()["images"]]
    assert [image.getpixel((3, 3)) for image in images[1:]] == [
        (0, 0, 255),
        (255, 0, 0),
        (255, 255, 255),
        (255, 255, 255),
    ]
    asked[2] = ["blue", "mauve"]
    answer = client.post("/sdapi/v1/txt2img", json={**BODY, "script_name": "x/y/z plot", "script_args": asked})
    assert answer.status_code == 422
    assert "Unknown colour: mauve" in answer.json()["detail"]


def test_they_are_listed_with_what_a_change_costs(client):
    rows = {row["key"]: row for row in client.get("/api/v1/experiments/axes", params={"limit": 1000}).json()["axes"]}
    assert (rows[COLOUR]["label"], rows[COLOUR]["type"], rows[COLOUR]["cost"]) == ("[Swing] Colour", "str", 0.4)
    assert rows["scripts.Pair of seeds.gap"]["type"] == "int"
