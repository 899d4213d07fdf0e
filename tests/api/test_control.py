"""`/controlnet/*`, units in bodies of the old API and in jobs of ours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.contracts.control import CONTROL_MODES, HR_OPTIONS, RESIZE_MODES, ControlUnit, HintParams
from modules.contracts.controls import ControlEntry
from tests.api.fakes import SMALL, b64, made, opened, picture

RED = b64(picture((24, 16), (255, 0, 0)))
MASK = b64(picture((24, 16), 255, "L"))


def disc():
    image = Image.new("RGB", (64, 48), "white")
    ImageDraw.Draw(image).ellipse((16, 8, 48, 40), fill="black")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return b64(buffer.getvalue())


def units(*args, title="ControlNet"):
    return {"alwayson_scripts": {title: {"args": list(args)}}}


@pytest.fixture
def sent(call, rig):
    """The units that reached the engine, for these arguments."""

    def send(*args, path="txt2img", **more):
        answer = call(path, steps=1, **units(*args), **more)
        assert RED[:60] not in str(answer["parameters"])
        return rig.asked.control.units

    return send


def refused(client, *args, **more):
    answer = client.post("/sdapi/v1/txt2img", json={**units(*args), **more})
    assert answer.status_code == 422, answer.text
    return answer.json()["detail"]


def test_lists(client, rig):
    get = lambda name: client.get(f"/controlnet/{name}").json()  # noqa: E731
    assert get("version") == {"version": 2}
    assert get("settings") == {"control_net_unit_count": 10}
    assert get("model_list") == {"model_list": ["None"]}
    modules = get("module_list")
    assert modules["module_list"][:2] == ["none", "canny"]
    assert modules["module_list"] == list(modules["module_detail"])
    assert [row["name"] for row in modules["module_detail"]["canny"]["sliders"]] == [
        "Preprocessor Resolution", "Low Threshold", "High Threshold"
    ]  # fmt: skip
    assert "models pull usyd-community/vitpose-base-simple" in modules["missing"]["openpose"]
    assert "openpose" not in modules["module_list"]
    labels = client.get("/controlnet/module_list?alias_names=true").json()["module_list"]
    assert "invert (from white bg & black line)" in labels
    types = get("control_types")["control_types"]
    assert types["All"]["module_list"] == modules["module_list"]
    assert (types["Canny"]["default_option"], types["Canny"]["default_model"]) == ("canny", "None")


def test_references_need_no_model(client, sent):
    modules = client.get("/controlnet/module_list").json()
    assert "reference_only" in modules["module_list"]
    detail = modules["module_detail"]["reference_adain+attn"]
    assert detail["model_free"]
    assert not modules["module_detail"]["canny"]["model_free"]
    assert detail["sliders"] == [
        None, {"name": "Style Fidelity", "value": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}
    ]  # fmt: skip
    kind = client.get("/controlnet/control_types").json()["control_types"]["Reference"]
    assert (kind["default_option"], kind["model_list"]) == ("reference_only", ["None"])
    (unit,) = sent({"module": "reference_only", "model": None, "image": RED, "threshold_a": 0.25, "weight": 0.8})
    assert (unit.module, unit.hint.threshold_a, unit.refers) == ("reference_only", 0.25, True)
    assert "takes no mask" in refused(client, {"module": "Reference_only", "image": RED, "mask": MASK})


def test_image_prompts_have_blocks(client, sent):
    modules = client.get("/controlnet/module_list").json()
    assert {"ip-adapter-auto", "ip-adapter_clip_sd15", "ip-adapter_clip_sdxl"} <= set(modules["module_list"])
    assert "InsightFace" in modules["missing"]["ip-adapter_face_id"]
    (unit,) = sent({"module": "ip-adapter_clip_sd15", "model": "plus", "image": RED, "mask": MASK, "blocks": "style"})
    assert (unit.module, unit.model, unit.hint.blocks, bool(unit.mask)) == (
        "ip-adapter_clip_sd15",
        "plus",
        "style",
        True,
    )


def test_models_show_by_title_and_kind(make_rig, tmp_path):
    rig = make_rig()
    rig.studio.controls.models = lambda: (
        ControlEntry("sd15_canny", tmp_path, "controlnet", "sd15", "d14c016b"),
        ControlEntry("union", tmp_path, "union", "sdxl"),
        ControlEntry("all_in_one", tmp_path, "union", "flux"),
        ControlEntry("sd15_plus", tmp_path, "ip_adapter", "sd15"),
        ControlEntry("torn", tmp_path, None, problem="torn is torn."),
    )
    client = rig.client()
    assert client.get("/controlnet/model_list?update=false").json()["model_list"] == [
        "None", "sd15_canny [d14c016b]", "union", "all_in_one", "sd15_plus"
    ]  # fmt: skip
    types = client.get("/controlnet/control_types").json()["control_types"]
    assert types["Canny"]["model_list"] == ["None", "sd15_canny [d14c016b]", "union", "all_in_one"]
    assert types["Canny"]["default_model"] == "sd15_canny [d14c016b]"
    assert types["Tile"]["model_list"] == ["None", "union", "all_in_one"]
    assert types["IP-Adapter"]["model_list"] == ["None", "sd15_plus"]
    assert types["Reference"]["model_list"] == ["None"]


@pytest.mark.parametrize("field", ["controlnet_input_images", "controlnet_images"])
def test_detect(client, field):
    body = {"controlnet_module": "canny", field: [disc(), RED], "controlnet_processor_res": 96, "low_vram": None}
    answer = client.post("/controlnet/detect", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["info"] == "Success"
    edges, flat = (np.asarray(opened(text)) for text in answer.json()["images"])
    assert (edges.shape, flat.shape) == ((96, 128, 3), (96, 144, 3))
    assert edges[16:80, 32:96].max() == 255
    assert edges[48, 64].max() == flat.max() == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"controlnet_module": "canny"}, "No image selected"),
        ({"controlnet_module": "depth", "controlnet_images": [RED]}, "needs a network such as Intel/dpt-hybrid-midas"),
        ({"controlnet_module": "cany", "controlnet_images": [RED]}, "no preprocessor 'cany'"),
        ({"controlnet_module": "inpaint", "controlnet_images": [RED]}, "0 masks came with 1 pictures"),
        ({"controlnet_images": ["!"]}, "controlnet_input_images[0]"),
        ({"controlnet_images": [RED], "controlnet_processor_res": 9999}, "less than or equal to 2048"),
        ({"controlnet_images": [RED] * 17}, "at most 16"),
    ],
)
def test_detect_says_what_is_wrong(client, body, words):
    answer = client.post("/controlnet/detect", json=body)
    assert answer.status_code == 422
    assert words in str(answer.json())


def test_a_mask_hides_what_inpaint_models_fill(client):
    mask = Image.new("L", (24, 16), 0)
    mask.paste(255, (0, 0, 12, 16))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    body = {"controlnet_module": "inpaint", "controlnet_images": [RED], "controlnet_masks": [b64(buffer.getvalue())]}
    shown = np.asarray(opened(client.post("/controlnet/detect", json=body).json()["images"][0]))
    assert (shown[:, :12] == 0).all()
    assert (shown[:, 12:] == (255, 0, 0)).all()


def test_every_field_of_a_unit(sent):
    (unit,) = sent(
        {
            "enabled": True, "module": "canny", "model": "edges [d14c016b]", "weight": 0.5, "image": RED, "mask": MASK,
            "resize_mode": "Resize and Fill", "processor_res": 256, "threshold_a": 50, "threshold_b": 99,
            "guidance_start": 0.1, "guidance_end": 0.9, "pixel_perfect": True, "control_mode": CONTROL_MODES[1],
            "hr_option": HR_OPTIONS[2], "low_vram": True, "save_detected_map": True,
        }
    )  # fmt: skip
    assert (unit.module, unit.model, unit.weight, unit.resize_mode) == (
        "canny", "edges [d14c016b]", 0.5, RESIZE_MODES[2]
    )  # fmt: skip
    assert unit.hint == HintParams(256, 50, 99, True)
    assert (unit.guidance_start, unit.guidance_end) == (0.1, 0.9)
    assert (unit.control_mode, unit.hr_option) == (CONTROL_MODES[1], HR_OPTIONS[2])
    assert Image.open(io.BytesIO(unit.image)).getpixel((0, 0)) == (255, 0, 0)
    assert Image.open(io.BytesIO(unit.mask)).getpixel((0, 0)) == 255


@pytest.mark.parametrize(
    "image",
    [
        {"image": RED},
        {"input_image": f"data:image/png;base64,{RED}"},
        {"image": {"image": RED, "mask": None}},
        {"image": [RED]},
        {"image": {"image": RED}, "mask": b64(picture((24, 16), 0, "L"))},
    ],
)
def test_the_ways_of_a_picture(sent, image):
    (unit,) = sent({"model": "edges", **image})
    assert Image.open(io.BytesIO(unit.image)).size == (24, 16)
    assert unit.mask == b"", "an empty mask is none"


@pytest.mark.parametrize("mask", [{"mask": MASK}, {"mask_image": MASK}, {"effective_region_mask": MASK}])
def test_the_ways_of_a_mask(sent, mask):
    assert sent({"model": "edges", "image": RED, **mask})[0].mask
    assert sent({"model": "edges", "image": {"image": RED, **({"mask": MASK} if "mask" in mask else mask)}, **mask})[
        0
    ].mask


def test_numbers_words_and_nulls(sent):
    first, second = sent(
        {"model": "edges", "image": RED, "resize_mode": 0, "control_mode": "2", "hr_option": 1, "lowvram": True},
        {
            "model": "edges", "image": RED, "resize_mode": "Scale to Fit (Inner Fit)", "control_mode": None,
            "module": None, "weight": None, "processor_res": -1, "threshold_a": -5, "guidance": 0.7, "enabled": None,
        },
    )  # fmt: skip
    assert (first.resize_mode, first.control_mode, first.hr_option) == (
        RESIZE_MODES[0],
        CONTROL_MODES[2],
        HR_OPTIONS[1],
    )
    assert (second.resize_mode, second.control_mode) == (RESIZE_MODES[1], CONTROL_MODES[0])
    assert (second.module, second.weight, second.hint, second.guidance_end) == ("none", 1.0, HintParams(), 0.7)
    assert second.enabled


def test_units_that_are_off_keep_their_number_and_cost_nothing(sent):
    off = {"enabled": False, "image": "no picture", "weight": 99}
    kept = sent(off, {"model": "edges", "image": RED}, off, {})
    assert [unit.enabled for unit in kept] == [False, True]
    assert kept[0] == ControlUnit()
    assert sent(off, None, False) == ()
    assert sent(*[{}] * 10) == ()


def test_from_a_picture_a_unit_needs_none(sent):
    (unit,) = sent({"model": "edges", "image": ""}, path="img2img", init_images=[RED])
    assert unit.image == b""


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ({"image": RED}, "unit 0 is on and has no model"),
        ({"model": "edges"}, "unit 0 has no picture"),
        ({"model": "edges", "image": "!"}, "ControlNet.args[0].image"),
        ({"model": "edges", "image": RED, "weight": 3}, "Control weight is 3.0; allowed is 0 to 2"),
        ({"model": "edges", "image": RED, "weight": "much"}, "unit 0: weight is 'much'"),
        ({"model": "edges", "image": RED, "resize_mode": 7}, "allowed are 0 (Just Resize)"),
        ({"model": "edges", "image": RED, "control_mode": "mine"}, "control_mode is 'mine'"),
        ({"model": "edges", "image": RED, "guidance_start": 1, "guidance_end": 0.5}, "start before it ends"),
        ({"model": "edges", "image": [RED, RED]}, "2 images were given"),
        ({"model": "edges", "image": RED, "advanced_weighting": [1.0]}, "advanced_weighting is not there yet"),
        ({"model": "edges", "image": {"image": 7}}, "ControlNet.args[0].image"),
    ],
)
def test_what_a_unit_cannot_be(client, unit, words):
    assert words in refused(client, unit)


def test_too_many_units_and_what_is_no_unit(client):
    assert "11 ControlNet units" in refused(client, *[{"model": "edges", "image": RED}] * 11)
    assert "objects, one a unit" in refused(client, "canny")
    assert "not found" in refused(client, script_name="controlnet m2m")


def test_jobs_of_our_own_api(client, rig):
    unit = {"enabled": True, "model": "edges", "module": "canny", "threshold_a": 40.0, "image": RED, "mask": MASK}
    made(client, control={"units": [{}, unit]})
    rig.engine.seen or pytest.fail("nothing was drawn")
    first, second = rig.asked.control.units
    assert first == ControlUnit()
    assert (second.model, second.hint.threshold_a) == ("edges", 40.0)
    assert Image.open(io.BytesIO(second.image)).size == (24, 16)
    for wrong, words in (
        ({"units": [{"weight": 2.5}]}, "less than or equal to 2"),
        ({"units": [{"colour": 1}]}, "Extra inputs"),
        ({"units": [{"control_mode": "mine"}]}, "Balanced"),
        ({"units": [{}] * 11}, "at most 10"),
        ({"units": [{"enabled": True, "model": "edges"}]}, "has no picture"),
    ):
        answer = client.post("/api/v1/jobs", json={**SMALL, "control": wrong})
        assert answer.status_code == 422
        assert words in answer.text


def test_units_of_an_infotext_are_told_to_be_left_out(client, rig):
    text = 'a cat\nSteps: 2, Sampler: Euler, Seed: 1, ControlNet 0: "Module: canny, Model: edges, Weight: 1"'
    answer = client.post("/sdapi/v1/txt2img", json={"infotext": text})
    assert answer.status_code == 200
    assert "pictures are not in it" in answer.text
    assert rig.asked.control.units == ()
