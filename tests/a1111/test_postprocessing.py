"""A1111's scripts for the extras tab, in jobs that make pictures larger."""

from __future__ import annotations

import base64
import io
import shutil

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from modules.api.app import add_api
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import ScriptParams
from modules.ui.scripts import ScriptPanel
from tests.a1111.conftest import put
from tests.a1111.test_scripts import use

EDGES = """
import gradio as gr
from PIL import Image, ImageOps
from modules import scripts_postprocessing
from modules.ui_components import InputAccordion


class Early(scripts_postprocessing.ScriptPostprocessing):
    name = "Early"
    order = 500

    def ui(self):
        with InputAccordion(False, label="Early") as enable:
            grey = gr.Checkbox(False, label="Grey")
        return {"enable": enable, "grey": grey}

    def process_firstpass(self, pp, enable, grey):
        pp.info["Early saw"] = f"{pp.image.width}"

    def process(self, pp, enable, grey):
        if enable:
            pp.image = ImageOps.grayscale(pp.image).convert("RGB") if grey else ImageOps.invert(pp.image)


class Late(scripts_postprocessing.ScriptPostprocessing):
    name = "Late"
    order = 2000

    def ui(self):
        return {"width": gr.Slider(0, 9, 0, step=1, label="Edge"), "colour": gr.Dropdown(["red", "blue"], value="red")}

    def process(self, pp: scripts_postprocessing.PostprocessedImage, width, colour):
        if width:
            pp.extra_images.append(pp.create_copy(pp.image, nametags=["x"]))
            pp.image = ImageOps.expand(pp.image, width, colour)
            pp.info["Edge"] = f"{width} {colour}"
"""


@pytest.fixture(scope="module")
def edged(legacy_studio):
    """The studio with one more extension, as long as this file's tests last."""
    folder = legacy_studio.paths.data.parent
    put(folder, "edges/scripts/edges.py", EDGES)
    legacy_studio.scripts.refresh()
    entry = next(one for one in legacy_studio.scripts.entries() if one.name == "edges")
    assert entry.state == "on", entry.trace
    yield legacy_studio
    shutil.rmtree(folder / "extensions/edges")
    legacy_studio.scripts.refresh()


def png(colour="#204060"):
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, "PNG")
    return data.getvalue()


def larger(studio, *uses, **more):
    wish = EnlargeParams((png(), png("white")), upscaler="Nearest", scale=2, **more)
    request = GenerationRequest(enlarge=wish, scripts=ScriptParams(uses))
    return studio.queue.submit(request, "ada").wait(60)


def test_they_work_before_and_after_the_upscaler_and_write_infotext(edged):
    plain = larger(edged)
    assert np.asarray(plain.pictures[0].image)[0, 0].tolist() == [0x20, 0x40, 0x60]
    assert "Early saw: 8" in plain.pictures[0].infotext
    result = larger(edged, use("Early", enable=True), use("Late", width=3, colour="blue"))
    first, second = (np.asarray(one.image) for one in result.pictures)
    assert first.shape == (22, 22, 3)
    assert first[0, 0].tolist() == [0, 0, 255]
    assert first[5, 5].tolist() == [0xDF, 0xBF, 0x9F]
    assert second[5, 5].tolist() == [0, 0, 0]
    assert "Edge: 3 blue" in result.pictures[1].infotext
    assert any("Late made 1 more pictures, which are not kept" in note for note in result.notes)


def test_scripts_for_drawing_have_no_part_in_it_and_these_none_in_drawing(edged):
    with pytest.raises(InvalidRequest, match="Script 'Tint' not found"):
        larger(edged, use("Tint", on=True))
    assert [one.title for one in edged.scripts.offered("enlarge", always_on=True)] == ["Early", "Late"]
    titles = {one.title for mode in ("txt2img", "img2img") for one in edged.scripts.offered(mode, always_on=True)}
    assert "Late" not in titles


def test_over_the_old_api_they_take_their_arguments_by_name_or_place(edged):
    app = FastAPI()
    add_api(app, edged)
    body = {"image": base64.b64encode(png()).decode(), "upscaler_1": "None", "upscaling_resize": 1}
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        for args in ([2, "red"], {"width": 2}):
            asked = {**body, "alwayson_scripts": {"late": {"args": args}}}
            answer = client.post("/sdapi/v1/extra-single-image", json=asked)
            assert answer.status_code == 200, answer.text
            image = Image.open(io.BytesIO(base64.b64decode(answer.json()["image"])))
            assert (image.size, image.getpixel((0, 0))) == ((12, 12), (255, 0, 0))
        wrong = {**body, "alwayson_scripts": {"Late": {"args": [99]}}}
        answer = client.post("/sdapi/v1/extra-single-image", json=wrong)
        assert answer.status_code == 422
        assert "Edge is 99; a whole number from 0 up to 9 is needed" in answer.json()["detail"]
        long = {**body, "alwayson_scripts": {"Late": {"args": [2, "red", 5]}, "Latte": {"args": [False, 3]}}}
        answer = client.post("/sdapi/v1/extra-single-image", json=long)
        assert answer.status_code == 200, answer.text
        said = "Late takes 2 arguments; those after them changed nothing."
        assert f"<p>{said}</p>" in answer.json()["html_info"]
        assert said in answer.headers["X-Atelier-Notes"]
        files = {"imageList": [{"data": body["image"]}], **long}
        later = client.post("/sdapi/v1/extra-batch-images", json=files, headers={"prefer": "respond-async"})
        assert (later.status_code, later.headers["X-Atelier-Notes"]) == (202, said)
        edged.queue.handle(later.json()["job_id"]).wait(60)


def test_the_page_has_their_inputs_beside_the_upscaler(edged):
    import asyncio

    import gradio as gr

    panel = ScriptPanel(edged, ("enlarge",))

    async def act():
        with gr.Blocks():
            panel.build()

    asyncio.run(act())
    assert [field.label for field in panel.fields] == ["Early", "Grey", "Edge", "Dropdown"]
    asked = panel.fill(GenerationRequest(enlarge=EnlargeParams()), [True, False, 4.0, "red"], ("ada", "one"))
    told = {one.name: {each.name: each.value for each in one.values} for one in asked.scripts.always}
    assert told == {"Early": {"enable": True}, "Late": {"width": 4}}
