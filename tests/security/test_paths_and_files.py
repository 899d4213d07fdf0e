"""Holes of other programs in which a text of the client became a path, or a served file became code.

Each test is named after the hole (`users.md` of the project's notes, section 2) that it would have shown.
"""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.api.fakes import PASSWORD, SECRET, b64, made, picture
from tests.security.walk import operations, request_fields

PATHS = [
    "/etc/passwd",
    "../../etc/passwd",
    "/tmp/gradio/../../etc/passwd",
    "C:\\windows\\win.ini",
    "data/settings.json",
]
LIKE_A_PATH = re.compile(r"(^|_)(path|paths|dir|directory|folder|file|filename|dest|destination|outdir|outpath)(_|$)")
PAGE = b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>"
DRAWING = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.mark.parametrize("route", ["/file=", "/gradio_api/file=", "/view?filename=", "/static/", "/custom_component/"])
def test_a1111_12822_and_comfyui_view_no_address_names_a_file(client, route):
    for path in PATHS:
        answer = client.get(f"{route}{path}")
        assert answer.status_code == 404
        assert "root:" not in answer.text


def test_cve_2024_4940_no_answer_sends_a_visitor_elsewhere(client):
    for path in (
        "/file=https://evil.example",
        "//evil.example",
        "/redirect?url=https://evil.example",
        "/docs?next=//e",
    ):
        answer = client.get(path, follow_redirects=False)
        assert not 300 <= answer.status_code < 400


def test_iopaint_585_invokeai_2026_and_gradio_no_field_of_any_request_is_a_path(rig):
    fields = list(request_fields(rig.application()))
    assert len(fields) > 150
    assert ("ArchiveWanted", "ids") in fields
    assert ("ImageWanted", "images") in fields
    assert [field for field in fields if LIKE_A_PATH.search(field[1].lower())] == []


@pytest.mark.parametrize("name", PATHS)
def test_invokeai_ghsa_vv9c_names_that_look_like_paths_name_nothing(client, rig, name):
    assert client.post("/api/v1/pictures/zip", json={"ids": [name]}).status_code == 404
    assert client.post("/api/v1/jobs", json={"model": {"checkpoint": name}}).status_code == 404
    assert client.post("/api/v1/jobs", json={"model": {"vae": name}}).status_code == 404
    answer = client.post("/sdapi/v1/txt2img", json={"override_settings": {"sd_model_checkpoint": name}})
    assert answer.status_code == 404
    assert client.post("/sdapi/v1/img2img", json={"init_images": [name]}).status_code == 422
    assert rig.queue.list() == []


def test_iopaint_585_a_client_does_not_choose_where_a_file_goes(make_rig, tmp_path):
    rig = make_rig(gallery=True)
    client = rig.client()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    body = {"steps": 1, "save_images": True, "force_task_id": "../../evil", "prompt": "../../../evil\\..\\x"}
    assert client.post("/sdapi/v1/txt2img", json={**body, "outpath_samples": "/tmp/evil"}).status_code == 200
    fresh = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    (saved,) = [path for path in fresh if path.suffix == ".png"]
    assert saved.parent.parent == rig.studio.paths.data / "outputs" or saved.parent.parent.name == "outputs"
    (row,) = client.get("/api/v1/pictures").json()["pictures"]
    assert "/" not in row["name"]
    assert "\\" not in row["name"]


@pytest.mark.parametrize("data", [PAGE, DRAWING])
def test_comfyui_cve_2024_10099_and_gradio_cve_2024_47872_pages_are_no_pictures(client, rig, data):
    for head in ("", "data:image/png;base64,", "data:image/svg+xml;base64,", "data:text/html;base64,"):
        assert client.post("/sdapi/v1/img2img", json={"init_images": [head + b64(data)]}).status_code == 422
        assert client.post("/sdapi/v1/png-info", json={"image": head + b64(data)}).status_code == 422
        body = {"image": {"images": [head + b64(data)]}}
        assert client.post("/api/v1/jobs", json=body).status_code == 422
    upload = {"image": ("x.svg", data, "image/svg+xml")}
    assert client.post("/v1/images/edits", data={"prompt": "a"}, files=upload).status_code == 400
    assert rig.queue.list() == []


def test_comfyui_cve_2024_10099_what_is_served_is_sealed(make_rig):
    rig = make_rig(gallery=True)
    client = rig.client()
    job = made(client, prompt={"text": PAGE.decode()})["id"]
    rig.queue.handle(job).wait(20)
    (row,) = client.get(f"/api/v1/jobs/{job}/pictures").json()["pictures"]
    for path in ("file", "thumbnail"):
        answer = client.get(f"/api/v1/pictures/{row['id']}/{path}")
        assert answer.headers["content-type"] in ("image/png", "image/webp")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "sandbox" in answer.headers["content-security-policy"]
    assert "<" not in row["name"]


def test_comfyui_cve_2024_10099_every_answer_of_the_api_is_sealed(rig):
    client = rig.client()
    for method, path, _ in operations(client.app):
        if path.endswith("/events"):
            continue  # does not end by itself; its headers are looked at in the tests of events
        body = None if method in ("get", "delete") else {}
        answer = client.request(method, re.sub(r"\{.*?\}", "1", path), json=body)
        assert answer.status_code < 500, (method, path, answer.text)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert "text/html" not in answer.headers.get("content-type", ""), path


def test_uploads_are_encoded_anew_so_that_nothing_hides_in_them(client, rig):
    info = PngInfo()
    info.add_text("parameters", "<script>alert(1)</script>")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG", pnginfo=info)
    polyglot = buffer.getvalue() + PAGE
    answer = client.post("/sdapi/v1/img2img", json={"init_images": [b64(polyglot)], "steps": 1})
    assert answer.status_code == 200
    kept = rig.engine.seen[-1].image.images[0]
    assert b"script" not in kept
    assert Image.open(io.BytesIO(kept)).size == (64, 64)


def test_invokeai_6_13_7_and_a1111_cmd_flags_secrets_are_in_no_answer(make_rig):
    rig = make_rig(network={"api_auth": (("ann", "s3cr3t-word"),)})
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    client = rig.client(headers={})
    client.auth = ("ann", "s3cr3t-word")
    for method, path, _ in operations(client.app):
        if method == "get" and not path.endswith("/events"):
            text = client.get(re.sub(r"\{.*?\}", "ada", path)).text
            for hidden in (SECRET, "s3cr3t-word", PASSWORD, "argon2", str(rig.studio.paths.data)):
                assert hidden not in text, path


def test_fooocus_4198_passwords_and_tokens_are_kept_as_hashes(make_rig, tmp_path):
    rig = make_rig()
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    _, token = rig.accounts.add_token("ada", "t")
    rig.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"argon2" in kept
    assert PASSWORD.encode() not in kept
    assert token.encode() not in kept


def test_decompression_bombs_are_refused_before_they_unfold(client, rig):
    wide = picture((30_000, 30_000), mode="1", color=0)
    info = PngInfo()
    info.add_text("parameters", "a" * 70_000_000, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    for data in (wide, buffer.getvalue()):
        assert len(data) < 1_000_000
        assert client.post("/sdapi/v1/img2img", json={"init_images": [b64(data)]}).status_code == 422
        assert client.post("/sdapi/v1/png-info", json={"image": b64(data)}).status_code == 422
    assert rig.queue.list() == []
