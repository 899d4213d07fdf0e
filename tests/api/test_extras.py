"""Pictures are made larger by jobs like any other: stored, owned, watched, cancelled, answered later on wish."""

from __future__ import annotations

import io
import threading

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.upscalers.deep import read_deep
from tests.api.fakes import b64, made, opened, picture


def enlarge(client, path="extra-single-image", **body):
    if path == "extra-single-image":
        body = {"image": b64(picture((20, 10), "red")), **body}
    return client.post(f"/sdapi/v1/{path}", json=body)


def wished(rig):
    return rig.asked.enlarge


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({}, (40, 20)),
        ({"upscaling_resize": 3}, (60, 30)),
        ({"resize_mode": 1}, (512, 512)),
        ({"resize_mode": 1, "upscaling_resize_w": 30, "upscaling_resize_h": 60}, (30, 60)),
        ({"resize_mode": 1, "upscaling_resize_w": 30, "upscaling_resize_h": 30, "upscaling_crop": False}, (60, 30)),
        ({"upscaling_resize": None, "upscaler_1": None, "upscale_first": True, "codeformer_weight": 1}, (40, 20)),
        ({"resize_mode": "0", "upscaling_resize_w": 30.0, "unknown": 1}, (40, 20)),
    ],
)
def test_every_field_of_a1111_is_taken(client, rig, body, size):
    answer = enlarge(client, **body)
    assert answer.status_code == 200, answer.text
    assert opened(answer.json()["image"]).size == size
    assert (rig.asked.mode, rig.asked.output.save) == ("enlarge", False)


def test_upscalers_are_named_in_any_case_and_told_in_html(client, rig):
    answer = enlarge(client, upscaler_1="NET-X2", upscaler_2="lanczos", extras_upscaler_2_visibility=0.25).json()
    assert wished(rig).shares == (("net-x2", 0.75), ("Lanczos", 0.25))
    assert answer["html_info"] == (
        "<p>Postprocess upscale by: 2, Postprocess upscaler: net-x2, Postprocess upscaler 2: Lanczos, "
        "Postprocess upscaler 2 visibility: 0.25</p>"
    )
    enlarge(client, upscaler_1="none", upscaler_2="None", extras_upscaler_2_visibility=0.25)
    assert wished(rig).shares == (("None", 1.0),)


def test_faces_are_restored_by_the_fields_of_a1111(client, rig):
    answer = enlarge(client, gfpgan_visibility=0.5, upscale_first=True)
    assert answer.status_code == 200, answer.text
    wish = wished(rig)
    assert (wish.restorer, wish.restorer_share, wish.upscale_first) == ("GFPGANv1.4", 0.5, True)
    assert "Postprocess face restorer: GFPGANv1.4, Postprocess face restorer visibility: 0.5" in answer.text
    enlarge(client, codeformer_visibility=0.25, codeformer_weight=0)
    wish = wished(rig)
    assert (wish.restorer, wish.restorer_share, wish.restorer_weight) == ("CodeFormer", 0.25, 0)
    enlarge(client, codeformer_weight=1)
    assert not wished(rig).restores
    assert client.get("/sdapi/v1/face-restorers").json() == [{"name": "GFPGANv1.4", "cmd_dir": None}]


def test_sixteen_bits_come_through(client, rig):
    grey = np.linspace(0, 65_535, 20 * 10).reshape(10, 20).astype(np.uint16)
    deep = cv2.imencode(".png", np.stack([grey] * 3, axis=2))[1].tobytes()
    assert enlarge(client, image=b64(deep)).status_code == 200
    assert (read_deep(wished(rig).images[0])[..., 0] == grey).all()


def test_a_batch_is_one_job_and_keeps_its_order(client, rig):
    given = [{"data": b64(picture((side, 8))), "name": "../../x.png"} for side in (8, 16, 24)]
    answer = enlarge(client, "extra-batch-images", imageList=given, upscaling_resize=2).json()
    assert [opened(text).size for text in answer["images"]] == [(16, 16), (32, 16), (48, 16)]
    assert len(rig.queue.list()) == 1


def test_results_are_left_out_on_wish(client):
    assert set(enlarge(client, show_extras_results=False).json()) == {"html_info"}
    given = [{"data": b64(picture())}]
    assert enlarge(client, "extra-batch-images", imageList=given, show_extras_results=False).json()["images"] == []


def test_what_cannot_be_is_refused_before_a_job_is_stored(client, rig):
    for body, words in (
        ({"gfpgan_visibility": 0.5, "codeformer_visibility": 0.5}, "not both"),
        ({"gfpgan_visibility": 1.5}, "gfpgan_visibility"),
        ({"upscaler_1": "Sorcery"}, "not known"),
        ({"upscaler_2": "Sorcery"}, "not known"),
        ({"upscaler_1": "Latent"}, "here are Lanczos, net-x2"),
        ({"image": b64(b"no picture")}, "not a picture"),
        ({"image": ""}, "is empty"),
        ({"upscaling_resize": 0}, "upscaling_resize"),
        ({"upscaling_resize": 17}, "upscaling_resize"),
        ({"resize_mode": 2}, "resize_mode"),
        ({"upscaling_resize_w": 0}, "upscaling_resize_w"),
        ({"image": b64(picture((1000, 10))), "upscaling_resize": 16}, "at most 8192"),
        ({"alwayson_scripts": {"Sorcery": {"args": [True]}}}, "Script 'Sorcery' not found"),
        ({"alwayson_scripts": {"ControlNet": {"args": [{"enabled": True}]}}}, "Script 'ControlNet' not found"),
    ):
        answer = enlarge(client, **body)
        assert answer.status_code == 422, body
        assert words in answer.text
    given = [{"data": b64(picture((4000, 4000), 0, "1"))}] * 5
    assert "at most 256" in enlarge(client, "extra-batch-images", imageList=given).text
    assert enlarge(client, "extra-batch-images", imageList=[]).status_code == 422
    assert rig.queue.list() == []


def test_it_is_a_job_that_can_be_awaited_later(make_rig):
    rig = make_rig(gallery=True)
    client = rig.client()
    headers = {"prefer": "respond-async", "idempotency-key": "order-1"}
    body = {"image": b64(picture((20, 10))), "upscaler_1": "Lanczos"}
    answer = client.post("/sdapi/v1/extra-single-image", json=body, headers=headers)
    assert answer.status_code == 202
    again = client.post("/sdapi/v1/extra-single-image", json=body, headers=headers)
    job = answer.json()["job_id"]
    assert again.json()["job_id"] == job
    rig.queue.handle(job).wait(10)
    row = client.get(answer.headers["location"]).json()
    assert (row["state"], row["model"], row["megapixel_steps"]) == ("done", "Lanczos", pytest.approx(0.0008))
    (kept,) = client.get(f"/api/v1/jobs/{job}/pictures").json()["pictures"]
    assert (kept["width"], kept["height"]) == (40, 20)
    assert client.get(f"/api/v1/jobs/{job}/request").json()["mode"] == "enlarge"


def test_interrupting_it_answers_with_what_is_finished(client, rig):
    rig.engine.hold(batch=1)
    given, answers = [{"data": b64(picture())}] * 3, []
    worker = threading.Thread(
        target=lambda: answers.append(enlarge(client, "extra-batch-images", imageList=given).json())
    )
    worker.start()
    for _ in range(2):
        assert rig.engine.entered.acquire(timeout=10)
    assert client.get("/sdapi/v1/progress").json()["state"]["job_count"] == 1
    assert client.post("/sdapi/v1/interrupt").status_code == 200
    worker.join(10)
    assert len(answers[0]["images"]) == 1
    assert "Interrupted" in answers[0]["html_info"]


def test_our_own_api_takes_it_as_a_job(client, rig):
    wish = {"images": [b64(picture((20, 10)))], "upscaler": "net-x2", "width": 30, "height": 30}
    job = made(client, enlarge=wish)["id"]
    (large,) = rig.queue.handle(job).wait(10).pictures
    assert large.image.size == (30, 30)
    assert wished(rig).upscaler == "net-x2"
    mixed = {"enlarge": wish, "image": {"images": wish["images"]}}
    assert "larger or draws" in client.post("/api/v1/jobs", json=mixed).text
    assert client.post("/api/v1/jobs", json={"enlarge": {}}).status_code == 422


def test_the_words_of_the_picture_stay_with_it_and_nothing_else_does(client, rig):
    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 3, Seed: 1, Size: 20x10")
    info.add_text("other", "secret")
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "PNG", pnginfo=info)
    assert enlarge(client, image=b64(buffer.getvalue())).status_code == 200
    assert wished(rig).infotexts == ("a cat\nSteps: 3, Seed: 1, Size: 20x10",)
    assert b"secret" not in wished(rig).images[0]


def test_it_belongs_to_whoever_asked(people):
    rig, clients = people
    enlarge(clients["ann"])
    (record,) = rig.queue.list()
    assert record.owner == "ann"
    assert clients["bob"].get(f"/api/v1/jobs/{record.id}").status_code == 403
