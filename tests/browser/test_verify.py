"""Verifying a picture from its details: what the studio answers is what a person reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

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
    from modules.ui.mount import mount

    studio = fake_studio(tmp_path)
    with serving(mount(FastAPI(), studio)) as place:
        yield place
        studio.close()


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
    seen.write("a red circle on a white background")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    key = seen.page.locator(".thumb").first.get_attribute("data-id")
    seen.page.locator("button.verify").click()
    seen.wait(f"document.querySelector('button.verify').textContent === {json.dumps(label)}")
    assert line in seen.page.locator(".verdict").inner_text()
    assert [method for method, _ in asked] == ["POST"]
    assert asked[0][1].endswith(f"/api/v1/pictures/{key}/verify")
    if answer.get("same"):
        seen.shoot("verified")
