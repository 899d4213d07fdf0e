"""Tiled diffusion and SD upscale in bodies of the old API and in jobs of ours."""

from __future__ import annotations

import pytest

from modules.contracts.request import SdUpscaleParams, TileParams
from modules.contracts.tiles import MIXED
from tests.api.fakes import SMALL, b64, picture

RED = b64(picture((24, 16), (255, 0, 0)))


def refused(client, path="img2img", **body):
    answer = client.post(f"/sdapi/v1/{path}", json={"steps": 1, "init_images": [RED], **body})
    assert answer.status_code == 422, answer.text
    return answer.json()["detail"]


def test_tiles_have_fields_in_both_apis(call, rig, client):
    call(steps=1, tiled_diffusion=2, tile_width=96, tile_height=64, tile_overlap=16, tile_passes=1)
    assert rig.asked.tiles == TileParams(MIXED, 96, 64, 16, "first pass")
    call(steps=1)
    assert rig.asked.tiles == TileParams()
    wanted = {**SMALL, "tiles": {"method": MIXED, "width": 32}}
    assert client.post("/api/v1/jobs", json=wanted).status_code == 202
    assert client.post("/api/v1/jobs", json={**SMALL, "tiles": {"method": "Mosaic"}}).status_code == 422


def test_sd_upscale_has_fields_in_both_apis(call, rig, client):
    call("img2img", steps=1, init_images=[RED], sd_upscale="lanczos", sd_upscale_scale=3)
    assert rig.asked.upscale == SdUpscaleParams("Lanczos", 3.0)
    call("img2img", steps=1, init_images=[RED], sd_upscale="None")
    assert rig.asked.upscale == SdUpscaleParams()
    wanted = {**SMALL, "image": {"images": [RED]}, "upscale": {"upscaler": "lanczos"}}
    assert client.post("/api/v1/jobs", json=wanted).status_code == 202
    assert client.post("/api/v1/jobs", json={**SMALL, "upscale": {"upscaler": "Lanczos"}}).status_code == 422
    assert "not known" in refused(client, sd_upscale="none such")


@pytest.mark.parametrize("upscaler", [1, "1", "Lanczos"])
def test_a1111s_script_is_understood(call, rig, upscaler):
    body = {"steps": 1, "init_images": [RED], "width": 64, "height": 96, "script_name": "SD upscale"}
    call("img2img", **body, script_args=["", 32, upscaler, 2.5])
    assert rig.asked.upscale == SdUpscaleParams("Lanczos", 2.5)
    assert rig.asked.tiles == TileParams(width=64, height=96, overlap=32)
    assert rig.asked.canvas.width is None
    call("img2img", **body, script_args=["", 32, 0, 2.5])
    assert rig.asked.upscale == SdUpscaleParams("Lanczos", 1.0)


def test_what_makes_no_sense_is_refused(client):
    script = {"script_name": "sd upscale", "width": 64, "height": 64}
    assert "no upscaler 99" in refused(client, **script, script_args=["", 16, 99, 2])
    assert "numbers are needed" in refused(client, **script, script_args=["", "wide", 1, 2])
    assert "Tile overlap is 64" in refused(client, **script, script_args=["", 64, 1, 2])
    assert "SD upscale by is 99" in refused(client, **script, script_args=["", 16, 1, 99])
    assert "not found" in refused(client, "txt2img", **script, script_args=["", 16, 1, 2])
    assert "leave the mask out" in refused(client, mask=b64(picture((24, 16), 255, "L")), sd_upscale="Lanczos")


def test_an_upscaled_picture_counts_with_the_size_that_comes_out():
    from modules.contracts.cost import is_sized, largest_of, pixels_of, work_of
    from modules.contracts.request import GenerationRequest, ImageParams, SamplingParams

    request = GenerationRequest(
        image=ImageParams((picture((24, 16), (255, 0, 0)),), denoising_strength=0.5),
        upscale=SdUpscaleParams("Lanczos", 4.0),
        sampling=SamplingParams(9),
    )
    assert is_sized(request)
    assert pixels_of(request) == largest_of(request) == 96 * 64
    assert work_of(request) == pytest.approx(96 * 64 * 5 / 1e6)
