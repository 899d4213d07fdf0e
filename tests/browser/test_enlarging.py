"""The button that makes a picture larger, in a real browser."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Open
from tests.browser.test_page import IDLE, Stage, stage, theatre

__all__ = ["stage", "theatre"]

pytestmark = pytest.mark.browser


def test_a_picture_is_made_larger_by_its_button(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.write("a red circle")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    seen.page.locator("#extras_tab > button").click()
    factor = seen.page.locator("#extras_upscaling_resize input").first
    factor.fill("3")
    factor.press("Tab")
    seen.page.get_by_role("button", name="Enlarge", exact=True).click()
    seen.wait("document.querySelectorAll('.thumb').length === 2")
    seen.wait("document.querySelector('#html_info_txt2img')?.textContent.includes('384 × 384')")
    seen.shoot("enlarged")
    assert stage.engine.requests[-1].enlarge.scale == 3.0
    assert seen.complaints == []
