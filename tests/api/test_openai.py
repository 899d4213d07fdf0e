"""`/v1/images` and `/v1/models` as OpenAI's clients use them."""

from __future__ import annotations

import pytest
from PIL import Image

from modules.api.images import to_png
from tests.api.fakes import opened, picture

GENERATE, EDIT = "/v1/images/generations", "/v1/images/edits"


def test_words_become_pictures(client, rig):
    body = {"prompt": "a cat", "model": "people/photo", "n": 2, "size": "64x72", "response_format": "b64_json"}
    told = client.post(GENERATE, json={**body, "quality": "hd", "user": "me"}).json()
    assert [opened(row["b64_json"]).size for row in told["data"]] == [(64, 72)] * 2
    assert (told["size"], told["output_format"]) == ("64x72", "png")
    assert told["created"] > 0
    assert rig.engine.seen[-1].model.checkpoint == "people/photo"
    other = client.post(GENERATE, json={"prompt": "a cat", "size": "auto", "output_format": "webp"}).json()
    assert opened(other["data"][0]["b64_json"]).format == "WEBP"


def test_a_picture_is_drawn_anew_where_the_mask_is_transparent(client, rig):
    hole = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    hole.paste((0, 0, 0, 0), (0, 0, 32, 64))
    files = {"image": ("../../etc/passwd", picture(), "image/png"), "mask": ("m.png", to_png(hole), "image/png")}
    answer = client.post(EDIT, data={"prompt": "a dog", "n": "1", "size": "64x64"}, files=files)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 1
    asked = rig.engine.seen[-1]
    assert asked.mode == "inpaint"
    import io

    mask = Image.open(io.BytesIO(asked.inpaint.mask))
    assert (mask.getpixel((5, 5)), mask.getpixel((60, 5))) == (255, 0)
    plain = client.post(EDIT, data={"prompt": "a dog"}, files={"image": ("a.png", picture(), "image/png")})
    assert plain.status_code == 200
    assert rig.engine.seen[-1].mode == "img2img"


def test_models_are_listed_and_named(client):
    told = client.get("/v1/models").json()
    assert [row["id"] for row in told["data"]] == ["pocket", "people/photo"]
    assert client.get("/v1/models/people/photo").json()["id"] == "people/photo"
    answer = client.get("/v1/models/dall-e-3")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({}, 400, "prompt"),
        ({"prompt": ""}, 400, "prompt"),
        ({"prompt": "a", "n": 11}, 400, "n"),
        ({"prompt": "a", "size": "big"}, 400, "size is"),
        ({"prompt": "a", "size": "99999x16"}, 400, "Width"),
        ({"prompt": "a", "model": "dall-e-3"}, 404, "dall-e-3"),
        ({"prompt": "a", "response_format": "url"}, 400, "b64_json"),
        ({"prompt": "a", "stream": True}, 400, "stream"),
    ],
)
def test_errors_have_the_shape_that_clients_read(client, rig, body, status, word):
    answer = client.post(GENERATE, json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert word in told["message"]
    assert rig.queue.list() == []


def test_uploads_that_are_no_pictures_and_forms_from_elsewhere_are_refused(client, rig):
    page = {"image": ("a.png", b"<html><script>alert(1)</script></html>", "image/png")}
    assert client.post(EDIT, data={"prompt": "a"}, files=page).status_code == 400
    opaque = {"image": ("a.png", picture(), "image/png"), "mask": ("m.png", picture(), "image/png")}
    assert "transparent" in client.post(EDIT, data={"prompt": "a"}, files=opaque).json()["error"]["message"]
    good = {"image": ("a.png", picture(), "image/png")}
    answer = client.post(EDIT, data={"prompt": "a"}, files=good, headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")
    assert client.post(GENERATE, data={"prompt": "a"}).status_code == 415
    assert rig.queue.list() == []


def test_strangers_are_told_in_the_same_shape(make_rig):
    client = make_rig(network={"api_auth": (("ann", "secret"),)}).client()
    answer = client.post(GENERATE, json={"prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
