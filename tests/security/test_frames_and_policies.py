"""Every answer says what a browser may do with it: no page of the studio can be framed or load from elsewhere."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.api.app import add_api
from modules.ui.mount import mount
from tests.ui.fakes import fake_studio

READ = (
    *("/", "/config", "/theme.css", "/gradio_api/startup-events", "/studio/studio.css", "/manifest.json"),
    *("/docs", "/redoc", "/openapi.json", "/sign-in", "/status", "/healthz", "/sdapi/v1/options", "/no-such-thing"),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    studio = fake_studio(tmp_path_factory.mktemp("studio"))
    app = FastAPI()
    add_api(app, studio)
    with TestClient(mount(app, studio), base_url="http://127.0.0.1:7860") as made:
        yield made
    studio.close()


def policy_of(client, path):
    """Directive by name, of the one policy that the answer has."""
    (text,) = client.get(path).headers.get_list("content-security-policy")
    return {part.split()[0]: part.split()[1:] for part in text.split(";") if part.strip()}


@pytest.mark.parametrize("path", READ)
def test_nobody_else_frames_it_or_gives_it_code(client, path):
    policy = policy_of(client, path)
    assert policy["frame-ancestors"] in (["'none'"], ["'self'"])
    words = {word for name, words in policy.items() for word in words if name.endswith("-src")}
    assert words <= {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"} | {
        word for word in words if word.startswith("'sha256-")
    }
    assert policy.get("object-src", policy["default-src"]) == ["'none'"]
    if "sandbox" not in policy:
        assert policy["base-uri"] in (["'none'"], ["'self'"])
        assert policy["form-action"] in (["'none'"], ["'self'"])
        assert set(policy["connect-src"]) <= {"'self'", "data:", "blob:"}
    assert "https:" not in words


def test_files_of_the_page_have_the_policy_as_well(client):
    page = client.get("/").text
    names = {part.split('"')[0] for part in page.split('="./assets/')[1:]}
    assert names
    for name in names:
        assert policy_of(client, f"/assets/{name}")["frame-ancestors"] == ["'self'"]
