"""The Edit room in a real browser: a picture comes in, a mask is painted, a result is compared and kept."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.browser.conftest import PATIENCE, PHONE, Open, Visit
from tests.browser.test_page import IDLE, Stage, stage, theatre

__all__ = ["stage", "theatre"]

pytestmark = pytest.mark.browser
CANVAS = "#img2maskimg"
PICTURE = (192, 128)
COMPARING = "document.querySelector('.atelier-edit').classList.contains('comparing')"
KEPT = "document.querySelector('.atelier-edit').dataset.draft === 'kept'"


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """A picture of which no two places are alike, so that a shift of a pixel shows."""
    image = Image.effect_noise(PICTURE, 40).convert("RGB")
    ImageDraw.Draw(image).ellipse((60, 30, 130, 100), fill=(40, 90, 200))
    image.save(tmp_path / "still.png")
    return tmp_path / "still.png"


class Easel:
    """The room on a page, in pixels of the picture that is edited there."""

    def __init__(self, seen: Visit) -> None:
        self.seen = seen
        self.page = seen.page
        self.wait = seen.wait

    def open(self, path: Path) -> None:
        self.page.set_input_files("#img2img_file", path)
        self.page.wait_for_selector(".atelier-edit.filled")

    def on_page(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the picture is on the page while all of it is shown."""
        box = self.page.locator(CANVAS).bounding_box()
        share = int(self.page.locator(".percent").inner_text().split()[0]) / 100
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        return middle[0] + (x - PICTURE[0] / 2) * share, middle[1] + (y - PICTURE[1] / 2) * share

    def drag(self, *places: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.on_page(*places[0]))
        mouse.down()
        for place in places[1:]:
            mouse.move(*self.on_page(*place), steps=4)
        mouse.up()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def draw(self, prompt: str) -> None:
        """Ask for a result and wait for it."""
        self.seen.write(prompt)
        self.seen.generate()
        self.wait(COMPARING)
        self.wait(IDLE)


def asked(stage: Stage, seen: Visit, press: Callable[[], None]) -> Any:
    """The request that comes of what is pressed; the page may look as if nothing had been asked for a moment more."""
    before, deadline = len(stage.engine.requests), time.monotonic() + PATIENCE / 1000
    press()
    while len(stage.engine.requests) == before:
        assert time.monotonic() < deadline, "no job came of it"
        seen.page.wait_for_timeout(20)
    return stage.engine.requests[-1]


def opened(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_mask_is_painted_and_a_result_compared_kept_and_undone(stage: Stage, visit: Open, still: Path) -> None:
    seen = visit(f"{stage.address}#edit")
    easel = Easel(seen)
    seen.page.wait_for_selector(".atelier-edit .empty h2")
    seen.shoot("edit-empty")
    seen.generate()
    easel.wait("document.querySelector('.atelier-edit .said')?.textContent.includes('no picture to edit yet')")
    easel.open(still)
    assert seen.page.input_value("#txt2img_width input") == "192"
    assert not seen.page.locator("#img2img_mask_blur").is_visible()
    easel.drag((70, 50), (120, 60), (90, 90))
    easel.press("Undo")
    easel.wait("!document.querySelector('.atelier-edit').classList.contains('masked')")
    seen.page.keyboard.press("Control+Shift+Z")
    assert seen.page.locator("#img2img_mask_blur").is_visible()
    seen.page.keyboard.press("r")
    easel.drag((10, 10), (30, 26))
    seen.page.fill("#img2img_denoising_strength input[type=number]", "0.6")
    seen.shoot("edit-masked")
    easel.draw("a red circle")
    request = stage.engine.requests[-1]
    sent = opened(request.image.images[0])
    assert np.array_equal(sent, np.asarray(Image.open(still))), "the picture goes out bit for bit"
    mask = opened(request.inpaint.mask)[..., 0]
    assert mask.shape == sent.shape[:2]
    assert (mask[10:26, 10:30] == 255).all()
    assert (mask[60, 115], mask[110, 180], mask[20, 60]) == (255, 0, 0)
    assert 0.03 < (mask == 255).mean() < 0.4
    assert (request.image.denoising_strength, request.inpaint.only_masked, request.canvas.width) == (0.6, True, 192)
    assert seen.page.locator(".atelier-edit .decide").is_visible()
    easel.drag((96, 64), (40, 64))
    assert int(seen.page.input_value(".compare input")) < 40
    seen.shoot("edit-compared")
    easel.press("Undo result")
    easel.wait(f"!{COMPARING}")
    easel.draw("a blue star")
    easel.press("Keep")
    easel.wait(f"!{COMPARING}")
    easel.draw("a yellow ring")
    (latest,) = list(stage.studio.pictures.rows.values())[-2:-1]
    again = stage.engine.requests[-1]
    assert np.array_equal(opened(again.image.images[0]), opened(stage.studio.pictures.read(latest.id)))
    assert np.array_equal(opened(again.inpaint.mask)[..., 0], mask)
    easel.press("Undo result")
    seen.page.locator(CANVAS).focus()
    seen.page.keyboard.press("Control+z")
    easel.wait(KEPT)
    assert seen.complaints == []
    seen.page.reload()  # which breaks off what Gradio listens to, and it complains of that
    seen.page.wait_for_selector(".atelier-edit.filled.masked")
    request = asked(stage, seen, lambda: easel.draw("a green star"))
    assert np.array_equal(opened(request.image.images[0]), sent), "what was kept is undone, and the draft came back"
    assert np.array_equal(opened(request.inpaint.mask)[..., 0], mask)
    seen.page.click("#tab_txt2img-button")
    seen.page.wait_for_selector("#atelier_room #txt2img_prompt")
    request = asked(stage, seen, seen.generate)
    easel.wait(IDLE)
    easel.wait("document.querySelectorAll('.thumb').length >= 5")
    assert request.image is None, "Create draws from words alone"
    assert seen.strangers() == []


def test_a_phone_sketches_and_grows_a_picture_of_create(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address, **PHONE, color_scheme="dark")
    seen.write("a red circle")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    seen.page.get_by_role("button", name="Edit", exact=True).tap()
    easel = Easel(seen)
    seen.page.wait_for_selector(".atelier-edit.filled")
    easel.press("Colour")
    seen.page.locator(".atelier-edit input[type=color]").fill("#00ff00")
    box = seen.page.locator(CANVAS).bounding_box()
    seen.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    easel.press("Grow the picture beyond its edges")
    seen.page.fill("#img2img_outpaint_right input", "64")
    seen.page.keyboard.press("Tab")
    easel.wait("document.querySelector('.facts').textContent.includes('Grows to 192 × 128')")
    seen.page.locator(".atelier-edit .tools").scroll_into_view_if_needed()
    assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs over the edge"
    seen.shoot("edit-phone")
    easel.draw("a red circle in a long room")
    request = stage.engine.requests[-1]
    picture = opened(request.image.images[0])
    assert tuple(picture[64, 64]) == (0, 255, 0)
    assert tuple(picture[4, 4]) != (0, 255, 0)
    assert (request.outpaint.right, request.outpaint.left, request.inpaint) == (64, 0, None)
    seen.shoot("edit-phone-result")
    assert seen.complaints == []
