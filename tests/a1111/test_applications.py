"""Addresses that extensions add when the server starts: where they answer, who may ask, and what they cannot take."""

from __future__ import annotations

import shutil
import threading
import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.api.app import add_api
from tests.a1111.conftest import put

SERVED = """
import time
from pathlib import Path
from fastapi import Body, FastAPI, Response
from modules import script_callbacks

SEEN = []


def start(page, app: FastAPI):
    SEEN.append(page)

    @app.get("/haze/v1/version")
    async def version(loud: bool = False):
        return {"version": "1!" if loud else "1", "page": repr(SEEN)}

    @app.post("/haze/v1/twice")
    def twice(number: int = Body(embed=True)):
        return number * 2

    @app.get("/haze/v1/who")
    async def who(response: Response):
        from starlette.requests import Request
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.set_cookie("session", "mine")
        return 1

    @app.get("/haze/v1/slow")
    async def slow(begun: str, over: str):
        Path(begun).touch()
        while not Path(over).exists():
            time.sleep(0.01)
        return "slow"

    @app.get("/haze/v1/broken")
    async def broken():
        raise KeyError("x")

    for taken in ("/", "/sdapi/v1/samplers", "/studio/studio.js", "/api/v1/jobs"):
        app.add_api_route(taken, lambda: "taken")


script_callbacks.on_app_started(start)
"""


@pytest.fixture(scope="module")
def served(legacy_studio):
    """A server of the studio that had started when the extension came."""
    folder = legacy_studio.paths.data.parent
    app = FastAPI()
    add_api(app, legacy_studio)
    legacy_studio.scripts.open("the page")
    put(folder, "haze/scripts/haze.py", SERVED)
    legacy_studio.scripts.refresh()
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as client:
        yield client
    shutil.rmtree(folder / "extensions/haze")
    legacy_studio.scripts.refresh()


def test_they_answer_at_their_own_addresses_with_their_own_words(served):
    answer = served.get("/haze/v1/version", params={"loud": "true"}).json()
    assert answer == {"version": "1!", "page": "['the page']"}
    assert served.post("/haze/v1/twice", json={"number": 4}).json() == 8
    assert served.post("/haze/v1/twice", json={"number": "x"}).status_code == 422
    assert served.get("/haze/v1/nothing").status_code == 404


def test_what_is_the_studios_stays_the_studios(served):
    assert served.get("/sdapi/v1/samplers").json() != "taken"
    assert served.get("/").text != '"taken"'
    assert served.get("/studio/studio.js").text != '"taken"'
    assert served.get("/api/v1/jobs").json() != "taken"
    headers = served.get("/haze/v1/who").headers
    assert "access-control-allow-origin" not in headers
    assert "set-cookie" not in headers
    assert headers["x-content-type-options"] == "nosniff"


def test_one_that_blocks_holds_nobody_up_and_one_that_raises_is_named(served, legacy_studio, tmp_path):
    begun, over = tmp_path / "begun", tmp_path / "over"
    said = {"begun": str(begun), "over": str(over)}
    slow = threading.Thread(target=lambda: served.get("/haze/v1/slow", params=said))
    slow.start()
    while not begun.exists():
        time.sleep(0.01)
    assert served.get("/haze/v1/version").status_code == 200
    assert slow.is_alive()
    over.touch()
    slow.join()
    answer = served.get("/haze/v1/broken")
    assert answer.status_code == 500
    assert "The extension haze failed: KeyError" in answer.json()["detail"]
    legacy_studio.scripts.switch("haze", "disable")
    assert served.get("/haze/v1/version").status_code == 404
    legacy_studio.scripts.switch("haze", "enable")
    assert served.get("/haze/v1/version").status_code == 200


def test_foreign_pages_and_foreign_names_are_refused(served):
    told = served.post("/haze/v1/twice", json={"number": 4}, headers={"Origin": "https://evil.example"})
    assert told.status_code == 403
    assert served.get("/haze/v1/version", headers={"Host": "evil.example"}).status_code == 403
