"""The page inside the application: what it is made of, what it serves, and what it does not."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from modules.api.app import add_api
from modules.contracts.request import OutputParams, parameters
from modules.contracts.result import Picture
from modules.support.paths import ROOT
from modules.ui.form import ELEM_IDS, NAMES
from modules.ui.gate import passes
from modules.ui.mount import mount
from modules.ui.page import build_page
from modules.ui.rooms import EDIT, ROOMS
from tests.ui.fakes import fake_studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Iterator[Any]:
    made = fake_studio(tmp_path_factory.mktemp("studio"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def components(studio) -> dict[str, Any]:
    async def build() -> Any:
        return build_page(studio)

    page = asyncio.run(build())
    return {block.elem_id: block for block in page.blocks.values() if getattr(block, "elem_id", None)}


@pytest.fixture(scope="module")
def client(studio) -> Iterator[TestClient]:
    app = FastAPI()

    @app.get("/docs-of-ours")
    def ours() -> str:
        return "ours"

    with TestClient(mount(app, studio)) as made:
        yield made


def picture_of(studio: Any, owner: str = "local", job: str = "job") -> str:
    image = Image.new("RGB", (640, 480), "#d0372f")
    picture = Picture(0, image, 1, 0, "red", "", "red\nSteps: 1, Sampler: x, Seed: 1", {})
    row_id: str = studio.pictures.save(picture, job_id=job, owner=owner, output=OutputParams()).id
    return row_id


def test_inputs_follow_the_declarations(components):
    declared = {item.name: item for item in parameters()}
    for name in NAMES:
        component, rule = components[ELEM_IDS[name]], declared[name].param
        assert component.label == rule.label
        if component.get_block_name() == "number":
            assert (component.minimum, component.maximum, component.step) == (rule.minimum, rule.maximum, rule.step)


def test_the_ids_that_extensions_hook_are_there(components):
    wanted = (
        "txt2img_prompt txt2img_neg_prompt txt2img_generate txt2img_gallery txt2img_steps txt2img_sampling "
        "txt2img_cfg_scale txt2img_width txt2img_height txt2img_seed txt2img_batch_count txt2img_batch_size "
        "setting_sd_model_checkpoint txt2img_interrupt txt2img_skip"
    )
    assert set(wanted.split()) <= set(components)


def test_choices_come_from_the_catalogue(components):
    assert [value for _, value in components["txt2img_sampling"].choices] == [
        "",
        "DPM++ 2M",
        "Euler",
        "Euler a",
        "DDIM",
    ]
    assert components["txt2img_width"].value == 128
    assert components["setting_sd_model_checkpoint"].value == "pocket"


def test_the_page_needs_no_torch_and_no_pandas():
    code = (
        "import sys, tempfile, pathlib; from fastapi import FastAPI; from tests.ui.fakes import fake_studio; "
        "from modules.ui.mount import mount; s = fake_studio(pathlib.Path(tempfile.mkdtemp()), ready=False); "
        "mount(FastAPI(), s); s.close(); print([n for n in ('torch', 'diffusers', 'transformers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_the_page_is_ours_and_names_no_other_host(client):
    answer = client.get("/")
    assert answer.status_code == 200
    config = client.get("/config").json()
    assert config["title"] == "Atelier"
    assert config["analytics_enabled"] is False
    assert config["footer_links"] == []
    assert config["stylesheets"] == []
    theme = client.get("/theme.css").text
    assert "http://" not in theme.replace("http://www.w3.org", "")
    assert "https://" not in theme


def test_other_routes_of_the_application_stay(client):
    assert client.get("/docs-of-ours").json() == "ours"
    assert client.get("/manifest.json").json()["name"] == "Atelier"
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", f"/gradio_api/file={ROOT / 'launch.py'}"),
        ("GET", "/gradio_api/file=https://example.org/"),
        ("GET", "/gradio_api/proxy=https://example.org/"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/file=/etc/passwd"),
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/token"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/monitoring"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/run/generate"),
        ("POST", "/gradio_api/call/generate"),
        ("POST", "/gradio_api/component_server"),
        ("GET", "/gradio_api/custom_component/1/client/component/x.js"),
    ],
)
def test_what_the_page_does_not_use_does_not_exist(client, method, path):
    assert client.request(method, path, follow_redirects=False).status_code == 404


@pytest.mark.parametrize("path", ["/static/../../../../etc/passwd", "/assets/%2e%2e/%2e%2e/%2e%2e/__init__.py"])
def test_static_files_do_not_climb(client, path):
    assert client.get(path).status_code in (403, 404)


def test_the_gate_knows_methods():
    assert passes("GET", "/")
    assert passes("POST", "/gradio_api/queue/join")
    assert not passes("PUT", "/")
    assert not passes("DELETE", "/config")


@pytest.mark.parametrize(
    "name",
    [
        *("tools.js", "sliders.js", "studio.js", "verify.js", "line.js", "extensions.js", "studio.css", "logo.svg"),
        *("keys.js", "weights.js", "history.js", "notices.js", "aids.css"),
        *("editing.js", *next(room.files for room in ROOMS if room.name == EDIT), "edit.js", "edit.css"),
    ],
)
def test_own_files_are_served_and_kept(client, name):
    answer = client.get(f"/studio/{name}")
    assert answer.content == (ROOT / "javascript" / name).read_bytes()
    assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["page.json", "..%2flaunch.py", "studio.py", ".env"])
def test_nothing_else_is_served_beside_them(client, name):
    assert client.get(f"/studio/{name}").status_code == 404


def test_a_picture_is_served_whole_and_small(client, studio):
    key = picture_of(studio)
    whole = client.get(f"/studio/pictures/{key}")
    assert whole.content == studio.pictures.read(key)
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in whole.headers["content-security-policy"]
    small = client.get(f"/studio/thumbs/{key}")
    assert Image.open(io.BytesIO(small.content)).size == (320, 240)
    assert len(small.content) < len(whole.content)


@pytest.mark.parametrize(
    ("wanted", "code", "part"),
    [
        (None, 200, slice(None)),
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=3-99999999", 206, slice(3, None)),
        ("bytes=9-3", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("bytes=99999999-", 416, None),
    ],
)
def test_a_film_is_served_in_parts(client, studio, wanted, code, part):
    key = picture_of(studio)
    studio.pictures.rows[key] = replace(studio.pictures.get(key), media_type="video/mp4")
    whole = studio.pictures.read(key)
    answer = client.get(f"/studio/pictures/{key}", headers={"Range": wanted} if wanted else {})
    assert answer.status_code == code
    if part is None:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        return
    assert answer.content == whole[part]
    assert (answer.headers["content-type"], answer.headers["accept-ranges"]) == ("video/mp4", "bytes")
    if code == 206:
        start = whole.index(answer.content)
        end = start + len(answer.content) - 1
        assert answer.headers["content-range"] == f"bytes {start}-{end}/{len(whole)}"


def test_pictures_of_others_and_unknown_ones_are_the_same_404(client, studio):
    other = client.get(f"/studio/pictures/{picture_of(studio, 'ada', 'her job')}")
    unknown = client.get("/studio/pictures/nothing")
    assert (other.status_code, other.json()) == (unknown.status_code, unknown.json()) == (404, unknown.json())


def test_with_a_password_strangers_get_the_sign_in_and_no_picture(tmp_path: Path):
    studio = fake_studio(tmp_path, auth=(("ada", "one"),))
    key = picture_of(studio, "ada")
    app = FastAPI()
    add_api(app, studio)
    with TestClient(mount(app, studio), base_url="http://127.0.0.1") as client:
        sent = client.get("/", follow_redirects=False)
        assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in")
        assert "Password" in client.get("/sign-in").text
        assert client.get("/config").status_code == 401
        assert client.get(f"/studio/pictures/{key}").status_code == 401
        assert client.post("/api/v1/session", json={"name": "ada", "password": "no"}).status_code == 401
        assert client.post("/api/v1/session", json={"name": "ada", "password": "one"}).status_code == 200
        assert client.get(f"/studio/pictures/{key}").status_code == 200
        assert client.get("/", follow_redirects=False).status_code == 200
        assert client.delete("/api/v1/session").status_code == 200
        assert client.get(f"/studio/pictures/{key}").status_code == 401
    studio.close()


def test_another_mount_point_moves_everything_with_it(studio):
    with TestClient(mount(FastAPI(), studio, "/ui")) as client:
        assert client.get("/ui/").status_code == 200
        assert client.get("/ui/studio/studio.css").status_code == 200
        assert client.get("/ui/gradio_api/file=/etc/passwd").status_code == 404
        assert client.get("/").status_code == 404
