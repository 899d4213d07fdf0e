"""The page of the real server: `python launch.py` with a data folder of its own and the model that ships with it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Open
from tests.e2e.server import Server, running

pytestmark = [pytest.mark.browser, pytest.mark.e2e]
IDLE = "!document.body.classList.contains('atelier-busy')"
PROMPT = "a red circle on a white background"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("real") / "data", "--offline") as started:
        yield started


def draw(seen: Any, prompt: str, seed: int) -> None:
    """Until the picture of that seed is shown; earlier visitors' pictures may come into the gallery meanwhile."""
    seen.write(prompt)
    seen.page.fill("#txt2img_seed input", str(seed))
    seen.generate()
    facts = "[...document.querySelectorAll('#html_info_txt2img dl > div')].map((row) => row.innerText.split(/\\s+/))"
    shown = f"{facts}.some(([key, value]) => key === 'Seed' && value === '{seed}')"
    seen.page.wait_for_function(shown, timeout=120_000)
    seen.wait(IDLE)


def test_first_visit_to_first_download(server: Server, visit: Open) -> None:
    seen = visit(server.url)
    draw(seen, PROMPT, 7)
    info = seen.page.locator("#html_info_txt2img")
    assert info.locator(".prompt").inner_text() == PROMPT
    assert info.locator("div", has_text="Seed").last.locator("dd").inner_text() == "7"
    with seen.page.expect_download() as caught:
        seen.page.get_by_role("link", name="Download").click()
    picture = Image.open(io.BytesIO(Path(caught.value.path()).read_bytes()))
    assert picture.size == (256, 256)
    assert picture.info["parameters"].startswith(PROMPT)
    assert seen.complaints == []
    assert seen.strangers() == []
    seen.shoot("real")


def test_the_recipe_of_a_picture_draws_it_again(server: Server, visit: Open) -> None:
    seen = visit(server.url)
    draw(seen, "a blue square on a yellow background", 11)
    first = seen.page.request.get(seen.page.locator("img.shown").get_attribute("src")).body()
    seen.write("something else")
    seen.page.fill("#txt2img_seed input", "-1")
    seen.page.get_by_role("button", name="Use these settings").click()
    seen.wait("document.querySelector('#txt2img_seed input').value === '11'")
    before = seen.thumbs()
    seen.generate()
    seen.page.wait_for_function(f"document.querySelectorAll('.thumb').length > {before}", timeout=120_000)
    seen.wait(IDLE)
    again = seen.page.request.get(seen.page.locator("img.shown").get_attribute("src")).body()
    assert pixels(first) == pixels(again)


def test_what_is_masked_is_drawn_anew_and_nothing_else(server: Server, visit: Open, tmp_path: Path) -> None:
    given = Image.effect_noise((256, 256), 50).convert("RGB")
    given.save(tmp_path / "given.png")
    seen = visit(f"{server.url}#edit")
    seen.page.wait_for_selector(".atelier-edit .empty h2")
    seen.page.set_input_files("#img2img_file", tmp_path / "given.png")
    seen.page.wait_for_selector(".atelier-edit.filled")
    seen.page.keyboard.press("r")
    box = seen.page.locator("#img2maskimg").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seen.page.mouse.move(middle[0] - 60, middle[1] - 60)
    seen.page.mouse.down()
    seen.page.mouse.move(middle[0] + 60, middle[1] + 60, steps=3)
    seen.page.mouse.up()
    seen.page.fill("#img2img_denoising_strength input[type=number]", "1")
    seen.write("a red square on a red background")
    seen.generate()
    seen.wait("document.querySelector('.atelier-edit').classList.contains('comparing')")
    seen.shoot("edit-real")
    address = seen.page.get_by_role("link", name="Download").last.get_attribute("href")
    drawn = np.asarray(Image.open(io.BytesIO(seen.page.request.get(address).body())).convert("RGB")).astype(int)
    changed = np.abs(drawn - np.asarray(given)).max(axis=-1) > 0
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert drawn.shape == (256, 256, 3)
    assert changed[120:136, 120:136].mean() > 0.9
    assert min(rows[0], columns[0]) > 60, "outside the mask and its soft edge every pixel is as it was"
    assert max(rows[-1], columns[-1]) < 196
    assert seen.complaints == []


def test_pictures_are_still_there_on_another_visit(server: Server, visit: Open) -> None:
    seen = visit(server.url)
    seen.page.wait_for_selector(".thumb")
    assert seen.page.locator("img.shown").is_visible()


def test_the_api_documents_itself_beside_the_page(server: Server, visit: Open) -> None:
    seen = visit(server.url)
    assert seen.page.request.get(f"{server.url}/docs").ok
    assert "/sdapi/v1/txt2img" in seen.page.request.get(f"{server.url}/openapi.json").json()["paths"]


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()
