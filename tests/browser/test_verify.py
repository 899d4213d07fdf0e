"""Verifying a picture from its details: what the studio answers is what a person reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.browser.conftest import Open, serving
from tests.ui.fakes import fake_studio

pytestmark = pytest.mark.browser
CLOSE = {"largest": 0, "mean": 0.0}
FAR = {"largest": 97, "mean": 4.5}
CHANGE = {"part": "versions.torch", "then": "2.14", "now": "2.15"}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A page over an engine that paints with PIL."""
    yield from pages(tmp_path, api=True)


@pytest.fixture
def address_without_api(tmp_path: Path) -> Iterator[str]:
    yield from pages(tmp_path, api=False)


def pages(folder: Path, *, api: bool) -> Iterator[str]:
    """The page and the API as the server puts them together."""
    from modules.api.app import add_api
    from modules.ui.mount import mount

    studio = fake_studio(folder, lanes=2)
    network = dataclasses.replace(studio.options.network, api=api)
    studio = dataclasses.replace(studio, options=dataclasses.replace(studio.options, network=network))
    application = FastAPI()
    add_api(application, studio)
    with serving(mount(application, studio)) as place:
        yield place
        studio.close()


def draw(seen: Any) -> str:
    """The id of a picture that is then shown with its details."""
    seen.write("a red circle on a white background")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    return str(seen.page.locator(".thumb").first.get_attribute("data-id"))


@pytest.mark.parametrize(
    ("status", "answer", "label", "line"),
    [
        (200, {"same": True, "alone": CLOSE, "company": CLOSE, "changes": []}, "The same again", "At most 0 of 255"),
        (200, {"same": False, "alone": FAR, "company": FAR, "changes": [CHANGE]}, "Not the same", "was 2.14, is 2.15"),
        (422, {"error": "unsupported_feature", "detail": "It cannot be drawn again."}, "Verify", "cannot be drawn"),
    ],
)
def test_the_verdict_is_told(address: str, visit: Open, status: int, answer: dict, label: str, line: str) -> None:
    asked = []

    def reply(route):
        asked.append((route.request.method, route.request.url))
        route.fulfill(status=status, content_type="application/json", body=json.dumps(answer))

    seen = visit(address)
    seen.page.route("**/verify", reply)
    key = draw(seen)
    seen.page.locator("button.verify").click()
    seen.wait(f"document.querySelector('button.verify').textContent === {json.dumps(label)}")
    assert line in seen.page.locator(".verdict").inner_text()
    assert [method for method, _ in asked] == ["POST"]
    assert asked[0][1].endswith(f"/api/v1/pictures/{key}/verify")
    if answer.get("same"):
        seen.shoot("verified")


def test_page_api_and_engine_together(address: str, visit: Open) -> None:
    seen = visit(address)
    draw(seen)
    with seen.page.expect_response("**/verify") as caught:
        seen.page.locator("button.verify").click()
    assert (caught.value.status, caught.value.json()["same"]) == (200, True)
    seen.wait("document.querySelector('button.verify').textContent === 'The same again'")
    assert "At most 0 of 255 off, alone and in company." in seen.page.locator(".verdict").inner_text()
    assert seen.complaints == []


def test_without_the_api_there_is_no_button_for_it(address_without_api: str, visit: Open) -> None:
    seen = visit(address_without_api)
    draw(seen)
    seen.page.get_by_role("button", name="Use these settings").wait_for()
    assert seen.page.locator("button.verify").count() == 0
    assert seen.complaints == []
