"""The page with accounts on: whatever is neither the sign-in nor one of its fixed files wants to know who asks."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.api.app import add_api
from modules.ui.gate import READ_BELOW, READ_EXACT, WRITE_EXACT, passes
from modules.ui.mount import mount
from tests.security.walk import flat, mounts_of
from tests.ui.fakes import fake_studio

PUBLIC = ("/static/", "/assets/", "/svelte/")
"""Files that came with Gradio and are the same for everybody."""
STYLES = {"/theme.css", "/gradio_api/theme.css"}
OURS = {"/favicon.ico", "/manifest.json"}
"""Routes of the page beside Gradio's: name and icon, the same for everybody."""
SIGN_IN = {"", "/"}
"""Leads to the page for it."""
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
STUFF = {"session_hash": "x", "fn_index": 0, "data": [], "event_id": "x", "hash": "x"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    studio = fake_studio(tmp_path_factory.mktemp("studio"), auth=(("ada", "one"),))
    made = FastAPI()
    add_api(made, studio)
    yield mount(made, studio)
    studio.close()


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://127.0.0.1:7860", follow_redirects=False) as made:
        yield made


def gradio_of(app):
    """The mounted Gradio application."""
    (found,) = [route for route in app.router.routes if type(route).__name__ == "Mount" and route.path == ""]
    return found.app


def addresses_of(app):
    """Every address that Gradio has a route for, parts filled in, and all that the gate knows."""
    routes = {getattr(route, "path", "") for route in flat(gradio_of(app).router.routes)}
    filled = {"/".join("x" if part.startswith("{") else part for part in path.split("/")) for path in routes}
    below = {f"{place}x" for place in READ_BELOW}
    return sorted({*filled, *below, *READ_EXACT, *WRITE_EXACT, "/gradio_api/file=/etc/passwd", "/gradio_api/upload"})


def test_no_address_of_gradio_s_tells_a_stranger_anything(app, client):
    addresses = addresses_of(app)
    assert len(addresses) > 30
    assert {"/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/heartbeat/x", "/config"} <= set(addresses)
    for path in sorted({*addresses} - OURS):
        for method in METHODS:
            answer = client.request(method, path or "/", json=STUFF if method == "post" else None)
            known = (method.upper(), path)
            if path in SIGN_IN and method in ("get", "head"):
                assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in"), known
            elif passes(method.upper(), path) and (path.startswith(PUBLIC) or path in STYLES):
                assert answer.status_code in (200, 404, 405), known
            else:
                assert answer.status_code == 401, known


def test_the_application_with_the_page_has_no_other_mount(app):
    assert mounts_of(app) >= {"", "/ws", "/socket.io"}
    outside = {route.path for route in app.router.routes if type(route).__name__ == "Mount"}
    assert outside == {"", "/ws", "/socket.io"}


@pytest.mark.parametrize("path", ["/studio/pictures/x", "/studio/thumbs/x", "/studio/experiments/x/page.html"])
def test_pictures_of_the_page_are_for_whoever_signed_in(client, path):
    assert client.get(path).status_code == 401
    assert client.get(path, auth=("ada", "one")).status_code == 404


def test_pictures_to_edit_are_taken_from_whoever_signed_in(client):
    assert client.post("/studio/given", content=b"x").status_code == 401
    assert client.post("/studio/given", content=b"x", auth=("ada", "one")).status_code == 422
    foreign = {"Origin": "https://elsewhere.example"}
    assert client.post("/studio/given", content=b"x", auth=("ada", "one"), headers=foreign).status_code == 403


def test_whoever_signed_in_gets_the_page_and_what_it_needs(client):
    for path in ("/", "/config", "/gradio_api/app_id", "/theme.css"):
        assert client.get(path, auth=("ada", "one")).status_code == 200, path
    for path in ("/gradio_api/file=/etc/passwd", "/gradio_api/info"):
        assert client.get(path, auth=("ada", "one")).status_code == 404, path
