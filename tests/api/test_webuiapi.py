"""The client that most scripts use, as it comes from the package index, against a server on loopback.

Every method of it is called somewhere below; `test_no_method_is_forgotten` sees to that.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import threading
from pathlib import Path

import httpx
import pytest
import uvicorn
import webuiapi
from PIL import Image

LISTS = """sd_vae upscalers latent_upscale_modes loras hypernetworks face_restorers realesrgan_models prompt_styles
embeddings cmd_flags sd_models"""
WITHIN = {"check_extensions", "post_and_get_api_result", "async_post", "get_endpoint", "to_dict"}
"""What other methods call."""


@contextlib.contextmanager
def serving(app):
    """A server in a thread, on a port of its own choice."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def api(rig):
    with serving(rig.application()) as port:
        client = webuiapi.WebUIApi(host="127.0.0.1", port=port, sampler="Euler a", steps=3)
        yield client
        client.session.close()


def test_words_become_pictures(api, rig):
    result = api.txt2img(
        prompt="a cat", negative_prompt="a dog", seed=4, width=64, height=72, batch_size=2, cfg_scale=5
    )
    assert [image.size for image in result.images] == [(64, 72)] * 2
    assert result.info["all_seeds"] == [4, 5]
    assert result.parameters["prompt"] == "a cat"
    assert result.image.info["parameters"] == result.info["infotexts"][0]
    assert (rig.asked.sampling.sampler, rig.asked.sampling.scheduler) == ("Euler a", "Automatic")
    assert api.txt2img(enable_hr=True, hr_upscaler=webuiapi.HiResUpscaler.Latent).images
    assert rig.asked.hires.upscaler == "Latent"


def test_pictures_become_pictures(api, rig):
    source, mask = Image.new("RGB", (64, 64), "red"), Image.new("L", (64, 64), 255)
    assert len(api.img2img(images=[source], mask_image=mask, denoising_strength=0.4, inpainting_fill=1).images) == 1
    assert (rig.asked.mode, rig.asked.inpaint.fill) == ("inpaint", "original")
    assert rig.asked.image.denoising_strength == 0.4


def test_a_picture_tells_how_it_was_drawn(api):
    read = api.png_info(api.txt2img(prompt="a cat", seed=4).image)
    assert read.info.startswith("a cat")
    assert read.parameters["Seed"] == "4"


def test_finished_pictures_are_made_larger(api):
    source = Image.new("RGB", (20, 10), "red")
    twice = api.extra_single_image(source, upscaler_1="Lanczos", upscaling_resize=2)
    assert (twice.image.size, twice.image.getpixel((3, 3))) == ((40, 20), (255, 0, 0))
    cut = api.extra_single_image(source, resize_mode=1, upscaling_resize_w=30, upscaling_resize_h=30)
    assert cut.image.size == (30, 30)
    mixed = api.extra_single_image(source, upscaler_2="None", extras_upscaler_2_visibility=0.5)
    assert mixed.image.size == (40, 20)
    several = api.extra_batch_images([source, source.resize((8, 8))], upscaler_1="None", upscaling_resize=3)
    assert [image.size for image in several.images] == [(60, 30), (24, 24)]
    named = api.extra_batch_images([source], name_list=["../a.png"], resize_mode=1, upscaling_resize_w=8,
                                   upscaling_resize_h=8, upscaler_1="net-x2", upscale_first=True)  # fmt: skip
    assert named.image.size == (8, 8)
    assert named.info == ("<p>Postprocess upscale to: 8x8, Postprocess crop to: 8x8, Postprocess upscaler: net-x2</p>")
    assert api.extra_single_image(source, show_extras_results=False).images == []
    assert api.extra_batch_images([source], show_extras_results=False).images == []
    with pytest.raises(RuntimeError, match="at most 8192"):
        api.extra_single_image(Image.new("RGB", (1000, 10)), upscaling_resize=16)


def test_the_words_of_a_picture_stay_with_the_larger_one(api):
    drawn = api.txt2img(prompt="a cat", seed=4).image
    large = api.extra_single_image(drawn, upscaler_1="Lanczos")
    assert large.image.size == (drawn.width * 2, drawn.height * 2)


def test_without_waiting_in_the_client(api):
    """`use_async` goes another way, by aiohttp."""
    source = Image.new("RGB", (20, 10), "red")

    async def ask():
        return await asyncio.gather(
            api.txt2img(prompt="a cat", use_async=True),
            api.img2img(images=[source], use_async=True),
            api.extra_single_image(source, use_async=True),
            api.extra_batch_images([source, source], use_async=True),
        )

    assert [len(result.images) for result in asyncio.run(ask())] == [1, 1, 1, 2]
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(_awaited(lambda: api.txt2img(sampler_name="Sorcery", use_async=True)))
    assert caught.value.args[0] == 404


async def _awaited(call):
    return await call()


def test_lists_and_options(api, rig):
    assert api.util_get_sampler_names() == sorted(["DPM++ 2M", "Euler a", "Euler", "DDIM", "Restart", "PLMS"])
    assert "karras" in api.util_get_scheduler_names()
    assert {"name", "label"} <= set(api.get_schedulers()[1])
    assert {"name", "aliases", "options"} <= set(api.get_samplers()[0])
    assert api.util_get_model_names() == ["people/photo [0123456789]", "pocket"]
    assert "controlnet" in api.get_scripts()["txt2img"]
    assert api.get_memory()["ram"]["total"] == 3
    for name in LISTS.split():
        assert getattr(api, f"get_{name}")() is not None
    api.refresh_checkpoints()
    assert rig.catalog.refreshed == 1
    assert api.util_get_current_model() == "pocket"
    api.util_set_model("people/photo")
    assert api.util_get_current_model() == "people/photo [0123456789]"
    options = api.get_options()
    options["CLIP_stop_at_last_layers"] = 2
    assert api.set_options(options) is None
    assert rig.settings["CLIP_stop_at_last_layers"] == 2
    assert "detail" in api.get_artists()


def test_what_has_no_room_here_is_a_clear_4xx(api):
    """Nothing pretends to work: the client raises, or has the reason in what it gives back."""
    picture = Image.new("RGB", (8, 8))
    for call, status in (
        (lambda: api.interrogate(picture), 422),
        (lambda: api.controlnet_detect([picture], module="openpose"), 422),
        (lambda: api.prompt_gen(), 404),
        (lambda: webuiapi.RemBGInterface(api).rembg(picture), 404),
        (lambda: webuiapi.InstructPix2PixInterface(api).img2img([picture]), 404),
        (lambda: webuiapi.webuiapi.TaggerInterface(api).tagger_interrogate(picture), 404),
        (lambda: api.custom_post("train/embedding/nothing", baseurl=True), 404),
    ):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert caught.value.args[0] == status, inspect.getsource(call)
        assert "detail" in caught.value.args[1]
    assert "detail" in api.get_artists()
    assert "detail" in api.get_artist_categories()
    assert "detail" in api.custom_get("promptgen/list_models")
    sam = webuiapi.webuiapi.SegmentAnythingInterface(api)
    assert "detail" in sam.heartbeat()
    keywords = webuiapi.ModelKeywordInterface(api).get_keywords
    for call in (api.list_prompt_gen_models, keywords, lambda: sam.sam_predict(picture)):
        with pytest.raises(KeyError):  # the client looks into the 404's body
            call()


def test_control_units_of_the_client(api, rig):
    assert api.has_controlnet
    assert api.controlnet_version() == 2
    assert api.controlnet_model_list() == ["None"]
    assert {"none", "canny", "shuffle"} <= set(api.controlnet_module_list())
    red = Image.new("RGB", (24, 16), "red")
    found = api.controlnet_detect([red, red], module="invert")
    assert [image.getpixel((0, 0)) for image in found.images] == [(0, 255, 255)] * 2
    unit = webuiapi.ControlNetUnit(image=red, module="canny", model="edges", weight=0.5, control_mode=2)
    api.txt2img(prompt="a cat", controlnet_units=[unit], alwayson_scripts={})
    (asked,) = rig.asked.control.units
    assert (asked.model, asked.weight, asked.control_mode) == ("edges", 0.5, "ControlNet is more important")
    assert (asked.resize_mode, asked.hint.processor_res, asked.hint.threshold_a) == ("Resize and Fill", 512, 64.0)
    assert Image.open(io.BytesIO(asked.image)).size == (24, 16)
    api.txt2img(prompt="a cat", alwayson_scripts={})
    assert rig.asked.control.units == ()


def test_scripts_and_units_that_are_not_here_are_refused_and_idle_ones_let_be(api):
    for idle in ({"ControlNet": {"args": []}}, {"ADetailer": {"args": [False]}}, {"roop": {"args": [False]}}):
        assert api.txt2img(alwayson_scripts=idle).images
    for more in (
        {"script_name": "Wildest dreams", "script_args": []},
        {"alwayson_scripts": {"roop": {"args": [True]}}},
    ):
        with pytest.raises(RuntimeError) as caught:
            api.txt2img(**more)
        assert caught.value.args[0] == 422
        assert "not found" in caught.value.args[1]


def test_details(api, rig):
    wanted = webuiapi.ADetailer(ad_model="Contrast", ad_prompt="a face", ad_use_steps=True, ad_steps=3)
    # With a dictionary of its own: the client puts units into the default that all later calls share.
    api.txt2img(prompt="a cat", adetailer=[wanted], alwayson_scripts={})
    (asked,) = rig.asked.details
    assert (asked.regions.detector, asked.detailer.prompt, asked.detailer.steps) == ("Contrast", "a face", 3)
    with pytest.raises(RuntimeError, match="yolo export"):
        api.txt2img(adetailer=[webuiapi.ADetailer(ad_model="face_yolov8n.pt")], alwayson_scripts={})


def test_no_method_is_forgotten():
    """Of the client's own class; the interfaces for extensions stand for one request each."""
    said = Path(__file__).read_text("utf-8")
    names = {name for name, _ in inspect.getmembers(webuiapi.WebUIApi, inspect.isfunction) if not name.startswith("_")}
    lists = {f"get_{name}" for name in LISTS.split()}
    assert len(names) > 40
    assert {name for name in names - WITHIN - lists if f".{name}" not in said} == set()


def test_work_can_be_watched_and_stopped(api, rig):
    assert api.get_progress()["progress"] == 0
    api.util_wait_for_ready()
    rig.engine.hold()
    drawn = []
    worker = threading.Thread(target=lambda: drawn.append(api.txt2img(n_iter=2)))
    worker.start()
    assert rig.engine.entered.acquire(timeout=10)
    assert api.get_progress()["state"]["job_count"] >= 1
    assert api.skip() is None
    assert rig.engine.entered.acquire(timeout=10)
    assert api.interrupt() == {}
    worker.join(10)
    assert drawn[0].images == []
    assert drawn[0].info["interrupted"]


def test_what_goes_wrong_is_told(api):
    with pytest.raises(RuntimeError) as caught:
        api.txt2img(sampler_name="Sorcery")
    assert caught.value.args[0] == 404
    with pytest.raises(RuntimeError, match="hires pass only"):
        api.extra_single_image(Image.new("RGB", (8, 8)), upscaler_1="Latent")
    with pytest.raises(RuntimeError, match="not both"):
        api.extra_single_image(Image.new("RGB", (8, 8)), gfpgan_visibility=0.5, codeformer_visibility=0.5)
    assert api.txt2img().images


def test_with_a_password(make_rig):
    rig = make_rig(network={"api_auth": (("ann", "secret"),)})
    with serving(rig.application()) as port:
        stranger = webuiapi.WebUIApi(host="127.0.0.1", port=port)
        with pytest.raises(RuntimeError) as caught:
            stranger.txt2img()
        assert caught.value.args[0] == 401
        stranger.set_auth("ann", "secret")
        assert stranger.txt2img(steps=1).images
        stranger.session.close()


def test_a_connection_that_is_cut_cancels_its_job(rig):
    rig.engine.hold()
    ended = threading.Event()
    rig.bus.subscribe(lambda event: ended.set() if type(event).__name__ == "JobCancelled" else None)
    with serving(rig.application()) as port:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"http://127.0.0.1:{port}/sdapi/v1/txt2img", json={"steps": 2}, timeout=httpx.Timeout(30, read=0.3)
            )
        assert ended.wait(10)
    assert rig.queue.list()[0].state == "cancelled"
