"""The status page in a real browser: it renews itself, its policy is kept, and it fits a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams
from tests.api.fakes import Rig
from tests.browser.conftest import PHONE, Open, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, str]]:
    rig = Rig(tmp_path_factory.mktemp("studio"), lanes=2)
    with serving(rig.application()) as address:
        yield rig, f"{address}/status"
    rig.close()


def wish(text: str) -> GenerationRequest:
    return GenerationRequest(prompt=PromptParams(text=text), canvas=CanvasParams(width=64, height=64))


def test_it_renews_itself_without_loading_anew(stage: tuple[Rig, str], visit: Open) -> None:
    rig, address = stage
    rig.engine.hold()
    handles = [rig.queue.submit(wish(f"cat {number}"), "ann") for number in range(4)]
    assert rig.engine.entered.acquire(timeout=20)
    seen = visit(address)
    assert seen.page.locator("progress").count() == 2
    assert seen.page.locator("td", has_text="ann").count() >= 4
    seen.shoot("status-desktop-light", full_page=True)
    seen.page.evaluate("window.marked = 1")
    rig.engine.let_go()
    for handle in handles:
        handle.wait(30)
    # Locators, as the page's policy lets nobody evaluate a string in it.
    seen.page.locator("progress").first.wait_for(state="detached")
    assert seen.page.locator("progress").count() == 0
    assert seen.page.evaluate("window.marked") == 1
    assert seen.complaints == []
    assert seen.strangers() == []


def test_it_says_when_the_studio_is_gone_or_in_trouble(stage: tuple[Rig, str], visit: Open) -> None:
    rig, address = stage
    seen = visit(address, color_scheme="dark", **PHONE)
    rig.status.doubt("A test picture could not be drawn: the device is lost.")
    seen.page.locator("header .bad", has_text="device is lost").wait_for()
    assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it has to fit a phone"
    seen.shoot("status-phone-dark", full_page=True)
    rig.status.doubt(None)
    seen.page.context.set_offline(True)
    seen.page.locator("#when", has_text="does not answer").wait_for()
    seen.page.context.set_offline(False)
    seen.page.locator("#when", has_text="Up for").wait_for()
