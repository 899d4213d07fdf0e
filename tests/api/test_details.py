"""Details in bodies of the old API and in jobs of ours; `/adetailer/v1/*`."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from modules.contracts.detailer import NO_REGIONS, Detail, DetailerParams, RegionParams
from tests.api.fakes import SMALL, b64, picture

MASK = b64(picture((24, 16), 255, "L"))
RED = b64(picture((24, 16), (255, 0, 0)))


def script(*args):
    return {"alwayson_scripts": {"ADetailer": {"args": list(args)}}}


def refused(client, status=422, **body):
    answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, **body})
    assert answer.status_code == status, answer.text
    return answer.json()["detail"]


def test_details_have_fields_of_their_own(call, rig):
    call(
        steps=1, detailer_model="color", detailer_classes="red", detailer_confidence=0.5, detailer_most=2,
        detailer_order=1, detailer_min_ratio=0.1, detailer_max_ratio=0.9, detailer_x_offset=3, detailer_y_offset=-4,
        detailer_dilate=8, detailer_merge=1, detailer_prompt="a face", detailer_negative="ugly", detailer_strength=0.6,
        detailer_blur=2, detailer_padding=16, detailer_only_masked=False, detailer_width=256, detailer_height=320,
        detailer_steps=9, detailer_cfg_scale=3, detailer_sampler="Euler a", detailer_scheduler="Karras",
    )  # fmt: skip
    assert rig.asked.regions == RegionParams("Colour", "red", 0.5, 2, "Confidence", 0.1, 0.9, 3, -4, 8, "Merge")
    assert rig.asked.detailer == DetailerParams(
        "a face", "ugly", 0.6, 2, 16, False, 256, 320, 9, 3.0, "Euler a", "Karras"
    )
    call(steps=1, detailer_model="None")
    assert rig.asked.regions == NO_REGIONS
    assert rig.asked.details == ()


def test_adetailers_units_are_details(call, rig):
    first = {
        "ad_model": "Contrast", "ad_prompt": "a face", "ad_denoising_strength": 0.5, "ad_mask_k": 2, "ad_steps": 9,
        "ad_inpaint_only_masked_padding": 16, "ad_mask_filter_method": "Confidence", "is_api": True,
    }  # fmt: skip
    second = {
        "ad_model": "colour", "ad_model_classes": "red", "ad_use_steps": True, "ad_steps": 9, "ad_use_sampler": True,
        "ad_sampler": "Euler a", "ad_scheduler": "Use same scheduler", "ad_use_inpaint_width_height": True,
        "ad_inpaint_width": 256, "ad_use_cfg_scale": True, "ad_controlnet_model": "None", "ad_checkpoint": None,
    }  # fmt: skip
    off = {"ad_model": "Contrast", "ad_tab_enable": False}
    call(steps=1, **script(True, False, first, {"ad_model": "None"}, off, second))
    one = Detail(
        RegionParams("Contrast", most=2, order="Confidence"), DetailerParams("a face", strength=0.5, padding=16)
    )
    two = Detail(
        RegionParams("Colour", "red"), DetailerParams(width=256, height=512, steps=9, cfg_scale=7.0, sampler="Euler a")
    )
    assert rig.asked.details == (one, two)
    call(steps=1, **script(first))
    assert rig.asked.details == (one,)
    call(steps=1, **script(False, False, first))
    assert rig.asked.details == ()


def test_only_the_details_of_a_given_picture_are_drawn(call, rig):
    body = {"steps": 1, "init_images": [RED], "denoising_strength": 0.7}
    call("img2img", **body, **script(True, True, {"ad_model": "Contrast"}))
    assert rig.asked.image.denoising_strength == 0.0
    call("img2img", **body, **script(True, False, {"ad_model": "Contrast"}))
    assert rig.asked.image.denoising_strength == 0.7


def test_a_mask_comes_with_a_request(call, rig, client):
    answer = call(steps=1, detailer_model="mask", detailer_mask=MASK)
    assert answer["parameters"]["detailer_mask"] is None
    wanted = np.asarray(Image.open(io.BytesIO(rig.asked.regions.mask)))
    assert wanted.shape == (16, 24)
    assert (wanted == 255).all()
    job = {**SMALL, "regions": {"detector": "Mask", "mask": MASK}, "further": [{"regions": {"detector": "Contrast"}}]}
    assert client.post("/api/v1/jobs", json=job).status_code == 202
    assert "wants a mask" in refused(client, detailer_model="Mask")
    assert refused(client, detailer_model="Mask", detailer_mask="no picture")


def test_infotext_brings_all_details_back(call, rig):
    text = (
        "a cat\nSteps: 5, Sampler: Euler, Size: 64x64, ADetailer model: Contrast, ADetailer confidence: 0.4, "
        "ADetailer version: 25.3.0, ADetailer model 2nd: Colour, ADetailer model classes 2nd: red"
    )
    call(infotext=text)
    assert rig.asked.details == (
        Detail(RegionParams("Contrast", confidence=0.4)),
        Detail(RegionParams("Colour", "red")),
    )


def test_what_makes_no_sense_is_refused(client):
    assert "no field 'ad_nose'" in refused(client, **script({"ad_model": "Contrast", "ad_nose": 1}))
    assert "confidence is 'high'" in refused(client, **script({"ad_model": "Contrast", "ad_confidence": "high"}))
    assert "another checkpoint" in refused(client, **script({"ad_model": "Contrast", "ad_use_checkpoint": True}))
    assert "without ControlNets" in refused(client, **script({"ad_model": "Contrast", "ad_controlnet_model": "tile"}))
    assert "wants a colour" in refused(client, **script({"ad_model": "Colour"}))
    assert "is 2" in refused(client, **script({"ad_model": "Contrast", "ad_denoising_strength": 2}))
    assert "at most 10" in refused(client, **script(*[{"ad_model": "Contrast"}] * 11))
    assert "two switches" in refused(client, **script("face"))
    assert "yolo export" in refused(client, 404, **script({"ad_model": "face_yolov8n.pt"}))
    assert refused(client, detailer_model="Contrast", detailer_strength=2)
    assert refused(client, 404, detailer_model="Contrast", detailer_sampler="nonsense")


@pytest.mark.parametrize("wrong", [{"regions": {"detector": "Mask"}}, {"further": [{"regions": {"most": -1}}]}])
def test_jobs_of_ours_are_checked_too(client, wrong):
    assert client.post("/api/v1/jobs", json={**SMALL, **wrong}).status_code == 422


def test_clients_of_adetailer_find_what_they_look_for(client):
    get = lambda name: client.get(f"/adetailer/v1/{name}").json()  # noqa: E731
    assert get("version") == {"version": "25.3.0"}
    assert get("ad_model") == {"ad_model": ["None", "Colour", "Contrast", "Mask"], "missing": {}}
    schema = get("schema")["properties"]
    assert schema["ad_confidence"] == {
        "title": "Detailer confidence", "type": "number", "default": 0.3, "minimum": 0, "maximum": 1
    }  # fmt: skip
    assert (schema["ad_steps"]["default"], schema["ad_model"]["type"]) == (28, "string")
    assert "adetailer" in client.get("/sdapi/v1/scripts").json()["txt2img"]
