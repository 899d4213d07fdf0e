"""Wrong input is a 4xx with one sentence, and the next request works."""

from __future__ import annotations

import contextlib
import random

import pytest

from modules.api.images import open_picture, read_mask, read_picture
from modules.contracts.errors import InvalidRequest, OutOfMemory
from tests.api.fakes import b64, picture

PICTURE = b64(picture())
BROKEN = b64(picture()[:60])

WRONG = [
    ("txt2img", {"steps": -1}, 422, "Steps is -1; allowed is 1 to 1000."),
    ("txt2img", {"width": 100000}, 422, "Width is 100000; allowed is 16 to 8192."),
    ("txt2img", {"cfg_scale": 1e9}, 422, "CFG scale is 1000000000.0"),
    ("txt2img", {"batch_size": 65}, 422, "Batch size is 65"),
    ("txt2img", {"scheduler": "Sorcery"}, 422, "Scheduler 'Sorcery' is not known. Known are: Automatic, Karras"),
    ("txt2img", {"enable_hr": True, "hr_upscaler": "Sorcery"}, 422, "Upscaler 'Sorcery' is not known"),
    ("txt2img", {"override_settings": {"sd_model_checkpoint": "nowhere"}}, 404, "There is no model 'nowhere'"),
    ("txt2img", {"override_settings": {"sd_model_checkpoint": "torn"}}, 422, "torn is cut off."),
    ("txt2img", {"override_settings": {"sd_model_checkpoint": ["a"]}}, 422, "override_settings.sd_model_checkpoint is"),
    ("txt2img", {"override_settings": {"sd_vae": "nowhere"}}, 404, "VAE 'nowhere' is not known"),
    ("txt2img", {"override_settings": {"samples_format": "bmp"}}, 422, "File format is 'bmp'"),
    ("txt2img", {"override_settings": {"jpeg_quality": 0}}, 422, "jpeg_quality is 0"),
    ("txt2img", {"override_settings": "none"}, 422, "an object of settings is needed"),
    ("txt2img", {"alwayson_scripts": [1]}, 422, "alwayson_scripts has to be an object"),
    ("txt2img", {"refiner_checkpoint": "big"}, 404, "There is no model 'big'"),
    ("txt2img", {"refiner_checkpoint": "torn"}, 422, "torn is cut off."),
    ("txt2img", {"refiner_checkpoint": "pocket", "refiner_switch_at": 1.5}, 422, "Refiner from is 1.5"),
    ("txt2img", {"override_settings": {"hires_fix_refiner_pass": "third pass"}}, 422, "Refiner in hires is"),
    ("img2img", {}, 404, "Init image not found"),
    ("img2img", {"init_images": []}, 404, "Init image not found"),
    ("img2img", {"init_images": [""]}, 422, "init_images[0] is empty"),
    ("img2img", {"init_images": ["%%% no base64 %%%"]}, 422, "init_images[0] is not base64"),
    ("img2img", {"init_images": ["data:image/png,abc"]}, 422, "init_images[0] is a data URI without base64"),
    ("img2img", {"init_images": [b64(b"no picture at all")]}, 422, "init_images[0] is not a picture"),
    ("img2img", {"init_images": [BROKEN]}, 422, "init_images[0] is a broken picture"),
    ("img2img", {"init_images": ["http://169.254.169.254/x"]}, 422, "pictures are not fetched"),
    ("img2img", {"init_images": ["HTTPS://example.com/x"]}, 422, "pictures are not fetched"),
    ("img2img", {"init_images": [PICTURE], "mask": BROKEN}, 422, "mask is a broken picture"),
    ("img2img", {"init_images": [PICTURE], "resize_mode": 9}, 422, "resize_mode is 9; allowed are 0 (stretch)"),
    ("img2img", {"init_images": [PICTURE] * 3, "batch_size": 2}, 422, "3 pictures were given for a batch of 2"),
    ("png-info", {"image": "http://127.0.0.1/x"}, 422, "pictures are not fetched"),
    ("png-info", {"image": b64(b"text")}, 422, "image is not a picture"),
]


@pytest.mark.parametrize(("path", "body", "status", "sentence"), WRONG)
def test_one_sentence_says_what_was_given_and_what_is_allowed(client, rig, path, body, status, sentence):
    answer = client.post(f"/sdapi/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error", "detail", "body", "errors"}
    assert sentence in told["detail"]
    assert "\n" not in told["detail"]
    assert rig.queue.list() == []
    assert client.post("/sdapi/v1/txt2img", json={"steps": 1}).status_code == 200


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('{"steps": "many"}', "steps"),
        ('{"steps": NaN}', "steps"),
        ('{"width": 1e999}', "width"),
        ('{"prompt": 3}', "prompt"),
        ('{"init_images": 3}', "init_images"),
        ("{", "JSON"),
        ("[]", "body"),
        ("", "body"),
        ('{"prompt": "\\ud800"}', "half a character"),
        ('{"override_settings": {"sd_vae": ["\\udc00"]}}', "half a character"),
    ],
)
def test_bodies_of_the_wrong_shape_are_told_so_in_fastapis_words(client, content, word):
    path = "img2img" if "init_images" in content else "txt2img"
    answer = client.post(f"/sdapi/v1/{path}", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert isinstance(detail, list)
    assert set(detail[0]) == {"loc", "msg", "type"}
    assert word in str(detail[0])


def test_a_picture_with_too_many_pixels_is_refused_by_its_header(client):
    from PIL import Image

    huge = picture((9000, 8000), mode="1", color=0)
    assert Image.MAX_IMAGE_PIXELS > 9000 * 8000
    answer = client.post("/sdapi/v1/img2img", json={"init_images": [b64(huge)]})
    assert answer.status_code == 422
    assert "9000 × 8000 pixels; at most 64 megapixels" in answer.json()["detail"]


def test_errors_of_the_engine_keep_their_status(client, rig):
    rig.engine.fail["huge"] = OutOfMemory("Not enough memory.", advice="Draw smaller.")
    rig.engine.fail["odd"] = ZeroDivisionError("secret detail")
    answer = client.post("/sdapi/v1/txt2img", json={"prompt": "huge"})
    assert answer.status_code == 507
    assert answer.json() == {
        "error": "out_of_memory", "detail": "Not enough memory. Draw smaller.", "body": "", "errors": "",
    }  # fmt: skip
    answer = client.post("/sdapi/v1/txt2img", json={"prompt": "odd"})
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert client.post("/sdapi/v1/txt2img", json={"steps": 1}).status_code == 200


def test_what_nobody_foresaw_is_a_500_with_an_id_that_is_in_the_log(client, rig, caplog):
    def fail():
        raise RuntimeError("secret detail")

    rig.catalog.refresh = fail
    answer = client.post("/sdapi/v1/refresh-checkpoints")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    number = answer.json()["detail"].rstrip(".").rsplit(" ", 1)[1]
    assert number in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_damaged_pictures_are_read_or_refused_and_nothing_else(form):
    dice = random.Random(form)
    whole = picture((24, 16), 3 if form == "GIF" else (1, 2, 3), "P" if form == "GIF" else "RGB", form)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(dice.choice((1, 3, 12))):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        if dice.random() < 0.3:
            del damaged[dice.randrange(1, len(damaged)) :]
        for read in (read_picture, read_mask):
            with contextlib.suppress(InvalidRequest):
                assert open_picture(read(b64(bytes(damaged)), "mask"), "mask")
