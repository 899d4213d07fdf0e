"""A ControlNet unit on the page, in a real browser: its picture, the preview, and the job that comes out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from modules.contracts.controls import ControlEntry
from tests.browser.conftest import Open
from tests.browser.test_page import IDLE, Stage, stage, theatre

__all__ = ["stage", "theatre"]

pytestmark = pytest.mark.browser
UNIT = "#txt2img_controlnet_ControlNet-0_"


def test_a_picture_is_chosen_previewed_and_sent_with_the_job(stage: Stage, visit: Open, tmp_path: Path) -> None:
    image = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(image).ellipse((40, 20, 120, 100), fill="black")
    image.save(tmp_path / "disc.png")
    stage.studio.controls.models = lambda: (ControlEntry("edges", tmp_path, "controlnet", "sd15"),)
    seen = visit(stage.address)
    seen.write("a red circle")
    seen.page.locator("#txt2img_controlnet > button").click()
    seen.page.locator(f"{UNIT}input_image input[type=file]").set_input_files(tmp_path / "disc.png")
    seen.wait(f"document.querySelector('{UNIT}input_image img').naturalWidth === 160")
    for field, word in (("module", "canny"), ("model", "edges")):
        choice = seen.page.locator(f"{UNIT}controlnet_{field} input")
        choice.click()
        seen.page.get_by_role("option", name=word, exact=True).click()
    seen.page.locator(f"{UNIT}preview").click()
    seen.wait(f"document.querySelectorAll('{UNIT}input_image img')[1].naturalWidth > 100")
    seen.page.locator(f"{UNIT}controlnet_enabled input").check()
    seen.shoot("control")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    (unit,) = stage.engine.requests[-1].control.units
    assert (unit.enabled, unit.module, unit.model) == (True, "canny", "edges")
    assert Image.open(io.BytesIO(unit.image)).size == (160, 120)
    seen.page.locator(f"{UNIT}input_image button").click()
    seen.wait(f"document.querySelector('{UNIT}input_image img').hidden")
    assert seen.complaints == []
    assert seen.strangers() == []
