"""Holes of Gradio, the library that draws the page, as they were found in programs built on it.

Each case is named after the hole (`users.md` of the project's notes, section 2b) that it would have shown. Most were a
text of the client that became a path: the routes are closed, and no part of the page takes or gives a file.
"""

from __future__ import annotations

import ast
import asyncio
import socket

import pytest
from fastapi.testclient import TestClient

from modules.accounts import secrets
from modules.accounts.secrets import hash_password, password_fits
from modules.app import build_application
from modules.experiments.results import harmless
from modules.support.paths import ROOT
from tests.api.fakes import PASSWORD
from tests.ui.fakes import fake_studio

METADATA = "http://169.254.169.254/latest/meta-data"
CLOSED = [
    ("cve_2021_43831", "GET", "/file/etc/passwd"),
    ("cve_2021_43831", "GET", "/gradio_api/file/etc/passwd"),
    ("cve_2023_34239", "GET", f"/proxy={METADATA}"),
    ("cve_2023_34239", "GET", "/gradio_api/file=/etc/passwd"),
    ("cve_2023_51449", "GET", "/gradio_api/file=/tmp/gradio/../../etc/passwd"),
    ("cve_2023_51449", "GET", f"/gradio_api/file={METADATA}"),
    ("cve_2024_1561", "POST", "/gradio_api/component_server"),
    ("cve_2024_34511", "POST", "/component_server"),
    ("cve_2024_1727", "POST", "/gradio_api/upload"),
    ("cve_2024_1728", "POST", "/upload"),
    ("cve_2024_4940", "GET", "/gradio_api/file=https://evil.example/"),
    ("cve_2024_47164", "GET", "/static/..%2f..%2f..%2fetc/passwd"),
    ("cve_2024_47164", "GET", "/assets/../../../../etc/passwd"),
    ("cve_2024_47166", "GET", "/custom_component/1/client/component/../../x.py"),
    ("cve_2024_47166", "GET", "/gradio_api/custom_component/1/client/component/..%2fx.py"),
    ("cve_2024_47167", "POST", "/gradio_api/run/predict"),
    ("cve_2024_47167", "POST", "/gradio_api/call/generate"),
    ("cve_2024_47872", "GET", "/gradio_api/file=/tmp/gradio/x.html"),
    ("gradio_11162", "POST", "/gradio_api/run/flag"),
    ("gradio_11162", "GET", "/gradio_api/runs"),
    ("cve_2022_24770", "GET", "/gradio_api/file=flagged/log.csv"),
    ("cve_2026_28414", "GET", "/static/C:/windows/win.ini"),
    ("cve_2026_28414", "GET", "/assets//C:%5Cwindows%5Cwin.ini"),
    ("cve_2026_28416", "GET", f"/gradio_api/proxy={METADATA}"),
    ("cve_2026_28416", "GET", "/gradio_api/proxy=https://evil.hf.space/config"),
    ("cve_2026_49119", "POST", "/gradio_api/component_server/ls"),
]
FOREIGN = [
    ("cve_2024_47084", "https://evil.example"),
    ("cve_2024_47165", "null"),
    ("cve_2024_1727", "http://localhost:1"),
]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    made = fake_studio(tmp_path_factory.mktemp("studio"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(studio):
    """API and page as the studio serves them."""
    with TestClient(build_application(studio), base_url="http://127.0.0.1:7860") as made:
        yield made


@pytest.mark.parametrize(("hole", "method", "path"), CLOSED, ids=[f"{row[0]}-{n}" for n, row in enumerate(CLOSED)])
def test_the_route_of_the_hole_is_not_there(client, hole, method, path):
    content = {"json": {"path": "/etc/passwd", "data": [], "fn_index": 0}} if method == "POST" else {}
    answer = client.request(method, path, follow_redirects=False, **content)
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text


@pytest.mark.parametrize(("hole", "origin"), FOREIGN, ids=[row[0] for row in FOREIGN])
def test_no_foreign_page_reaches_the_page_s_own_queue(client, hole, origin):
    body = {"data": [], "fn_index": 0, "session_hash": "x"}
    for path in ("/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/upload"):
        assert client.post(path, json=body, headers={"origin": origin, "host": "127.0.0.1:7860"}).status_code == 403
    answer = client.get("/config", headers={"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


def test_cve_2024_47868_47167_1728_and_2026_49119_no_part_of_the_page_takes_or_gives_a_file(studio):
    from gradio.data_classes import FileData

    from modules.ui.page import build_page

    async def build():
        return build_page(studio)

    blocks = list(asyncio.run(build()).blocks.values())
    assert len(blocks) > 20
    for block in blocks:
        model = getattr(block, "data_model", None)
        assert model is None or not issubclass(model, FileData), block
        kind = type(block).__name__.lower()
        assert not any(word in kind for word in ("file", "image", "upload", "audio", "video", "gallery", "chat")), kind


def test_cve_2024_47167_a_file_named_by_address_in_a_call_of_the_page_is_not_fetched(client, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: asked.append(args))
    monkeypatch.setattr(socket, "create_connection", lambda *args, **more: asked.append(args))
    for place in (METADATA, "https://example.com/a.png", "/etc/passwd"):
        wanted = {"path": place, "url": place, "meta": {"_type": "gradio.FileData"}}
        for number in range(20):
            for data in ([wanted] * 40, [[wanted]], [{"value": {"deep": [wanted]}}]):
                body = {"data": data, "fn_index": number, "session_hash": "x", "event_data": None}
                answer = client.post("/gradio_api/queue/join", json=body)
                assert (answer.status_code, answer.json()) == (422, {"detail": "The page takes no files."})
        body = {"data": [], "event_data": wanted, "fn_index": 0, "session_hash": "x"}
        assert client.post("/gradio_api/queue/join", json=body).status_code == 422
    spelt = b'{"data": [{"p\\u0061th": "x", "m\\u0065ta": {"\\u005ftype": "gradio.FileData"}}], "fn_index": 0}'
    json = {"content-type": "application/json"}
    assert client.post("/gradio_api/queue/join", content=spelt, headers=json).status_code == 422
    assert asked == []


def test_a_call_of_the_page_that_names_no_file_comes_through(client):
    config = client.get("/config").json()
    quiet = next(row for row in config["dependencies"] if row["backend_fn"] and not row["inputs"])
    body = {"data": [], "fn_index": quiet["id"], "session_hash": "x", "event_data": None, "trigger_id": None}
    answer = client.post("/gradio_api/queue/join", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["event_id"]


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/queue/join/", "/gradio_api/cancel"])
def test_calls_of_the_page_are_small_and_json(client, path):
    json = {"content-type": "application/json"}
    assert client.post(path, content=b"{", headers=json).status_code == 422
    assert client.post(path, content=b"[" * 100_000, headers=json).status_code == 422
    assert client.post(path, content=b'"' + b"a" * 5_000_000 + b'"', headers=json).status_code == 413


def test_cve_2023_25823_2024_47867_and_47871_there_is_no_share_tunnel():
    for path in (ROOT / "modules").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert name not in ("launch", "setup_tunnel"), path
                assert not any(word.arg == "share" for word in node.keywords), path


def test_gradio_11162_and_cve_2022_24770_nothing_a_client_says_is_written_as_a_table():
    """No flagging, and no file that a spreadsheet would take for formulas.

    Styles are a table because A1111's are; only an admin writes into it. Experiments give one whose values begin no
    formula. Lists of words are written the same way, which are no file.
    """
    tables = {
        ROOT / "modules" / name for name in ("prompts/styles.py", "experiments/results.py", "support/word_lists.py")
    }
    assert [harmless(word) for word in ("=1+1", "@a", "a cat")] == ["'=1+1", "'@a", "a cat"]
    for path in (ROOT / "modules").rglob("*.py"):
        text = path.read_text("utf-8")
        assert "csv.writer" not in text or path in tables, path
        assert "flagging" not in text, path
        assert "gr.load(" not in text, path


def test_ghsa_hmx6_and_cve_2024_47869_an_unknown_name_takes_as_long_as_a_wrong_password(monkeypatch):
    kept, asked = hash_password(PASSWORD), []
    plain = secrets.hasher()

    class Watched:
        def verify(self, stored, password):
            asked.append(stored)
            return plain.verify(stored, password)

        def hash(self, password):
            return plain.hash(password)

    monkeypatch.setattr(secrets, "hasher", Watched)
    assert not password_fits(kept, "another word")
    assert not password_fits(None, "another word")
    assert not password_fits(None, PASSWORD)
    assert len(asked) == 3
    assert {text.split("$")[3] for text in asked} == {kept.split("$")[3]}
    assert password_fits(kept, PASSWORD)


def test_cve_2023_6572_the_page_s_description_says_nothing_of_the_machine(client, studio):
    told = client.get("/config").text
    for hidden in (str(studio.paths.data), str(ROOT), "/tmp", "argon2", "api_auth"):
        assert hidden not in told
