"""Tiled Diffusion and Tiled VAE, as clients of the extension send them to the old API."""

from __future__ import annotations

import pytest

from modules.contracts.request import SdUpscaleParams, TileParams
from modules.contracts.tiles import EVEN, MIXED
from tests.api.fakes import b64, picture

RED = b64(picture((24, 16), (255, 0, 0)))
USUAL = [
    True,
    MIXED,
    False,
    True,
    1024,
    1024,
    96,
    64,
    48,
    4,
    "None",
    2,
    False,
    10,
    1,
    1,
    64,
    False,
    False,
    False,
    False,
]
REGIONS = [False, 0.4, 0.4, 0.2, 0.2, "", "", "Background", 0.2, -1.0] * 8
DRAWN = TileParams(MIXED, 768, 512, 384)


def script(*args, title="Tiled Diffusion"):
    return {"alwayson_scripts": {title: {"args": list(args)}}}


def changed(**values):
    """The usual arguments with others at places named `a0`, `a1` …"""
    args = list(USUAL)
    for name, value in values.items():
        args[int(name[1:])] = value
    return script(*args)


def refused(client, body, path="txt2img", status=422):
    pictures = {"init_images": [RED]} if path == "img2img" else {}
    answer = client.post(f"/sdapi/v1/{path}", json={"steps": 1, **pictures, **body})
    assert answer.status_code == status, answer.text
    return answer.json()["detail"]


def test_arguments_in_their_order_become_tiles(call, rig):
    call(steps=1, width=64, height=64, **script(*USUAL, *REGIONS))
    assert rig.asked.tiles == DRAWN
    assert (rig.asked.canvas.width, rig.asked.canvas.height) == (64, 64)
    call(steps=1, **script(True, title="tiled diffusion"))
    assert rig.asked.tiles == TileParams(EVEN, 768, 768, 384)
    call(steps=1, **script("true", None, "false", 1, 1024.0, 1024, "32", 16, 48))
    assert rig.asked.tiles == TileParams(EVEN, 256, 128, 96)  # 48 cells would be more than a tile of 16
    call(steps=1, **changed(a18=True), tiled_diffusion=1)  # no region is on
    assert rig.asked.tiles == DRAWN


def notes(client, path="txt2img", **body):
    answer = client.post(f"/sdapi/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Atelier-Notes"]


@pytest.mark.parametrize("args", [[], [False, "Mosaic"], [None, 3]])
def test_what_is_off_changes_nothing(call, rig, args):
    call(steps=1, **script(*args), tile_width=96, tiled_diffusion=2)
    assert rig.asked.tiles == TileParams(MIXED, 96)
    call(steps=1, **script(*args, title="Tiled VAE"))
    assert rig.asked.tiles == TileParams()


def test_the_size_of_a_picture_from_nothing(call, rig):
    call(steps=1, width=64, height=64, **changed(a2=True, a4=512, a5=256))
    assert (rig.asked.canvas.width, rig.asked.canvas.height) == (512, 256)


def test_the_size_of_a_picture_from_another(call, rig, client):
    given = {"steps": 1, "init_images": [RED], "width": 64, "height": 32}
    call("img2img", **given, **script(*USUAL))
    assert (rig.asked.canvas.width, rig.asked.upscale) == (None, SdUpscaleParams())
    call("img2img", **given, **changed(a10="lanczos", a11=3))
    assert (rig.asked.canvas.width, rig.asked.upscale) == (None, SdUpscaleParams("Lanczos", 3.0))
    assert rig.asked.tiles == DRAWN
    call("img2img", **given, **changed(a3=False))
    assert (rig.asked.canvas.width, rig.asked.canvas.height) == (64, 32)
    said = notes(client, "img2img", **given, **changed(a3=False, a10="Lanczos", a11=1.5))
    assert (rig.asked.canvas.width, rig.asked.canvas.height) == (96, 48)
    assert rig.asked.upscale == SdUpscaleParams()
    assert "the upscaler Lanczos changed nothing" in said
    mask = b64(picture((24, 16), 255, "L"))
    said = notes(client, "img2img", **given, mask=mask, inpaint_full_res=True, **script(*USUAL))
    assert rig.asked.canvas.width == 64
    assert "width and height count" in said


def test_the_vae_goes_in_tiles(call, rig, client):
    said = notes(client, steps=1, **script(True, 1024, 128, "false", True, True, False, title="Tiled VAE"))
    assert rig.asked.tiles == TileParams(vae=True)
    assert "tiles have the size that the VAE brings" in said
    call(steps=1, tiled_vae=True)
    assert rig.asked.tiles == TileParams(vae=True)


def test_what_is_not_there_or_makes_no_sense_is_refused(client):
    assert "noise inversion is not there" in refused(client, changed(a12=True), "img2img")
    assert "regions with prompts" in refused(client, script(*USUAL[:18], True, False, False, *REGIONS[:10], True))
    assert "method is 'Mosaic'" in refused(client, changed(a1="Mosaic"))
    assert "tile_width is 300; it has to be 16 to 256" in refused(client, changed(a6=300))
    assert "image_width is 1" in refused(client, changed(a4=10**400))
    assert "overlap is 'wide'" in refused(client, changed(a8="wide"))
    assert "enabled is 'perhaps'" in refused(client, changed(a0="perhaps"))
    assert "takes up to 101" in refused(client, script(*USUAL, *REGIONS, 1))
    assert "takes up to 7" in refused(client, script(*[True] * 8, title="Tiled VAE"))
    assert "'none such' is not known" in refused(client, changed(a10="none such"), "img2img")
    assert "a list of its arguments" in refused(client, {"alwayson_scripts": {"Tiled VAE": {"args": {"a": 1}}}})
    both = {"script_name": "SD upscale", "script_args": ["", 16, 1, 2], **changed(a10="Lanczos")}
    assert "both given an upscaler" in refused(client, both, "img2img")


def test_noise_inversion_is_noted_where_it_would_do_nothing(client, rig):
    assert "noise inversion is for img2img" in notes(client, steps=1, **changed(a12=True))
    assert rig.asked.tiles == DRAWN


def test_scripts_are_listed_with_their_arguments(client):
    rows = client.get("/sdapi/v1/script-info").json()
    names = [(row["name"], row["is_img2img"]) for row in rows]
    listed = client.get("/sdapi/v1/scripts").json()
    assert {name for name, img2img in names if img2img} == set(listed["img2img"]) - {"controlnet m2m"}
    assert {name for name, img2img in names if not img2img} == set(listed["txt2img"]) - {"controlnet m2m"}
    arguments = {row["name"]: row["args"] for row in rows}
    assert len(arguments["tiled diffusion"]) == len(USUAL)
    assert arguments["tiled diffusion"][1]["choices"] == [EVEN, MIXED]
    assert arguments["tiled vae"][2] == {
        "label": "decoder tile size",
        "value": 64,
        "minimum": 48,
        "maximum": 512,
        "step": 16,
        "choices": None,
    }
