"""`/api/v1/pictures/read`: what a picture from anywhere says, and how much of it is understood."""

from __future__ import annotations

import pytest

from modules.outputs.metadata import encode
from tests.api.fakes import b64, picture
from tests.outputs.making import image
from tests.outputs.test_foreign import SIMPLE, made_png

PLACE = "/api/v1/pictures/read"


@pytest.fixture
def client(make_rig):
    return make_rig().client()


def test_a_graph_is_told_as_infotext_with_what_was_understood(client):
    told = client.post(PLACE, json={"image": b64(made_png(prompt=SIMPLE))}).json()
    assert told["program"] == "ComfyUI"
    assert told["parameters"]["Seed"] == "156680208700286"
    assert told["understood"] == [
        "Prompt", "Negative prompt", "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model",
        "Clip skip",
    ]  # fmt: skip
    assert told["unknown"] == told["notes"] == []
    info = client.post("/sdapi/v1/png-info", json={"image": b64(made_png(prompt=SIMPLE))}).json()["info"]
    assert info == told["infotext"]


def test_labels_that_mean_nothing_here_are_named(client):
    text = "a cat\nSteps: 20, Sampler: Euler, Seed: 1, Size: 64x64, Colour of hat: red, Version: v1.10.1"
    data = encode(image(), "jpeg", infotext=text, recipe={}, quality=90)
    told = client.post(PLACE, json={"image": "data:image/jpeg;base64," + b64(data)}).json()
    assert (told["program"], told["unknown"]) == ("A1111", ["Colour of hat"])
    assert "Version" not in told["understood"]


def test_a_picture_without_anything_says_nothing(client):
    told = client.post(PLACE, json={"image": b64(picture())}).json()
    assert [told[key] for key in ("program", "infotext", "understood", "unknown", "notes")] == ["", "", [], [], []]


@pytest.mark.parametrize(
    "wrong", [{}, {"image": ""}, {"image": "http://127.0.0.1/x.png"}, {"image": "!"}, {"image": 5}]
)
def test_what_is_no_picture_is_refused_in_words(client, wrong):
    assert client.post(PLACE, json=wrong).status_code == 422
    answer = client.post(PLACE, json={"image": b64(b"hello, world")})
    assert (answer.status_code, answer.json()["detail"][-1]) == (422, ".")
