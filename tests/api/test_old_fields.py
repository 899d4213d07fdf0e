"""Fields of the old API that are easily taken and forgotten: each has its effect, or a note says that it has none."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from modules.contracts.cost import work_of
from tests.api.fakes import b64, opened, picture

WHITE = b64(picture(mode="L", color=255))
ASYNC = {"Prefer": "respond-async"}


def notes(body):
    return json.loads(body["info"])["notes"]


def inpaint(call, rig, **fields):
    call("img2img", init_images=[b64(picture())], mask=WHITE, steps=1, **fields)
    return rig.asked.inpaint


def test_the_negative_prompt_may_be_left_out_below_a_level(call, rig):
    call(steps=1, s_min_uncond=2.5)
    assert (rig.asked.sampling.s_min_uncond, rig.asked.sampling.s_min_uncond_all) == (2.5, False)
    call(steps=1, s_min_uncond=0, override_settings={"s_min_uncond": 9, "s_min_uncond_all": True})
    assert (rig.asked.sampling.s_min_uncond, rig.asked.sampling.s_min_uncond_all) == (0, True)
    call(steps=1, override_settings={"s_min_uncond": 4})
    assert rig.asked.sampling.s_min_uncond == 4
    body = call(steps=1, s_min_uncond=None)
    assert rig.asked.sampling.s_min_uncond == 0
    assert not [note for note in notes(body) if "uncond" in note]


def test_masks_are_blurred_by_axis(call, rig):
    wish = inpaint(call, rig, mask_blur_x=2, mask_blur_y=6)
    assert (wish.blur, wish.blur_y) == (2, 6)
    wish = inpaint(call, rig, mask_blur_y=0)
    assert (wish.blur, wish.blur_y) == (4, 0)
    wish = inpaint(call, rig, mask_blur=7, mask_blur_x=1, mask_blur_y=2)
    assert (wish.blur, wish.blur_y) == (7, None)
    wish = inpaint(call, rig, mask_blur_x=5.0, mask_blur_y="5")
    assert (wish.blur, wish.blur_y) == (5, None)
    wish = inpaint(call, rig)
    assert (wish.blur, wish.blur_y) == (4, None)


def test_the_mask_of_the_latents_is_read_like_the_other(call, rig, client):
    half = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    half.paste((9, 9, 9, 255), (0, 0, 32, 64))
    buffer = io.BytesIO()
    half.save(buffer, "PNG")
    body = {"init_images": [b64(picture())], "mask": WHITE, "latent_mask": b64(buffer.getvalue()), "steps": 1}
    told = call("img2img", **body, mask_round=False)
    wish = rig.asked.inpaint
    read = opened(b64(wish.latent_mask))
    assert (read.mode, read.getpixel((5, 5)), read.getpixel((60, 5))) == ("L", 255, 0)
    assert wish.round is False
    assert told["parameters"]["latent_mask"] is None
    assert inpaint(call, rig).round is True
    wrong = client.post("/sdapi/v1/img2img", json={**body, "latent_mask": "bm90aGluZw=="})
    assert (wrong.status_code, "latent_mask" in wrong.json()["detail"]) == (422, True)
    alone = call("img2img", init_images=[b64(picture())], latent_mask=WHITE, steps=1)
    assert rig.asked.mode == "img2img"
    assert any(note.startswith("latent_mask") for note in notes(alone))


def test_a_picture_stands_for_the_first_pass(call, rig, client):
    given = picture((96, 64))
    body = {"firstpass_image": b64(given), "enable_hr": True, "denoising_strength": 0.4, "hr_scale": 2}
    told = call(**body, steps=4)
    asked = rig.asked
    assert opened(b64(asked.first_pass)).tobytes() == opened(b64(given)).tobytes()
    assert (asked.canvas.width, asked.canvas.height, asked.mode) == (96, 64, "txt2img")
    assert work_of(asked) == pytest.approx(192 * 128 * 4 / 1e6)
    assert told["parameters"]["firstpass_image"] is None
    call(**body, width=128, steps=1)
    assert (rig.asked.canvas.width, rig.asked.canvas.height) == (128, 64)
    lone = call(firstpass_image=b64(given), steps=1)
    assert rig.asked.first_pass == b""
    assert any(note.startswith("firstpass_image") for note in notes(lone))
    broken = client.post("/sdapi/v1/txt2img", json={**body, "firstpass_image": b64(given)[:200], "steps": 1})
    assert (broken.status_code, "firstpass_image" in broken.json()["detail"]) == (422, True)


def test_what_is_not_to_be_kept_is_not_kept(call, rig):
    before = len(rig.pictures.rows)
    body = call(steps=1, batch_size=2, save_images=True, do_not_save_samples=True)
    assert len(body["images"]) == 3  # the grid first
    assert len(rig.pictures.rows) == before
    body = call(steps=1, batch_size=2, save_images=True, do_not_save_grid=True)
    assert (len(body["images"]), json.loads(body["info"])["index_of_first_image"]) == (2, 0)
    assert len(rig.pictures.rows) == before + 2


def test_networks_may_be_left_out(call, rig):
    call(steps=1, disable_extra_networks=True)
    assert rig.asked.prompt.no_networks is True
    call(steps=1, disable_extra_networks=None)
    assert rig.asked.prompt.no_networks is False


def test_the_image_cfg_scale_reaches_the_request(call, rig):
    call("img2img", steps=1, init_images=[b64(picture())], image_cfg_scale=1.75)
    assert rig.asked.image.edit_scale == 1.75
    call("img2img", steps=1, init_images=[b64(picture())], image_cfg_scale=None)
    assert rig.asked.image.edit_scale is None


def test_comments_come_back_among_the_notes(call, client):
    assert notes(call(steps=1, comments={"for the wall": 1, "second": 1}))[:2] == ["for the wall", "second"]
    assert notes(call(steps=1, comments=["a", "b"]))[:2] == ["a", "b"]
    assert notes(call(steps=1, comments="only one"))[0] == "only one"
    plain = notes(call(steps=1))
    for nothing in ({}, [], "", None):
        assert notes(call(steps=1, comments=nothing)) == plain
    for wrong in (5, [1], ["x"] * 101):
        answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, "comments": wrong})
        assert (answer.status_code, "comments" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("mode", "field", "value", "nothing"),
    [
        ("img2img", "firstpass_image", WHITE, ""),
    ],
)
def test_what_has_no_effect_yet_is_said_and_not_silent(call, client, mode, field, value, nothing):
    given = {"steps": 1} | ({"init_images": [b64(picture())]} if mode == "img2img" else {})
    assert any(note.startswith(f"{field}: ") for note in notes(call(mode, **given, **{field: value})))
    assert not any(note.startswith(field) for note in notes(call(mode, **given, **{field: nothing})))
    later = client.post(f"/sdapi/v1/{mode}", json={**given, field: value}, headers=ASYNC)
    assert (later.status_code, field in later.headers["x-atelier-notes"]) == (202, True)
    queued = client.post(f"/agent-scheduler/v1/queue/{mode}", json={**given, field: value})
    assert (queued.status_code, field in queued.headers["x-atelier-notes"]) == (200, True)


def test_the_typed_api_takes_both_pictures(client, rig):
    body = {
        "hires": {"enabled": True, "scale": 1.5, "upscaler": "Latent", "first_pass": b64(picture((64, 64)))},
        "sampling": {"steps": 1, "s_min_uncond": 3.0},
        "prompt": {"no_networks": True},
    }
    job = client.post("/api/v1/jobs", json=body)
    assert job.status_code == 202, job.text
    rig.queue.handle(job.json()["id"]).wait(10)
    asked = rig.engine.seen[-1]
    assert (asked.canvas.width, opened(b64(asked.first_pass)).size) == (64, (64, 64))
    off = client.post("/api/v1/jobs", json={"hires": {"first_pass": b64(picture())}})
    assert (off.status_code, "hires.first_pass" in off.json()["detail"]) == (422, True)
    body = {
        "image": {"images": [b64(picture())]},
        "inpaint": {"mask": WHITE, "latent_mask": WHITE, "blur_y": 3, "round": False},
        "sampling": {"steps": 1},
    }
    job = client.post("/api/v1/jobs", json=body)
    assert job.status_code == 202, job.text
    rig.queue.handle(job.json()["id"]).wait(10)
    wish = rig.engine.seen[-1].inpaint
    assert (wish.blur, wish.blur_y, wish.round, opened(b64(wish.latent_mask)).mode) == (4, 3, False, "L")
    body["inpaint"]["latent_mask"] = "bm90aGluZw=="
    wrong = client.post("/api/v1/jobs", json=body)
    assert (wrong.status_code, "inpaint.latent_mask" in wrong.json()["detail"]) == (422, True)
