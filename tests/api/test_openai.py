"""`/v1/images` and `/v1/models` as OpenAI's clients use them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from modules.api.images import to_png
from tests.api.fakes import PASSWORD, opened, picture

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


def test_quality_is_a_number_of_steps(client, rig):
    for quality, steps, told in (
        (None, 20, "medium"), ("auto", 20, "medium"), ("standard", 20, "medium"), ("medium", 20, "medium"),
        ("low", 10, "low"), ("high", 40, "high"), ("hd", 40, "high"),
    ):  # fmt: skip
        answer = client.post(GENERATE, json={"prompt": "a cat", "size": "64x64", "quality": quality})
        assert (rig.engine.seen[-1].sampling.steps, answer.json()["quality"]) == (steps, told)
    files = {"image": ("a.png", picture(), "image/png")}
    assert client.post(EDIT, data={"prompt": "a dog", "quality": "low"}, files=files).status_code == 200
    assert rig.engine.seen[-1].sampling.steps == 10


def test_quality_is_a_share_of_the_steps_that_the_model_is_best_drawn_with(client, rig):
    for quality, steps in ((None, 4), ("low", 2), ("hd", 8)):
        body = {"prompt": "a cat", "size": "64x64", "quality": quality, "model": "people/photo"}
        assert client.post(GENERATE, json=body).status_code == 200
        assert rig.engine.seen[-1].sampling.steps == steps


def test_files_are_of_the_format_and_compression_asked_for(client, rig, monkeypatch):
    noise = Image.effect_noise((64, 64), 120).convert("RGB")
    plain = rig.engine.generate

    def noisy(request, context):
        result = plain(request, context)
        return replace(result, pictures=tuple(replace(item, image=noise) for item in result.pictures))

    monkeypatch.setattr(rig.engine, "generate", noisy)
    sizes = {}
    for form in ("jpeg", "webp"):
        for compression in (0, 60, 100):
            body = {"prompt": "a", "size": "64x64", "output_format": form, "output_compression": compression}
            told = client.post(GENERATE, json=body).json()
            assert (told["output_format"], opened(told["data"][0]["b64_json"]).format) == (form, form.upper())
            sizes[form, compression] = len(told["data"][0]["b64_json"])
        assert sizes[form, 0] < sizes[form, 60] < sizes[form, 100]
    rig.settings.update({"samples_format": "jpeg"})
    asked = client.post(GENERATE, json={"prompt": "a", "output_compression": 7})  # of the format that the settings say
    assert asked.status_code == 200
    assert dict(rig.engine.seen[-1].own)["jpeg_quality"] == 7


def test_pictures_may_come_by_their_address(make_rig):
    rig = make_rig(gallery=True)
    client = rig.client()
    body = {"prompt": "a cat", "size": "64x64", "n": 2, "response_format": "url", "output_format": "webp"}
    told = client.post(GENERATE, json=body).json()
    assert [set(row) for row in told["data"]] == [{"url", "revised_prompt"}] * 2
    assert len({row["url"] for row in told["data"]}) == 2
    for row in told["data"]:
        assert row["url"].startswith("http://")
        assert client.get(row["url"]).headers["content-type"] == "image/webp"
    assert len(rig.pictures.list()) == 2
    client.post(GENERATE, json={**body, "response_format": "b64_json"})
    assert len(rig.pictures.list()) == 2
    files = {"image": ("a.png", picture(), "image/png")}
    (row,) = client.post(EDIT, data={"prompt": "a dog", "response_format": "url"}, files=files).json()["data"]
    assert client.get(row["url"]).status_code == 200


def test_the_address_is_its_owners_alone(make_rig):
    rig = make_rig(gallery=True)
    app, keys = rig.application(), {}
    for name, role in (("ada", "admin"), ("ann", "user"), ("bob", "user")):
        rig.accounts.add_user(name, PASSWORD, role=role)
        keys[name] = {"authorization": f"Bearer {rig.accounts.add_token(name, 'test')[1]}"}
    client = rig.client(app)
    body = {"prompt": "a cat", "size": "64x64", "response_format": "url"}
    url = client.post(GENERATE, json=body, headers=keys["ann"]).json()["data"][0]["url"]
    assert [client.get(url, headers=keys[name]).status_code for name in keys] == [200, 200, 403]
    assert client.get(url).status_code == 401


def test_what_changes_nothing_is_said(client):
    plain = client.post(GENERATE, json={"prompt": "a", "size": "64x64"})
    assert (plain.json()["background"], plain.json()["quality"]) == ("opaque", "medium")
    given = {"style": "vivid", "moderation": "low", "user": "somebody"}
    harmless = {"background": "opaque", "stream": False, "partial_images": 0}
    for headers in ({}, {"Prefer": "respond-async"}):
        answer = client.post(GENERATE, json={"prompt": "a", "size": "64x64", **given, **harmless}, headers=headers)
        assert answer.status_code in (200, 202), answer.text
        said = answer.headers["x-atelier-notes"]
        assert all(f"{field}:" in said for field in given)
        assert "somebody" not in said
        assert not any(f"{field}:" in said for field in harmless)
    assert "style:" not in plain.headers.get("x-atelier-notes", "")
    files = {"image": ("a.png", picture(), "image/png")}
    edited = client.post(EDIT, data={"prompt": "a", "input_fidelity": "high", "user": "me"}, files=files)
    assert "input_fidelity:" in edited.headers["x-atelier-notes"]


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
        ({"prompt": "a", "response_format": "jpeg"}, 400, "response_format"),
        ({"prompt": "a", "stream": True}, 400, "stream"),
        ({"prompt": "a", "partial_images": 2}, 400, "stream"),
        ({"prompt": "a", "n": 0}, 400, "n"),
        ({"prompt": "a", "quality": "best"}, 400, "quality"),
        ({"prompt": "a", "style": "calm"}, 400, "style"),
        ({"prompt": "a", "background": "transparent"}, 400, "background"),
        ({"prompt": "a", "background": "blue"}, 400, "background"),
        ({"prompt": "a", "output_format": "gif"}, 400, "output_format"),
        ({"prompt": "a", "output_compression": 50}, 400, "jpeg and webp"),
        ({"prompt": "a", "output_compression": 101, "output_format": "webp"}, 400, "output_compression"),
        ({"prompt": "a", "moderation": "strict"}, 400, "moderation"),
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
