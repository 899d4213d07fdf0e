"""The lists that clients read when they start."""

from __future__ import annotations

import pytest

from tests.api.fakes import SECRET


@pytest.fixture
def get(client):
    def fetch(path):
        answer = client.get(f"/sdapi/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return fetch


def test_models_have_every_name_that_clients_look_for(get):
    row = get("sd-models")[1]
    assert row == {
        "title": "people/photo [0123456789]",
        "model_name": "people/photo",
        "name": "people/photo",
        "hash": "0123456789",
        "sha256": "ab" * 32,
        "filename": "photo.safetensors",
        "config": None,
        "family": None if row["family"] is None else "sd15",
    }


def test_samplers_and_schedules(get):
    assert get("samplers")[0] == {"name": "DPM++ 2M", "aliases": ["k_dpm++ 2m"], "options": {"order": "2"}}
    assert get("schedulers")[2]["name"] == "sgm_uniform"
    assert get("schedulers")[2]["label"] == "SGM Uniform"


def test_upscalers_are_two_lists(get):
    assert [row["name"] for row in get("upscalers")] == ["None", "Lanczos", "net-x2"]
    assert [row["scale"] for row in get("upscalers")] == [4.0, 4.0, 2.0]
    assert get("upscalers")[2]["model_name"] == "net-x2.safetensors"
    assert get("latent-upscale-modes") == [{"name": "Latent"}, {"name": "Latent (nearest)"}]


def test_vaes_and_text_encoders_are_named_without_their_folder(get):
    soft, keen = ({"model_name": name, "name": name, "filename": f"{name}.safetensors"} for name in ("soft", "keen"))
    assert get("sd-vae") == [soft]
    assert get("sd-modules") == [soft, keen]


def test_memory(get):
    assert get("memory")["ram"]["total"] == 3


@pytest.mark.parametrize(
    "path",
    ["hypernetworks", "realesrgan-models", "extensions"],
)
def test_what_is_not_here_is_an_empty_list(get, path):
    assert get(path) == []


def test_what_is_not_here_in_other_shapes(get):
    always = ["adetailer", "controlnet", "tiled diffusion", "tiled vae", "controlnet m2m"]
    assert get("scripts") == {"txt2img": [*always, "x/y/z plot"], "img2img": [*always, "sd upscale", "x/y/z plot"]}
    assert get("embeddings") == {"loaded": {}, "skipped": {}}


def test_work_that_is_not_here_is_refused_with_a_reason(client):
    answer = client.post("/sdapi/v1/interrogate", json={"image": ""})
    assert answer.status_code == 422
    assert answer.json()["error"] == "unsupported_feature"
    assert "not available in this version" in answer.json()["detail"]


def test_what_the_old_page_asks_of_the_server_itself(client, rig):
    hints = {row["name"]: row["label"] for row in client.get("/internal/quicksettings-hint").json()}
    assert hints["jpeg_quality"] == "Quality of JPEG, WebP and AVIF"
    assert "hub_token" not in hints
    told = client.get("/internal/profile-startup").json()
    assert told["total"] >= 0
    rig.status.set("failed", "Broken")
    again = client.get("/internal/profile-startup").json()
    assert set(again["records"]) == {"ready"}
    assert again["total"] >= told["total"]


def test_the_report_for_a_question_is_for_admins_and_holds_no_secrets(people, tmp_path):
    _, clients = people
    assert clients["ann"].get("/internal/sysinfo").status_code == 403
    answer = clients["ada"].get("/internal/sysinfo-download")
    assert answer.headers["content-disposition"] == 'attachment; filename="sysinfo.json"'
    report = answer.json()
    assert report == clients["ada"].get("/internal/sysinfo").json()
    assert (report["versions"], report["state"], report["flags"]["port"]) == ({"atelier": "0.1.0"}, "ready", 7860)
    assert report["settings"]["jpeg_quality"] == 90
    for hidden in (SECRET, str(tmp_path)):
        assert hidden not in answer.text


@pytest.mark.parametrize("name", ["checkpoints", "vae", "vaes", "loras", "embeddings"])
def test_folders_are_looked_at_again(client, rig, name):
    answer = client.post(f"/sdapi/v1/refresh-{name}")
    assert (answer.status_code, answer.json(), rig.catalog.refreshed) == (200, None, 1)


def test_neither_secrets_nor_folders_are_handed_out(make_rig, tmp_path):
    rig = make_rig(network={"api_auth": (("ann", "s3cr3t-word"),)})
    client = rig.client()
    client.auth = ("ann", "s3cr3t-word")
    for path in ("options", "cmd-flags", "sd-models", "sd-vae", "memory"):
        answer = client.get(f"/sdapi/v1/{path}")
        assert answer.status_code == 200
        for hidden in (SECRET, "s3cr3t-word", str(tmp_path), "/secret/place"):
            assert hidden not in answer.text
    client.post("/sdapi/v1/options", json={"hub_token": "stolen"})
    assert rig.settings["hub_token"] == SECRET


def test_flags_are_named_as_a1111_names_them(get):
    flags = get("cmd-flags")
    assert (flags["api"], flags["lowvram"], flags["port"], flags["listen"]) == (True, False, 7860, False)


def test_the_way_of_attention_may_be_named_as_a1111_names_it(rig, client):
    def set_to(name):
        return client.post("/sdapi/v1/options", json={"cross_attention_optimization": name})

    assert set_to("sdp - scaled dot product").status_code == 200
    assert rig.settings["cross_attention_optimization"] == "sdp"
    rig.hardware["attention"] = ["Automatic", "sdp", "sliced"]
    assert set_to("Doggettx").status_code == 200
    assert client.get("/sdapi/v1/options").json()["cross_attention_optimization"] == "sliced"
    refused = set_to("xformers")
    assert refused.status_code == 422
    assert "available are Automatic, sdp, sliced" in refused.text
    assert set_to("magic").status_code == 422
    assert rig.settings["cross_attention_optimization"] == "sliced"
    assert set_to("automatic").status_code == 200
    assert rig.settings["cross_attention_optimization"] == "Automatic"


def test_models_are_let_go_and_loaded_again_on_request(rig, client):
    for word in ("unload", "reload"):
        answer = client.post(f"/sdapi/v1/{word}-checkpoint")
        assert (answer.status_code, answer.json()) == (200, {})
    assert rig.loads == ["unload", "reload"]


@pytest.mark.parametrize("path", ["create/embedding", "create/hypernetwork", "train/embedding", "train/hypernetwork"])
def test_what_cannot_be_made_is_said_in_the_old_shape(client, path):
    answer = client.post(f"/sdapi/v1/{path}", json={"name": "x"})
    assert answer.status_code == 200
    assert "nothing was done" in answer.json()["info"]


def test_options_of_one_person_are_not_those_of_another_unless_an_admin_sets_them(people):
    rig, clients = people

    def options(name):
        return clients[name].get("/sdapi/v1/options").json()

    mine = {**options("ann"), "sd_model_checkpoint": "people/photo", "samples_format": "webp", "no_such": 1}
    assert clients["ann"].post("/sdapi/v1/options", json=mine).status_code == 200
    assert options("ann")["sd_model_checkpoint"] == "people/photo [0123456789]"
    for other in ("bob", "ada"):
        assert options(other)["sd_model_checkpoint"] == "pocket"
        assert options(other)["samples_format"] == "png"
    drawn = {name: clients[name].post("/sdapi/v1/txt2img", json={"steps": 1}) for name in ("ann", "bob")}
    assert [answer.status_code for answer in drawn.values()] == [200, 200]
    asked = [(seen.model.checkpoint, seen.output.format) for seen in rig.engine.seen]
    assert asked == [("people/photo", "webp"), ("pocket", "png")]
    refused = clients["ann"].post("/sdapi/v1/options", json={"max_megapixels": 64, "samples_format": "jpeg"})
    assert refused.status_code == 403
    assert options("ann")["samples_format"] == "webp"
    assert clients["ann"].post("/sdapi/v1/options", json={"samples_format": "bmp"}).status_code == 422
    assert clients["ada"].post("/sdapi/v1/options", json={"max_megapixels": 2}).status_code == 200
    assert options("bob")["max_megapixels"] == 2
    assert clients["bob"].post("/sdapi/v1/unload-checkpoint").status_code == 403
    assert clients["ada"].post("/sdapi/v1/unload-checkpoint").status_code == 200
