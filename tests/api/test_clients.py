"""What real clients of the old API send and rely on; each test names the habit."""

from __future__ import annotations

import json

import pytest

from tests.api.fakes import b64, picture


@pytest.mark.parametrize("path", ["txt2img/", "options/"])
def test_a_slash_at_the_end_keeps_the_body(client, path):
    answer = client.post(f"/sdapi/v1/{path}", json={"steps": 1, "CLIP_stop_at_last_layers": 2}, follow_redirects=False)
    assert answer.status_code == 200
    assert client.get("/sdapi/v1/samplers/", follow_redirects=False).status_code == 200


def test_an_authorization_header_without_need_is_ignored(client):
    for header in ("", "Basic bm9ib2R5Om5vdGhpbmc=", "Bearer x", "Basic %%%"):
        assert client.get("/sdapi/v1/options", headers={"authorization": header}).status_code == 200


def test_unknown_fields_are_ignored(call, rig):
    call(steps=1, seed=5, subseed=6)
    plain = rig.asked
    call(steps=1, seed=5, subseed=6, url="http://127.0.0.1", auth="a:b", hires_fix=True, nested={"a": [1]})
    assert rig.asked == plain


def test_null_is_the_default(call, rig):
    fields = call(steps=1)["parameters"]
    call(**dict.fromkeys(fields))
    asked = rig.asked
    assert (asked.sampling.steps, asked.sampling.cfg_scale, asked.sampling.sampler) == (50, 7.0, "Euler")
    given = {
        **dict.fromkeys(call("img2img", init_images=[b64(picture())])["parameters"]),
        "init_images": [b64(picture())],
    }
    call("img2img", **given)
    assert rig.asked.image.denoising_strength == 0.75


def test_whole_numbers_come_as_floats_and_flags_as_numbers(call, rig):
    call(steps=3.0, width=64.0, height="72", seed=5.0, batch_size=1.0, tiling=1, save_images="false")
    assert (rig.asked.sampling.steps, rig.asked.canvas.width, rig.asked.canvas.height) == (3, 64, 72)
    assert rig.asked.canvas.tiling is True


@pytest.mark.parametrize(
    ("body", "sampler", "scheduler"),
    [
        ({"sampler_name": "DPM++ 2M Karras"}, "DPM++ 2M", "Karras"),
        ({"sampler_name": "DPM++ 2M Karras", "scheduler": "Automatic"}, "DPM++ 2M", "Karras"),
        ({"sampler_index": "DPM++ 2M SGM Uniform"}, "DPM++ 2M", "SGM Uniform"),
        ({"sampler_index": "Euler a"}, "Euler a", None),
        ({"sampler_index": "DDIM", "sampler_name": "Euler a"}, "Euler a", None),
        ({"sampler_index": "DDIM", "sampler_name": ""}, "DDIM", None),
        ({"sampler_name": "k_euler a", "scheduler": "automatic"}, "Euler a", "Automatic"),
        ({"sampler_name": "euler a karras"}, "Euler a", "Karras"),
        ({"sampler_name": "Euler", "scheduler": "sgm_uniform"}, "Euler", "SGM Uniform"),
    ],
)
def test_names_of_samplers_in_all_their_shapes(call, rig, body, sampler, scheduler):
    call(steps=1, **body)
    assert (rig.asked.sampling.sampler, rig.asked.sampling.scheduler) == (sampler, scheduler)


def test_an_unknown_sampler_is_a_404_that_begins_as_clients_expect(client):
    for body in ({"sampler_name": "Sorcery"}, {"sampler_index": "Sorcery Karras"}):
        answer = client.post("/sdapi/v1/txt2img", json=body)
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith("Sampler not found")
        assert "Euler a, Euler, DDIM" in answer.json()["detail"]


def test_a_route_that_is_not_there_is_a_404_of_the_usual_shape(client):
    answer = client.get("/sdapi/v1/artists")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_titles_name_models_with_and_without_hash_and_with_either_slash(call, rig, client):
    titles = [row["title"] for row in client.get("/sdapi/v1/sd-models").json()]
    assert titles == ["pocket", "people/photo [0123456789]"]
    for name in (titles[1], "people/photo", "people\\photo [0123456789]", "0123456789"):
        call(steps=1, override_settings={"sd_model_checkpoint": name})
        assert rig.asked.model.checkpoint == "people/photo"


def test_options_may_be_sent_back_whole(call, client, rig):
    before = dict(rig.settings.public())
    options = client.get("/sdapi/v1/options").json()
    assert options["sd_model_checkpoint"] == "pocket"
    assert call("options", **options, no_such_option=None, sd_hypernetwork="None") is None
    assert dict(rig.settings.public()) == before
    call("options", **{**options, "sd_model_checkpoint": "people/photo [0123456789]"})
    options = client.get("/sdapi/v1/options").json()
    assert options["sd_model_checkpoint"] == "people/photo [0123456789]"
    assert options["sd_checkpoint_hash"] == "ab" * 32
    call("options", sd_model_checkpoint=None, samples_format=None, CLIP_stop_at_last_layers=2.0)
    assert rig.settings["sd_model_checkpoint"] == "people/photo"
    assert rig.settings["CLIP_stop_at_last_layers"] == 2


def test_an_option_that_cannot_be_is_refused_and_changes_nothing(client, rig):
    answer = client.post("/sdapi/v1/options", json={"jpeg_quality": 10, "sd_model_checkpoint": "nowhere"})
    assert answer.status_code == 404
    assert "nowhere" in answer.json()["detail"]
    answer = client.post("/sdapi/v1/options", json={"save_txt": True, "jpeg_quality": 1000})
    assert answer.status_code == 422
    assert client.post("/sdapi/v1/options", json={"sd_vae": "nowhere"}).status_code == 404
    assert (rig.settings["jpeg_quality"], rig.settings["save_txt"]) == (90, False)


@pytest.mark.parametrize(("key", "high"), [("max_megapixels", 64), ("batch_window_ms", 1000), ("max_batch", 256)])
def test_no_client_can_lift_a_limit_beyond_what_the_process_bears(client, rig, key, high):
    before = rig.settings[key]
    answer = client.post("/sdapi/v1/options", json={key: 10**9})
    assert answer.status_code == 422
    assert f"{key} is 1000000000" in answer.json()["detail"]
    assert rig.settings[key] == before
    assert client.post("/sdapi/v1/options", json={key: high}).status_code == 200


def test_scripts_that_are_asked_for_nothing_are_let_be(call, rig):
    call(
        steps=1,
        script_name=None,
        script_args=[],
        alwayson_scripts={
            "ControlNet": {"args": []},
            "ADetailer": {"args": [False, {"ad_model": "face"}]},
            "Other": {},
            "Unit": {"args": [{"enabled": False, "image": "x"}, None]},
        },
    )
    call(steps=1, script_name="None", alwayson_scripts=None)
    assert [request.sampling.steps for request in rig.engine.seen] == [1, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"script_name": "Wildest dreams"},
        {"alwayson_scripts": {"Regional Prompter": {"args": [True]}}},
    ],
)
def test_scripts_that_are_not_here_are_named(client, body):
    answer = client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 422
    name = body.get("script_name") or next(iter(body["alwayson_scripts"]))
    assert answer.json()["detail"].startswith(f"Script '{name}' not found")


def test_an_empty_style_list_in_words(call, rig):
    call(steps=1, styles=["None"])
    assert rig.asked.prompt.styles == ()


def test_bodies_of_known_clients(call):
    # LibreChat
    body = call(prompt="p", negative_prompt="n", cfg_scale=4.5, steps=2, width=64, height=64)
    assert "," not in body["images"][0]
    info = json.loads(body["info"])
    assert info["infotexts"][0]
    assert info["seed"] >= 0
    # SillyTavern
    call(
        prompt="p", sampler_name="Euler a", scheduler="Karras", steps=2, restore_faces=True, enable_hr=False,
        hr_upscaler="Latent", hr_scale=1, denoising_strength=0.7, hr_second_pass_steps=0, clip_skip=1,
        override_settings={"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic"}, save_images=True, send_images=True,
        do_not_save_grid=False, do_not_save_samples=False, override_settings_restore_afterwards=True,
    )  # fmt: skip
    # aiyabot, stable-diffusion-webui-distributed
    call(
        sampler_index="Euler a",
        styles=["None"],
        denoising_strength=None,
        hr_second_pass_steps=2.5,
        steps=2,
        s_tmax=1e308,
    )


def test_png_info_of_a_picture_without_any(call):
    assert call("png-info", image=b64(picture())) == {"info": "", "items": {}, "parameters": {}}


def test_png_info_takes_the_text_apart(call):
    image = call(prompt="a, cat", seed=3, steps=2)["images"][0]
    read = call("png-info", image="data:image/png;base64," + image)
    assert read["parameters"]["Seed"] == "3"
    assert read["parameters"]["Prompt"] == "a, cat"
