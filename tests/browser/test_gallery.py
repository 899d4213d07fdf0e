"""The Gallery in a real browser: pictures are found, seen, marked, taken away and back, and sent to Create."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import insert, select

from modules.call_queue.database import open_database
from modules.contracts.request import OutputParams
from modules.contracts.result import Picture
from modules.outputs.store import DiskPictureStore
from modules.outputs.tables import PICTURES
from tests.browser.conftest import PHONE, Open, serving
from tests.ui.fakes import fake_studio, paint

pytestmark = pytest.mark.browser
PAIRS = "Steps: 9, Sampler: Euler a, CFG scale: 6, Seed: {seed}, Size: 128x96, Model: {model}"
SAID = "{prompt}\nNegative prompt: text\n" + PAIRS
COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "pink")
SHAPES = ("circle", "square", "triangle", "star")
MANY = 3000
"""Rows of a gallery that is scrolled; their thumbnails are all of one file."""


@dataclass
class Museum:
    """The running server and its gallery."""

    address: str
    store: DiskPictureStore

    def ids(self) -> list[str]:
        return [row.id for row in self.store.list(limit=1000)]


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Museum]:
    """Twenty eight pictures of two models, over an API and a page."""
    from modules.api.app import add_api
    from modules.ui.mount import mount

    home = tmp_path_factory.mktemp("museum")
    studio = fake_studio(home)
    store = DiskPictureStore(open_database(home / "gallery.sqlite3"), home / "outputs", studio.settings)
    prompts = [f"a {colour} {shape} on a white background" for shape in SHAPES for colour in COLOURS]
    for number, prompt in enumerate(prompts):
        model = "pocket" if number % 3 else "big"
        said = SAID.format(prompt=prompt, seed=500 + number, model=model)
        image = paint(prompt, 128, 96, number)
        one = Picture(0, image, 500 + number, -1, prompt, "text", said, {"seed": 500 + number, "prompt": prompt}, None)
        store.save(one, job_id=f"job{number}", owner="local", output=OutputParams())
    studio = replace(studio, pictures=store)
    app = FastAPI()
    add_api(app, studio)
    with serving(mount(app, studio)) as address:
        yield Museum(address, store)
        studio.close()


def cells(seen: Any) -> int:
    return int(seen.page.locator(".cell[data-id]").count())


def counted(seen: Any, number: str) -> None:
    seen.wait(f"document.querySelector('.bar-of-gallery .count b')?.textContent === '{number}'")


def opened(visit: Open, museum: Museum, **options: Any) -> Any:
    seen = visit(f"{museum.address}/#gallery", **options)
    counted(seen, "28")
    images = "[...document.querySelectorAll('.cell img')]"
    seen.wait(f"{images}.length > 8 && {images}.every((image) => image.complete && image.naturalWidth)")
    return seen


def test_found_looked_at_marked_and_sent_to_create(museum: Museum, visit: Open) -> None:
    seen = opened(visit, museum)
    page, newest = seen.page, museum.ids()
    seen.shoot("gallery")
    # By words, and by what the facets offer.
    page.fill(".search", "red STAR")
    counted(seen, "1")
    page.fill(".search", "")
    counted(seen, "28")
    page.select_option("select[aria-label=Model]", "big")
    counted(seen, "10")
    page.get_by_role("button", name="Show everything").click()
    counted(seen, "28")
    # Looked at: walked with arrows, enlarged, marked with F.
    page.locator(".cell .pic").first.click()
    seen.wait("document.querySelector('.gallery-viewer .frame img').naturalWidth === 128")
    page.keyboard.press("ArrowRight")
    page.get_by_text("2 / 28").wait_for()
    page.keyboard.press("+")
    assert "scale(1.4)" in page.locator(".gallery-viewer .frame img").get_attribute("style")
    page.keyboard.press("0")
    page.keyboard.press("f")
    page.get_by_role("button", name="No favourite").wait_for()
    assert museum.store.get(newest[1]).marks.favourite
    assert page.locator(".gallery-viewer dd", has_text="Euler a").count() == 1
    seen.shoot("gallery-viewer")
    # Delete and undo.
    page.keyboard.press("Delete")
    page.get_by_text("2 / 27").wait_for()
    assert newest[1] not in museum.ids()
    page.get_by_role("button", name="Undo").click()
    counted(seen, "28")
    assert museum.ids() == newest
    page.keyboard.press("Escape")
    page.locator("button.chip.favourite").click()
    counted(seen, "1")
    page.get_by_role("button", name="Show everything").click()
    counted(seen, "28")
    # Some settings only, then all of them.
    write = "document.querySelector('#txt2img_{} {}').value"
    page.locator(".cell .pic").first.click()
    page.get_by_text("Use only some of its settings").click()
    page.get_by_role("button", name="Prompt", exact=True).click()
    page.get_by_role("button", name="Seed", exact=True).click()
    page.get_by_role("button", name="Use only these").click()
    seen.wait(f"{write.format('seed', 'input')} === '527'")
    assert page.input_value("#txt2img_prompt textarea") == ""
    page.go_back()
    seen.wait("document.body.dataset.room === 'gallery'")
    page.locator(".cell .pic").first.click()
    page.get_by_role("button", name="Use these settings").last.click()
    seen.wait(f"{write.format('prompt', 'textarea')} === 'a pink star on a white background'")
    seen.wait(f"{write.format('steps', 'input[type=number]')} === '9'")
    # An address of one picture.
    page.evaluate("id => { location.hash = `#gallery/${id}`; }", newest[20])
    page.get_by_text("21 / 28").wait_for()
    assert page.evaluate("location.hash") == "#gallery"
    assert seen.complaints == []
    assert seen.strangers() == []


def test_several_are_packed_deleted_and_put_back(museum: Museum, visit: Open, tmp_path: Path) -> None:
    seen = opened(visit, museum, color_scheme="dark")
    page, newest = seen.page, museum.ids()
    page.locator(".cell .pic").nth(1).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    seen.wait("document.querySelector('.tray b').textContent === '3'")
    seen.shoot("gallery-selection-dark")
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download").click()
    caught.value.save_as(tmp_path / "pictures.zip")
    with zipfile.ZipFile(tmp_path / "pictures.zip") as archive:
        assert len(archive.namelist()) == 3
        assert archive.read(archive.namelist()[0]) == museum.store.read(newest[1])
    page.locator(".tray").get_by_role("button", name="Delete", exact=True).click()
    counted(seen, "25")
    assert museum.ids() == [newest[0], *newest[4:]]
    page.locator("button.chip.binned").click()
    counted(seen, "3")
    for at in (0, 1):
        page.locator(".cell .pic").nth(at).click(modifiers=["Control"])
    page.get_by_role("button", name="Put back").click()
    counted(seen, "1")
    page.get_by_role("button", name="Empty the bin").click()
    page.get_by_role("button", name="Really delete?").click()
    page.get_by_role("heading", name="The bin is empty").wait_for()
    seen.shoot("gallery-bin-empty")
    assert len(museum.ids()) == 27
    assert museum.store.get(newest[3]) is None
    one = museum.store.get(newest[4])
    again = Picture(0, paint("a blue star", 128, 96, 3), 503, -1, "a blue star", "", one.infotext, {}, None)
    museum.store.save(again, job_id="again", owner="local", output=OutputParams())
    assert seen.complaints == []


def test_a_phone_has_three_columns_and_reaches_everything(museum: Museum, visit: Open) -> None:
    seen = opened(visit, museum, **PHONE)
    page = seen.page
    left = page.evaluate("[...document.querySelectorAll('.cell')].map((cell) => cell.getBoundingClientRect().left)")
    assert len({round(x) for x in left}) == 3
    wide, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= window
    small = page.evaluate(
        "[...document.querySelectorAll('.atelier-room.atelier-gallery :is(button, select, input)')].filter((node) => "
        "node.offsetParent && (node.offsetHeight < 40 || node.offsetWidth < 40)).map((node) => node.outerHTML)"
    )
    assert small == []
    seen.shoot("gallery-phone")
    page.locator(".cell .pic").first.tap()
    seen.wait("document.querySelector('.gallery-viewer .frame img').naturalWidth === 128")
    seen.shoot("gallery-phone-viewer")
    page.get_by_role("button", name="Next").tap()
    page.get_by_text("2 / 28").wait_for()
    page.get_by_role("button", name="Close").tap()
    assert seen.complaints == []


def test_very_many_are_scrolled_with_few_elements(museum: Museum, visit: Open) -> None:
    with museum.store._engine.begin() as connection:
        row = connection.execute(select(PICTURES).order_by(PICTURES.c.number)).first()._mapping
        fresh = [
            {**row, "number": None, "id": f"{number:024x}", "job_id": f"many{number}", "owner": "local"}
            for number in range(MANY)
        ]
        connection.execute(insert(PICTURES), [{k: v for k, v in one.items() if k != "number"} for one in fresh])
    seen = visit(f"{museum.address}/#gallery")
    counted(seen, f"{MANY + 28:,}")
    page = seen.page
    page.evaluate("scrollTo(0, document.querySelector('.cells').offsetHeight / 2)")
    seen.wait("[...document.querySelectorAll('.cell')].every((cell) => cell.dataset.id) && "
              "[...document.querySelectorAll('.cell')].some((cell) => Number(cell.dataset.index) > 1400)")  # fmt: skip
    assert cells(seen) < 200
    page.keyboard.press("End")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    seen.wait(f"document.querySelector('.cell[data-index=\"{MANY + 27}\"]')?.dataset.id")
    assert page.locator(f".cell[data-index='{MANY + 27}']").get_attribute("data-id") == museum_oldest(museum)
    pages = [address for address in seen.asked if "/api/v1/pictures?" in address]
    assert len(pages) < 12
    assert seen.complaints == []


def museum_oldest(museum: Museum) -> str:
    with museum.store._engine.connect() as connection:
        return str(connection.execute(select(PICTURES.c.id).order_by(PICTURES.c.number)).scalar())
