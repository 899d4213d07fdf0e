"""Scripts written for A1111 over its HTTP API, with arguments in their places."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from modules.api.app import add_api

BODY = {"prompt": "a red circle", "seed": 3, "steps": 2, "width": 64, "height": 64, "sampler_name": "Euler"}


@pytest.fixture(scope="module")
def client(legacy_studio):
    app = FastAPI()
    add_api(app, legacy_studio)
    with TestClient(app, base_url="http://127.0.0.1:7860") as made:
        yield made


def drawn(client, path="txt2img", **more):
    answer = client.post(f"/sdapi/v1/{path}", json={**BODY, **more})
    assert answer.status_code == 200, answer.text
    found = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in answer.json()["images"]
    ]
    return found, json.loads(answer.json()["info"])


def test_a_chosen_script_takes_its_arguments_by_place(client):
    images, info = drawn(client, script_name="pair of seeds", script_args=[4, 0])
    assert [image.shape for image in images] == [(64, 128, 3), (64, 64, 3), (64, 64, 3)]
    assert info["all_seeds"] == [3, 3, 7]
    assert np.array_equal(images[0], np.concatenate(images[1:], axis=1))


def test_always_on_scripts_take_theirs_and_the_rest_have_defaults(client):
    plain, _ = drawn(client)
    tinted, info = drawn(client, alwayson_scripts={"Tint": {"args": [True, "Blue"]}})
    assert "yellow star" in info["all_prompts"][0]
    assert tinted[0][..., 2].min() >= 127
    assert tinted[0][..., 1].max() == 0
    assert plain[0][..., 2].min() < 127


def test_in_image_to_image_the_same_script_works_on_the_given_picture(client):
    data = base64.b64encode(_png("blue")).decode()
    given = {"init_images": [data], "denoising_strength": 0.5}
    (plain,), _ = drawn(client, "img2img", **given)
    images, _ = drawn(client, "img2img", **given, script_name="Pair of seeds", script_args=[1, "Up"])
    assert np.array_equal(images[1], plain)
    assert not np.array_equal(plain, drawn(client)[0][0])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"script_name": "Pair of seeds", "script_args": [50]}, "Gap is 50; a whole number from 1 up to 9 is needed"),
        ({"script_name": "Pair of seeds", "script_args": [1, "Sideways"]}, "allowed are Up, Down"),
        ({"alwayson_scripts": {"Tint": {"args": ["yes"]}}}, "true or false is needed"),
        ({"script_name": "Tint"}, "Script 'Tint' not found"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(client, more, said):
    answer = client.post("/sdapi/v1/txt2img", json={**BODY, **more})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_scripts_are_listed_with_every_argument(client):
    assert "pair of seeds" in client.get("/sdapi/v1/scripts").json()["txt2img"]
    rows = [row for row in client.get("/sdapi/v1/script-info").json() if row["name"] == "pair of seeds"]
    assert [len(row["args"]) for row in rows] == [3, 3]


def _png(colour):
    target = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(target, "PNG")
    return target.getvalue()
