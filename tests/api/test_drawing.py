"""txt2img and img2img: what reaches the engine, and what comes back."""

from __future__ import annotations

import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from modules.api.examples import FILM, OLD_FILM
from modules.contracts.attention import AttentionParams
from modules.contracts.cache import CacheParams
from modules.contracts.faces import FaceParams
from modules.contracts.features import FeatureParams
from modules.contracts.film import FilmParams
from modules.contracts.guidance import GuidanceParams
from modules.contracts.handover import HandoverParams
from modules.contracts.refiner import RefinerParams
from modules.contracts.style import SHARED, STATISTICS, StyleParams
from modules.contracts.tone import ReachParams, ToneParams
from modules.outputs.mp4 import frames_of
from tests.api.fakes import b64, opened, picture


def opened_bytes(data):
    return Image.open(io.BytesIO(data))


INFO_KEYS = """
prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds subseed_strength width
height sampler_name cfg_scale steps batch_size restore_faces face_restoration_model sd_model_name sd_model_hash
sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength extra_generation_params
index_of_first_image infotexts styles job_timestamp clip_skip is_using_inpainting_conditioning version
"""


def test_the_least_body_draws_with_the_old_defaults(call, rig):
    body = call()
    asked = rig.asked
    assert (asked.sampling.steps, asked.sampling.cfg_scale, asked.sampling.sampler) == (50, 7.0, "Euler")
    assert (asked.canvas.width, asked.canvas.height, asked.canvas.batch_count) == (None, None, 1)
    assert asked.output.save is False
    assert asked.model.checkpoint == "pocket"
    assert asked.hires.enabled is False
    assert opened(body["images"][0]).format == "PNG"
    assert body["parameters"]["seed"] == -1
    assert body["parameters"]["steps"] == 50
    assert body["parameters"]["sampler_index"] == "Euler"


def test_info_is_text_that_holds_every_key(call):
    body = call(prompt="a cat", seed=5, batch_size=2, n_iter=2, steps=2, width=64, height=128)
    assert isinstance(body["info"], str)
    info = json.loads(body["info"])
    assert info.keys() >= set(INFO_KEYS.split())
    assert info["all_seeds"] == [5, 6, 7, 8]
    assert (info["seed"], info["width"], info["height"], info["steps"]) == (5, 64, 128, 2)
    assert len(info["infotexts"]) == len(body["images"]) == 4
    assert info["job_timestamp"].isdecimal()
    assert len(info["job_timestamp"]) == 14
    assert info["version"] == "0.1.0"


def test_pictures_carry_their_infotext(call):
    body = call(prompt="a cat", seed=5, steps=2, batch_size=2)
    info = json.loads(body["info"])
    assert [opened(text).info["parameters"] for text in body["images"]] == info["infotexts"]


@pytest.mark.parametrize(("form", "format"), [("jpeg", "JPEG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_the_format_follows_the_override_and_keeps_the_infotext(call, client, form, format):
    body = call(prompt="a cat", seed=5, steps=2, override_settings={"samples_format": form, "jpeg_quality": 50})
    assert opened(body["images"][0]).format == format
    read = call("png-info", image=body["images"][0])
    assert read["info"] == json.loads(body["info"])["infotexts"][0]


def test_the_format_follows_the_setting(call, rig):
    rig.settings.update({"samples_format": "webp"})
    assert opened(call(steps=1)["images"][0]).format == "WEBP"


def test_info_names_the_vae_that_was_used_and_not_the_one_asked_for(call, rig):
    rig.engine.resolved, rig.engine.recipe = {"vae": "soft"}, {"vae": {"name": "soft", "sha256": "feedc0ffee" * 6}}
    info = json.loads(call(steps=1)["info"])
    assert (info["sd_vae_name"], info["sd_vae_hash"]) == ("soft", "feedc0ffee")
    rig.engine.resolved, rig.engine.recipe = {"vae": None}, {"vae": None}
    info = json.loads(call(steps=1, override_settings={"sd_vae": "Automatic"})["info"])
    assert (info["sd_vae_name"], info["sd_vae_hash"]) == (None, None)


def test_pictures_need_not_be_sent(call):
    body = call(steps=1, send_images=False)
    assert body["images"] == []
    assert len(json.loads(body["info"])["infotexts"]) == 1


def test_pictures_are_kept_when_asked(call, rig):
    call(steps=1, save_images=True, batch_size=2)
    assert len(rig.pictures.rows) == 2
    call(steps=1, batch_size=2)
    assert len(rig.pictures.rows) == 2


def test_a_grid_comes_first_only_when_pictures_are_kept(call, rig):
    body = call(steps=1, save_images=True, batch_size=3, width=64, height=64)
    info = json.loads(body["info"])
    assert opened(body["images"][0]).size == (128, 128)
    assert (len(body["images"]), info["index_of_first_image"], len(info["infotexts"])) == (4, 1, 4)
    assert len(rig.pictures.rows) == 3
    assert len(call(steps=1, save_images=True)["images"]) == 1
    off = call(steps=1, save_images=True, batch_size=3, override_settings={"return_grid": False})
    assert (len(off["images"]), json.loads(off["info"])["index_of_first_image"]) == (3, 0)


def test_every_declared_field_reaches_the_request(call, rig):
    call(
        prompt="p", negative_prompt="n", styles=["one", "None"], seed=1, subseed=2, subseed_strength=0.5,
        seed_resize_from_w=64, seed_resize_from_h=128, sampler_name="DDIM", scheduler="karras", batch_size=2, n_iter=3,
        steps=4, cfg_scale=5.5, width=72, height=80, tiling=True, eta=0.5, s_churn=1, s_tmin=0.1, s_tmax=9, s_noise=1.1,
        cfg_rescale=0.3, clip_skip=2, save_images=True,
    )  # fmt: skip
    asked = rig.asked
    assert (asked.prompt.text, asked.prompt.negative, asked.prompt.styles, asked.prompt.clip_skip) == (
        "p", "n", ("one",), 2,
    )  # fmt: skip
    assert (asked.seeds.seed, asked.seeds.subseed, asked.seeds.subseed_strength) == (1, 2, 0.5)
    assert (asked.seeds.resize_from_width, asked.seeds.resize_from_height) == (64, 128)
    sampling = asked.sampling
    assert (sampling.sampler, sampling.scheduler, sampling.steps, sampling.cfg_scale) == ("DDIM", "Karras", 4, 5.5)
    assert (sampling.eta, sampling.s_churn, sampling.s_tmin, sampling.s_tmax, sampling.s_noise) == (0.5, 1, 0.1, 9, 1.1)
    assert sampling.cfg_rescale == 0.3
    canvas = asked.canvas
    assert (canvas.width, canvas.height, canvas.batch_size, canvas.batch_count, canvas.tiling) == (72, 80, 2, 3, True)


def test_guidance_has_fields_of_its_own(call, rig, client):
    call(
        steps=1, cfg_start=0.1, cfg_end=0.8, cfg_schedule="cosine down", mimic_scale=4, threshold_percentile=98.5,
        apg=True, apg_parallel=0.2, apg_threshold=7.5, apg_momentum=-0.75, cfg_zero_star=True,
        cfg_zero_steps=2, perp_neg=1.5,
    )  # fmt: skip
    asked = rig.asked.guidance
    assert asked == GuidanceParams(0.1, 0.8, "cosine down", 4.0, 98.5, True, 0.2, 7.5, -0.75, True, 2, 1.5)
    call(steps=1)
    assert rig.asked.guidance == GuidanceParams()
    for name, value, label in (
        ("cfg_end", 1.5, "CFG end"),
        ("cfg_schedule", "sideways", "CFG schedule"),
        ("threshold_percentile", 10, "Threshold percentile"),
        ("perp_neg", -1, "Perpendicular negative"),
        ("apg_momentum", "much", "apg_momentum"),
    ):
        answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, name: value})
        assert (answer.status_code, label in str(answer.json())) == (422, True), answer.text


def test_a_second_sampler_has_fields_of_its_own(call, rig, client):
    call(steps=3, second_sampler_name="DPM++ 2M", second_scheduler="Karras", second_steps=2.0, second_at=0.25)
    assert rig.asked.handover == HandoverParams("DPM++ 2M", "Karras", 2, 0.25)
    assert rig.asked.steps == 5
    call(steps=3, second_sampler_name=None)
    assert rig.asked.handover == HandoverParams()
    for name, value in (("second_steps", -1), ("second_at", 2), ("second_sampler_name", "nobody's")):
        answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, name: value})
        assert answer.status_code in (404, 422), answer.text


def test_a_refiner_has_a1111s_fields(call, rig, client):
    call(steps=1, refiner_checkpoint="people/photo [0123456789]", refiner_switch_at=0.7)
    assert rig.asked.refiner == RefinerParams("people/photo", 0.7)
    options = {"hires_fix_refiner_pass": "both passes", "refiner_switch_by_sample_steps": True}
    call(steps=1, refiner_checkpoint="people/photo", refiner_switch_at=None, override_settings=options)
    assert rig.asked.refiner == RefinerParams("people/photo", 0.8, True, "both passes")
    for nothing in (None, "", "None"):
        call(steps=1, refiner_checkpoint=nothing, refiner_switch_at=0.5)
        assert rig.asked.refiner == RefinerParams(None, 0.5)
    wanted = {"prompt": {"text": "x"}, "refiner": {"checkpoint": "0123456789", "switch_at": 0.6}}
    job = client.post("/api/v1/jobs", json=wanted).json()
    rig.queue.handle(job["id"]).wait(20)
    assert rig.asked.refiner == RefinerParams("people/photo", 0.6)
    wanted["refiner"]["checkpoint"] = "nobody's"
    assert client.post("/api/v1/jobs", json=wanted).status_code == 404


def test_brightness_and_colour_have_sd_nexts_fields(call, rig, client):
    call(
        steps=1, hdr_mode=1, hdr_brightness=0.2, hdr_color=0.5, hdr_sharpen=-0.3, hdr_color_picker="#ff8000",
        hdr_tint_ratio=0.4, hdr_start=0.3, hdr_end=0.9, hdr_apply_hires=False, hdr_clamp=True, hdr_boundary=3,
        hdr_threshold=0.8, hdr_maximize=True, hdr_max_center=0.5, hdr_max_boundary=1.2,
    )  # fmt: skip
    assert rig.asked.tone == ToneParams("absolute", 0.2, 0.5, -0.3, "#ff8000", 0.4, 0.3, 0.9, False)
    assert rig.asked.reach == ReachParams(True, 3.0, 0.8, True, 0.5, 1.2)
    call(steps=1)
    assert (rig.asked.tone, rig.asked.reach) == (ToneParams(), ReachParams())
    wrong = {"hdr_color_picker": "orange", "hdr_brightness": 2, "hdr_mode": 2, "hdr_threshold": 1, "hdr_clamp": "much"}
    for name, value in wrong.items():
        answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, name: value})
        assert answer.status_code == 422, answer.text


def test_what_goes_on_inside_the_denoiser_has_fields_of_its_own(call, rig, client):
    call(
        steps=1, pag_scale=3, pag_adaptive=0.01, pag_layers="mid, up.0", seg_scale=2.5, seg_blur=4, seg_layers="down",
        slg_scale=2.8, slg_layers="7", slg_start=0.1, slg_end=0.3, freeu_b1=1.3, freeu_b2=1.4, freeu_s1=0.9,
        freeu_s2=0.2, freeu_start=0.1, freeu_end=0.8, hypertile_depth=1, deep_shrink=1.5, deep_shrink_level=2,
        deep_shrink_end=0.6,
    )  # fmt: skip
    assert rig.asked.attention == AttentionParams(3.0, 0.01, "mid, up.0", 2.5, 4.0, "down", 2.8, "7", 0.1, 0.3)
    assert rig.asked.features == FeatureParams(1.3, 1.4, 0.9, 0.2, 0.1, 0.8, 0.0, 0, 1, 1.5, 2, 0.6)
    for name, value in (
        ("pag_scale", -1),
        ("seg_blur", 0),
        ("slg_end", 2),
        ("freeu_b1", 9),
        ("freeu_s1", "much"),
        ("deep_shrink", 0),
    ):
        assert client.post("/sdapi/v1/txt2img", json={"steps": 1, name: value}).status_code == 422


def test_faces_are_restored_where_that_is_asked_for(call, rig, client):
    call(steps=1)
    assert rig.asked.faces == FaceParams(weight=0.5)
    call(steps=1, restore_faces=True, override_settings={"face_restoration_model": "green", "code_former_weight": 0.25})
    assert rig.asked.faces == FaceParams(True, "green", 1.0, 0.25)
    call(steps=1, restore_faces=True, face_restoration_visibility=0.5, code_former_weight=1)
    assert rig.asked.faces == FaceParams(True, "", 0.5, 1.0)
    for name, value in (("face_restoration_visibility", 2), ("code_former_weight", -1), ("restore_faces", "perhaps")):
        assert client.post("/sdapi/v1/txt2img", json={"steps": 1, name: value}).status_code == 422


def test_the_second_pass(call, rig):
    call(
        steps=3, width=64, height=64, enable_hr=True, hr_scale=1.5, hr_upscaler="Latent (nearest)",
        hr_second_pass_steps=5.0, hr_resize_x=96, hr_resize_y=104, denoising_strength=0.4, hr_prompt="hp",
        hr_negative_prompt="hn", hr_sampler_name="Euler a", hr_scheduler="Use same scheduler",
        hr_checkpoint_name="Use same checkpoint",
    )  # fmt: skip
    hires = rig.asked.hires
    assert (hires.enabled, hires.scale, hires.upscaler, hires.steps) == (True, 1.5, "Latent (nearest)", 5)
    assert (hires.resize_width, hires.resize_height, hires.denoising_strength) == (96, 104, 0.4)
    assert (hires.prompt, hires.negative) == ("hp", "hn")
    assert (hires.sampler, hires.scheduler, hires.checkpoint) == ("Euler a", None, None)
    call(steps=3, enable_hr=True, denoising_strength=None, hr_upscaler="None")
    assert (rig.asked.hires.denoising_strength, rig.asked.hires.upscaler) == (0.7, "Lanczos")
    call(steps=3, enable_hr=True, width=128, height=128, firstphase_width=64, firstphase_height=64)
    assert (rig.asked.canvas.width, rig.asked.hires.resize_width) == (64, 128)


def test_fields_of_a_second_pass_that_is_off_are_nobody_s_business(call, rig):
    call(steps=1, hr_scale=0, hr_upscaler="Something else", hr_sampler_name="?", denoising_strength=0.7)
    assert rig.asked.hires.enabled is False


def test_image_to_image(call, rig):
    source = picture()
    body = call("img2img", prompt="p", init_images=[b64(source)], denoising_strength=0.6, resize_mode=1, steps=2)
    assert rig.asked.mode == "img2img"
    (kept,) = rig.asked.image.images
    assert opened(b64(kept)).tobytes() == opened(b64(source)).tobytes()
    assert (rig.asked.image.denoising_strength, rig.asked.image.resize_mode) == (0.6, "crop")
    assert body["parameters"]["init_images"] is None
    assert json.loads(body["info"])["denoising_strength"] == 0.6
    again = call("img2img", init_images=["data:image/png;base64," + b64(source)], include_init_images=True, steps=1)
    assert again["parameters"]["init_images"] == ["data:image/png;base64," + b64(source)]
    assert rig.asked.image.denoising_strength == 0.75


@pytest.mark.parametrize("name", ["style_image", "detailer_mask"])
def test_further_pictures_of_a_body_come_back_only_when_asked_for(call, name):
    given = {name: b64(picture()), "steps": 1}
    assert call("txt2img", **given)["parameters"][name] is None
    given |= {"init_images": [b64(picture())], "include_init_images": True}
    assert call("img2img", **given)["parameters"][name] == given[name]


def test_inpainting(call, rig):
    call(
        "img2img",
        init_images=[b64(picture())],
        mask="data:image/png;name=m.png;base64," + b64(picture(mode="L", color=255)),
        mask_blur=8,
        inpainting_fill=2,
        inpaint_full_res=0,
        inpaint_full_res_padding=16,
        inpainting_mask_invert=1,
        steps=2,
    )
    inpaint = rig.asked.inpaint
    assert rig.asked.mode == "inpaint"
    assert (inpaint.blur, inpaint.fill, inpaint.only_masked) == (8, "latent noise", False)
    assert (inpaint.padding, inpaint.invert) == (16, True)
    call("img2img", init_images=[b64(picture())], mask=b64(picture(mode="L", color=255)), mask_blur_x=2, mask_blur_y=6)
    inpaint = rig.asked.inpaint
    assert (inpaint.blur, inpaint.blur_y, inpaint.fill) == (2, 6, "fill")
    assert (inpaint.only_masked, inpaint.padding) == (True, 0)


def test_a_transparent_mask_masks_with_its_alpha(call, rig):
    mask = picture(mode="RGBA", color=(0, 0, 0, 200))
    call("img2img", init_images=[b64(picture())], mask=b64(mask), steps=1)
    read = opened(b64(rig.asked.inpaint.mask))
    assert (read.mode, read.getpixel((0, 0))) == ("L", 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(call, rig, orientation):
    tag = Image.Exif()
    tag[0x0112] = orientation
    photograph = Image.linear_gradient("L").resize((32, 48)).rotate(10)
    buffer = io.BytesIO()
    photograph.save(buffer, "PNG", exif=tag)
    call("img2img", init_images=[b64(buffer.getvalue())], steps=1)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue())))
    assert (np.asarray(opened(b64(rig.asked.image.images[0]))) == np.asarray(upright)).all()
    assert not opened(b64(rig.asked.image.images[0])).getexif()


def test_grey_of_sixteen_bits_is_not_white(call, rig):
    grey = np.linspace(0, 65_535, 64 * 64).reshape(64, 64).astype(np.uint16)
    packed = io.BytesIO()
    Image.fromarray(grey).save(packed, "PNG")
    call("img2img", init_images=[b64(packed.getvalue())], mask=b64(packed.getvalue()), steps=1)
    for kept in (rig.asked.image.images[0], rig.asked.inpaint.mask):
        assert abs(np.asarray(opened(b64(kept)).convert("L")) - grey / 257).max() <= 1


def test_parameters_as_text_fill_what_the_body_leaves_out(call, rig):
    text = (
        "a dog\nNegative prompt: blurry\nSteps: 9, Sampler: DDIM, Schedule type: Karras, CFG scale: 3, Seed: 77, "
        "Size: 64x72, Model: nowhere"
    )
    call(infotext=text, steps=2)
    asked = rig.asked
    assert (asked.prompt.text, asked.prompt.negative, asked.seeds.seed) == ("a dog", "blurry", 77)
    assert (asked.sampling.steps, asked.sampling.sampler, asked.sampling.scheduler) == (2, "DDIM", "Karras")
    assert (asked.canvas.width, asked.canvas.height, asked.sampling.cfg_scale) == (64, 72, 3)
    assert asked.model.checkpoint == "pocket"


def test_parameters_as_text_name_vae_and_text_encoder_and_what_the_body_says_wins(call, rig, client):
    text = "a dog\nSteps: 1, Seed: 7, Clip skip: 2, VAE: soft.safetensors, Text encoder: keen"
    call(infotext=text)
    assert (rig.asked.model.vae, rig.asked.model.text_encoder, rig.asked.prompt.clip_skip) == ("soft", "keen", 2)
    call(infotext=text, sd_vae="Automatic", sd_text_encoder="None", clip_skip=1)
    assert (rig.asked.model.vae, rig.asked.model.text_encoder, rig.asked.prompt.clip_skip) == ("Automatic", None, 1)
    own = {"sd_vae": "Automatic", "sd_text_encoder": "None", "CLIP_stop_at_last_layers": 3}
    call(infotext=text, override_settings=own)
    assert (rig.asked.model.vae, rig.asked.model.text_encoder, rig.asked.prompt.clip_skip) == ("Automatic", None, 3)
    answer = client.post("/sdapi/v1/txt2img", json={"infotext": text.replace("keen", "dull")})
    assert (answer.status_code, "Text encoder 'dull' is not known" in answer.text) == (404, True)


def test_overrides_hold_for_their_request_alone(call, rig):
    body = call(
        steps=1,
        override_settings={
            "sd_model_checkpoint": "people/photo [0123456789]",
            "sd_vae": "soft.safetensors",
            "sd_text_encoder": "keen.safetensors",
            "CLIP_stop_at_last_layers": 2.0,
            "tiling": True,
            "no_such_option": 1,
        },
        override_settings_restore_afterwards=False,
    )
    asked = rig.asked
    assert (asked.model.checkpoint, asked.model.vae, asked.model.text_encoder) == ("people/photo", "soft", "keen")
    assert (asked.prompt.clip_skip, asked.canvas.tiling) == (2, True)
    assert any("no_such_option" in note for note in json.loads(body["info"])["notes"])
    assert dict(rig.settings.public())["sd_model_checkpoint"] == ""
    call(steps=1)
    assert (rig.asked.model.checkpoint, rig.asked.model.vae, rig.asked.prompt.clip_skip) == ("pocket", "Automatic", 1)
    assert rig.asked.model.text_encoder is None


def test_an_unknown_text_encoder_is_named_with_those_that_are_known(client):
    answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, "sd_text_encoder": "dull"})
    assert (answer.status_code, "Known are: Automatic, keen." in answer.text) == (404, True)


def test_settings_are_the_defaults_of_requests(call, rig):
    rig.settings.update({"sd_model_checkpoint": "people/photo", "sd_vae": "soft", "CLIP_stop_at_last_layers": 3})
    call(steps=1)
    assert (rig.asked.model.checkpoint, rig.asked.model.vae, rig.asked.prompt.clip_skip) == ("people/photo", "soft", 3)
    call(steps=1, clip_skip=1, override_settings={"sd_vae": "Automatic"})
    # None would leave the choice to the settings again.
    assert (rig.asked.model.vae, rig.asked.prompt.clip_skip) == ("Automatic", 1)


def test_the_model_that_the_start_named_is_the_default(call, rig, client):
    rig.settings.update({"sd_model_checkpoint": "pocket"})
    rig.catalog.default = lambda: "people/photo"
    call(steps=1)
    assert rig.asked.model.checkpoint == "people/photo"
    assert client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "people/photo [0123456789]"


def test_a_client_may_choose_the_id(call, rig, client):
    call(steps=1, force_task_id="task(abc)")
    assert rig.queue.get("task(abc)").state == "done"
    again = client.post("/sdapi/v1/txt2img", json={"steps": 1, "force_task_id": "task(abc)"})
    assert again.status_code == 422


def test_notes_are_told_in_a_header(client):
    answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, "override_settings": {"a\nb: ü": 1}})
    assert "a\\nb: \\xfc changed nothing. A note." in answer.headers["x-atelier-notes"]


def test_a_style_comes_with_its_picture_and_two_strengths(call, rig, client):
    look = b64(picture())
    call(steps=1, style_image=look, style_method=2, style_strength=0.7, style_content=0.2)
    assert opened_bytes(rig.asked.style.image).size == (64, 64)
    assert dataclasses.replace(rig.asked.style, image=b"") == StyleParams(SHARED, 0.7, 0.2)
    call(steps=1, style_strength=0.7)
    assert not rig.asked.style.acts
    start = {"init_images": [b64(picture())], "steps": 1}
    answer = client.post("/sdapi/v1/img2img", json={**start, "style_image": look, "style_method": "statistics"})
    assert answer.status_code == 200, answer.text
    assert (rig.asked.style.method, rig.asked.mode) == (STATISTICS, "img2img")
    wrong = ({"style_image": "no picture"}, {"style_image": look, "style_strength": 2}, {"style_method": 9})
    for body in (*wrong, {"style_image": look, "style_method": "statistics"}):
        answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, **body})
        assert answer.status_code == 422, answer.text


def test_the_own_api_takes_a_style(rig, client):
    wanted = {"prompt": {"text": "x"}, "style": {"image": b64(picture()), "strength": 0.4, "method": SHARED}}
    job = client.post("/api/v1/jobs", json=wanted).json()
    rig.queue.handle(job["id"]).wait(20)
    assert (rig.asked.style.strength, rig.asked.style.method, rig.asked.style.acts) == (0.4, SHARED, True)
    larger = {"enlarge": {"images": [b64(picture())]}, "style": {"image": b64(picture())}}
    for body in (larger, {"style": {"image": "x"}}, {"style": {"method": "magic"}}):
        assert client.post("/api/v1/jobs", json=body).status_code == 422


def test_a_step_cache_has_fields_of_its_own(call, rig, client):
    call(steps=1, step_cache=2, step_cache_interval=4, step_cache_depth=2, step_cache_start=0.25)
    assert rig.asked.cache == CacheParams("DeepCache", 4, 2, start=0.25)
    call(steps=1)
    assert rig.asked.cache == CacheParams()
    for name, value in {"step_cache": 9, "step_cache_interval": 0, "step_cache_threshold": 1.5}.items():
        answer = client.post("/sdapi/v1/txt2img", json={"steps": 1, name: value})
        assert answer.status_code == 422, answer.text
    wanted = {"prompt": {"text": "x"}, "cache": {"method": "TaylorSeer", "order": 2}}
    job = client.post("/api/v1/jobs", json=wanted).json()
    rig.queue.handle(job["id"]).wait(20)
    assert rig.asked.cache == CacheParams("TaylorSeer", order=2)


@pytest.mark.parametrize(("form", "format"), [(None, "WEBP"), ("png", "PNG")])
def test_a_film_comes_back_as_a_file_that_moves(call, rig, form, format):
    wish = {} if form is None else {"film_format": form}
    answer = call(prompt="a cat", frames=5, fps=8, **wish)
    with Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))) as opened:
        assert (opened.format, opened.n_frames) == (format, 5)
        assert opened.getexif().get_ifd(0x8769) or opened.info["parameters"]
    assert (rig.asked.film.frames, rig.asked.film.fps) == (5, 8)


def test_a_film_comes_back_as_mp4_that_tells_how_it_was_drawn(call):
    answer = call(prompt="a cat", frames=5, fps=8, film_format="mp4")
    data = base64.b64decode(answer["images"][0])
    assert data[4:8] == b"ftyp"
    assert len(frames_of(data)) == 5
    read = call("png-info", image=answer["images"][0])
    assert read["info"] == json.loads(answer["info"])["infotexts"][0]
    assert read["parameters"]["Prompt"] == "a cat"


def test_the_example_of_a_film_is_one(client, rig):
    answer = client.post("/sdapi/v1/txt2img", json={**OLD_FILM, "send_images": False})
    assert answer.status_code == 200, answer.text
    old = rig.asked
    wanted = {**FILM, "canvas": {"width": 64, "height": 64}}  # as the gallery keeps it
    job = client.post("/api/v1/jobs", json=wanted).json()
    rig.queue.handle(job["id"]).wait(20)
    assert rig.asked.film == old.film == FilmParams(49, 16, "mp4")
    assert (rig.asked.prompt.text, rig.asked.seeds.seed) == (old.prompt.text, old.seeds.seed)


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"frames": 5000}, {"fps": 0}, {"film_format": "gif"}])
def test_a_film_that_cannot_be_is_said(client, wrong):
    answer = client.post("/sdapi/v1/txt2img", json={"prompt": "a cat", **wrong})
    assert answer.status_code == 422
