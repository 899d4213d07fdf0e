"""`/api/v1/settings`: bounds, words and defaults; whose a change is; what cannot be."""

from __future__ import annotations

import pytest

from modules.support.options import CORE_SETTINGS
from tests.api.fakes import PASSWORD, SECRET

PLACE = "/api/v1/settings"


def rows(client, **query):
    answer = client.get(PLACE, params=query)
    assert answer.status_code == 200, answer.text
    return {row["key"]: row for row in answer.json()["settings"]}


def test_every_public_setting_says_what_it_is(client):
    told = rows(client)
    assert list(told) == [item.key for item in CORE_SETTINGS if item.scope != "secret"]
    quality = told["jpeg_quality"]
    assert (quality["type"], quality["value"], quality["default"]) == ("integer", 90, 90)
    assert (quality["minimum"], quality["maximum"], quality["scope"]) == (1, 100, "user")
    assert told["samples_format"]["choices"] == ["png", "jpeg", "webp", "avif"]
    assert told["sd_model_checkpoint"]["choices"] == ["", "pocket", "people/photo"]
    assert told["sd_vae"]["choices"] == ["Automatic", "soft"]
    assert SECRET not in client.get(PLACE).text


def test_words_of_the_device_are_those_that_it_offers(client, rig):
    rig.hardware["attention"] = ["Automatic", "sdp"]
    assert rows(client)["cross_attention_optimization"]["choices"] == ["Automatic", "sdp"]


def test_settings_are_filtered_and_paged(client):
    assert {row["section"] for row in rows(client, section="saving").values()} == {"saving"}
    assert all(row["scope"] == "admin" for row in rows(client, scope="admin").values())
    assert list(rows(client, text="JPEG")) == ["jpeg_quality"]
    first = client.get(PLACE, params={"limit": 2}).json()
    assert (len(first["settings"]), first["following"], first["total"]) == (2, 2, len(rows(client)))
    assert client.get(PLACE, params={"section": "nowhere"}).status_code == 422


def test_one_setting_is_read_and_put(client, rig):
    answer = client.put(f"{PLACE}/jpeg_quality", json={"value": 70})
    assert (answer.status_code, answer.json()["value"], rig.settings["jpeg_quality"]) == (200, 70, 70)
    assert client.get(f"{PLACE}/jpeg_quality").json() == answer.json()
    assert client.put(f"{PLACE}/jpeg_quality", json={"value": None}).json()["value"] == 90
    assert client.put(f"{PLACE}/sd_model_checkpoint", json={"value": "0123456789"}).json()["value"] == "people/photo"
    assert client.put(f"{PLACE}/sd_model_checkpoint", json={"value": ""}).json()["value"] == ""
    assert client.put(f"{PLACE}/sd_vae", json={"value": "soft.safetensors"}).json()["value"] == "soft"


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("jpeg_quality", 0, 422),
        ("jpeg_quality", 10**400, 422),
        ("jpeg_quality", 1.5, 422),
        ("jpeg_quality", "many", 422),
        ("max_megapixels", 10**400, 422),
        ("live_previews_enable", 1, 422),
        ("samples_format", "bmp", 422),
        ("samples_format", [1], 422),
        ("sd_model_checkpoint", "nothing", 404),
        ("sd_vae", "nothing", 404),
        ("cross_attention_optimization", "magic", 422),
        ("hub_token", "stolen", 404),
        ("no_such_setting", 1, 404),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(client, rig, key, value, status):
    before = dict(rig.settings.public())
    assert client.put(f"{PLACE}/{key}", json={"value": value}).status_code == status
    assert client.patch(PLACE, json={key: value, "save_txt": True}).status_code in (status, 422)
    assert dict(rig.settings.public()) == before
    assert rig.settings["hub_token"] == SECRET


def test_half_a_character_is_refused(client):
    headers = {"content-type": "application/json"}
    for method, place, body in (
        ("put", f"{PLACE}/samples_filename_pattern", b'{"value": "\\ud800"}'),
        ("patch", PLACE, b'{"samples_filename_pattern": "\\ud800"}'),
    ):
        assert client.request(method, place, content=body, headers=headers).status_code == 422


def test_several_change_together(client, rig):
    answer = client.patch(PLACE, json={"samples_format": "webp", "jpeg_quality": 80})
    assert [(row["key"], row["value"]) for row in answer.json()["settings"]] == [
        ("samples_format", "webp"),
        ("jpeg_quality", 80),
    ]
    assert (rig.settings["samples_format"], rig.settings["jpeg_quality"]) == ("webp", 80)


def test_an_admins_change_is_everybodys_and_anothers_is_their_own(people):
    rig, clients = people
    assert clients["ann"].put(f"{PLACE}/samples_format", json={"value": "webp"}).json()["own"] is True
    assert rows(clients["ann"])["samples_format"]["value"] == "webp"
    assert rows(clients["bob"])["samples_format"]["value"] == "png"
    assert clients["ann"].get("/sdapi/v1/options").json()["samples_format"] == "webp"
    refused = clients["ann"].patch(PLACE, json={"max_megapixels": 64, "samples_format": "avif"})
    assert refused.status_code == 403
    assert rows(clients["ann"])["samples_format"]["value"] == "webp"
    assert rows(clients["ann"])["max_megapixels"]["changeable"] is False
    assert clients["ada"].put(f"{PLACE}/max_megapixels", json={"value": 2}).status_code == 200
    told = rows(clients["bob"])["max_megapixels"]
    assert (told["value"], told["own"]) == (2, False)
    assert rig.settings["max_megapixels"] == 2
    taken_back = clients["ann"].put(f"{PLACE}/samples_format", json={"value": None}).json()
    assert (taken_back["value"], taken_back["own"]) == ("png", False)


def test_a_guest_reads_and_changes_nothing(people):
    rig, clients = people
    rig.accounts.add_user("guy", PASSWORD, role="guest")
    guest = {"authorization": f"Bearer {rig.accounts.add_token('guy', 'test')[1]}"}
    told = rig.client(clients["ada"].app, headers=guest).get(f"{PLACE}/samples_format").json()
    assert (told["value"], told["changeable"]) == ("png", False)
    refused = rig.client(clients["ada"].app, headers=guest).put(f"{PLACE}/samples_format", json={"value": "webp"})
    assert refused.status_code == 403
