"""The real server as a process: a picture over HTTP, bad input that harms nothing, clean stop."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import struct
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.e2e.server import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
BODY = {"prompt": "a red circle on a white background", "steps": 4, "seed": 1, "width": 128, "height": 128}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("e2e")
    checkpoints = folder / "models" / "checkpoints"
    checkpoints.mkdir(parents=True)
    header = json.dumps({"a": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}).encode()
    (checkpoints / "half.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(100))
    with running(folder / "data", "--offline", "--models-dir", str(folder / "models")) as process:
        yield process


def draw(server, path="txt2img", **changes):
    return httpx.post(f"{server.url}/sdapi/v1/{path}", json={**BODY, **changes}, timeout=300)


def picture_of(answer) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0])))


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_legacy_call_answers_a_png_with_infotext(server):
    answer = draw(server, sampler_name="DPM++ 2M Karras", cfg_scale=6, batch_size=2)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    info = json.loads(body["info"])
    image = picture_of(answer)
    assert image.format == "PNG"
    assert image.size == (128, 128)
    assert len(body["images"]) == 2
    assert info["all_seeds"] == [1, 2]
    text = image.info["parameters"]
    assert text == info["infotexts"][0]
    assert text.startswith("a red circle on a white background\nSteps: 4, Sampler: DPM++ 2M, Schedule type: Karras")
    again = httpx.post(f"{server.url}/sdapi/v1/png-info", json={"image": body["images"][0]}, timeout=60).json()
    assert again["info"] == text
    assert again["parameters"]["Seed"] == "1"


def test_the_same_seed_gives_the_same_picture_alone_and_in_company(server):
    alone = np.asarray(picture_of(draw(server, steps=6)), dtype=int)
    with concurrent.futures.ThreadPoolExecutor(4) as crowd:
        calls = [
            crowd.submit(draw, server, steps=4 + index, seed=1 if index == 2 else 50 + index) for index in range(4)
        ]
        company = np.asarray(picture_of(calls[2].result()), dtype=int)
    other = np.asarray(picture_of(draw(server, steps=6, seed=2)), dtype=int)
    assert np.abs(alone - company).max() <= 1
    assert np.abs(alone - other).max() > 8


def test_unmasked_pixels_come_back_bit_equal(server):
    rng = np.random.default_rng(7)
    source = Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8))
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (32, 32, 96, 96))
    answer = draw(
        server,
        "img2img",
        init_images=["data:image/png;base64," + encoded(source)],
        mask=encoded(mask),
        mask_blur=0,
        inpaint_full_res=False,
        inpainting_fill=1,
        denoising_strength=0.9,
    )
    assert answer.status_code == 200, answer.text
    result, before = np.asarray(picture_of(answer).convert("RGB")), np.asarray(source)
    outside = np.asarray(mask) == 0
    assert (result[outside] == before[outside]).all()
    assert (result[~outside] != before[~outside]).mean() > 0.5


WRONG = [
    ("txt2img", {"sampler_name": "Sorcery"}, 404, "Sorcery"),
    ("txt2img", {"width": 100000}, 422, "100000"),
    ("txt2img", {"steps": -5}, 422, "-5"),
    ("txt2img", {"override_settings": {"sd_model_checkpoint": "nowhere"}}, 404, "nowhere"),
    ("txt2img", {"steps": "many"}, 422, "steps"),
    ("img2img", {"init_images": ["%%% not base64 %%%"]}, 422, ""),
    ("img2img", {"init_images": [base64.b64encode(b"no picture at all").decode()]}, 422, ""),
    ("img2img", {"init_images": ["http://169.254.169.254/secret"]}, 422, ""),
]


@pytest.mark.parametrize(("path", "changes", "status", "word"), WRONG)
def test_wrong_input_is_one_clear_sentence_and_the_next_request_works(server, path, changes, status, word):
    answer = draw(server, path, **changes)
    assert answer.status_code == status, answer.text
    assert word in answer.text
    assert "Traceback" not in answer.text
    assert draw(server, steps=1).status_code == 200


SIDE = 8192
HUGE = {"width": SIDE, "height": SIDE}
PICTURE_BYTES = SIDE * SIDE * 3
"""The finished picture alone, at 8 bits a channel; drawing it takes many times that."""
TOO_LARGE = [
    ("/sdapi/v1/txt2img", {**BODY, **HUGE}),
    ("/sdapi/v1/txt2img", {**BODY, "enable_hr": True, "hr_resize_x": SIDE, "hr_resize_y": SIDE}),
    ("/sdapi/v1/img2img", {**BODY, **HUGE, "init_images": [encoded(Image.new("RGB", (8, 8)))]}),
    ("/api/v1/jobs", {"prompt": {"text": "a cat"}, "canvas": HUGE}),
    ("/v1/images/generations", {"prompt": "a cat", "size": f"{SIDE}x{SIDE}"}),
    ("/agent-scheduler/v1/queue/txt2img", {**BODY, **HUGE}),
]


def peak(process):
    """The most memory that a process has had, in bytes: the kernel's own mark where it keeps one."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return process.memory_info().rss
    (line,) = [line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_a_size_that_nobody_could_draw_is_refused_before_anything_is_allocated(server):
    assert draw(server, steps=1).status_code == 200  # models are loaded, and what every request takes is taken
    worker = server.worker()
    jobs, before = httpx.get(f"{server.url}/api/v1/jobs", timeout=30).json()["total"], peak(worker)
    for path, body in TOO_LARGE:
        answer = httpx.post(server.url + path, json=body, timeout=30)
        assert answer.status_code in (400, 413, 422), (path, answer.text)
        assert "megapixels" in answer.text, (path, answer.text)
    assert peak(worker) - before < PICTURE_BYTES / 4
    assert server.worker().pid == worker.pid
    assert httpx.get(f"{server.url}/api/v1/jobs", timeout=30).json()["total"] == jobs
    assert draw(server, steps=1).status_code == 200


def test_a_truncated_model_is_named_as_broken_and_the_next_request_works(server):
    answer = draw(server, override_settings={"sd_model_checkpoint": "half"})
    assert answer.status_code == 422, answer.text
    assert "half" in answer.text
    assert draw(server, steps=1).status_code == 200
    listed = httpx.get(f"{server.url}/sdapi/v1/sd-models", timeout=30).json()
    assert [row["model_name"] for row in listed].count("pocket") == 1


def test_the_page_and_the_docs_answer(server):
    assert "Atelier" in httpx.get(server.url + "/", timeout=30).text
    assert httpx.get(server.url + "/docs", timeout=30).status_code == 200
    paths = httpx.get(server.url + "/openapi.json", timeout=30).json()["paths"]
    assert "/sdapi/v1/txt2img" in paths
    assert httpx.get(server.url + "/healthz", timeout=30).status_code == 200
