"""In a real browser: a picture from elsewhere is dropped on the page and fills the form; pictures are compared."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from modules.call_queue.database import open_database
from modules.contracts.request import OutputParams
from modules.contracts.result import Picture
from modules.outputs.store import DiskPictureStore
from tests.browser.conftest import PHONE, Open, serving
from tests.outputs.test_foreign import INVOKE, SIMPLE, made_png
from tests.ui.fakes import fake_studio, paint

pytestmark = pytest.mark.browser
SAID = "a {colour} circle\nNegative prompt: text\nSteps: 9, Sampler: Euler, CFG scale: 6, Seed: {seed}, Size: 192x128"
COLOURS = ("red", "blue", "green")
GIVE = """([target, kind, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const bag = new DataTransfer();
  bag.items.add(new File([bytes], name, { type }));
  const node = document.querySelector(target);
  const made = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: bag, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: bag, bubbles: true, cancelable: true });
  node.dispatchEvent(made);
  return made.defaultPrevented;
}"""
FIELD = "document.querySelector('#txt2img_{}').value"
SMALL = {key: node for key, node in SIMPLE.items() if key not in ("10", "11", "12")} | {
    "3": {
        "class_type": "KSampler",
        "inputs": {**SIMPLE["3"]["inputs"], "model": ["4", 0], "seed": 77, "sampler_name": "euler"},
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "pocket.safetensors"}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page over the API, and a gallery of three pictures."""
    from modules.api.app import add_api
    from modules.ui.mount import mount

    home = tmp_path_factory.mktemp("recall")
    studio = fake_studio(home)
    store = DiskPictureStore(open_database(home / "gallery.sqlite3"), home / "outputs", studio.settings)
    for number, colour in enumerate(COLOURS):
        said = SAID.format(colour=colour, seed=100 + number)
        one = Picture(0, paint(f"a {colour} circle", 192, 128, number), 1, -1, "", "", said, {"seed": number}, None)
        store.save(one, job_id=f"job{number}", owner="local", output=OutputParams())
    studio = replace(studio, pictures=store)
    app = FastAPI()
    add_api(app, studio)
    with serving(mount(app, studio)) as address:
        yield address
        studio.close()


def give(
    seen: Any, kind: str, data: bytes, *, at: str = "#txt2img_prompt", name: str = "x.png", type: str = "image/png"
) -> bool:
    """Whether the page took it."""
    return bool(seen.page.evaluate(GIVE, [at, kind, name, type, base64.b64encode(data).decode()]))


def ready(visit: Open, address: str, **options: Any) -> Any:
    seen = visit(address, **options)
    seen.wait("window.atelierDropped && document.querySelector('#txt2img_prompt textarea') && window.atelier")
    seen.page.wait_for_selector("#txt2img_generate")
    return seen


def test_a_picture_from_elsewhere_fills_the_form_and_goes_on_to_edit(place: str, visit: Open) -> None:
    seen = ready(visit, place)
    page = seen.page
    assert give(seen, "dragover", b"")
    page.get_by_text("Drop the picture to use its settings").wait_for()
    seen.shoot("recall-veil")
    assert give(seen, "drop", made_png(prompt=SMALL))
    page.get_by_role("heading", name="Its settings are in Create now").wait_for()
    seen.wait(f"{FIELD.format('prompt textarea')} === 'a bottle,\\npurple galaxy'")
    seen.wait(f"{FIELD.format('steps input[type=number]')} === '20'")
    seen.wait(f"{FIELD.format('seed input')} === '77'")
    seen.wait(f"{FIELD.format('height input')} === '768'")
    assert page.locator(".dropped .program").inner_text() == "ComfyUI"
    assert "Schedule type" in page.locator(".dropped .labels").first.inner_text()
    assert page.locator(".drop-veil").is_hidden()
    seen.shoot("recall-comfyui")
    # From another room, by pasting; what cannot be taken over is said.
    page.evaluate("window.atelierRooms.go('gallery')")
    seen.wait("document.querySelectorAll('.cell[data-id]').length === 3")
    assert give(seen, "paste", made_png(invokeai_metadata={**INVOKE, "model": {"name": "pocket"}}), at="body")
    seen.wait(f"{FIELD.format('prompt textarea')} === 'a lighthouse <lora:film grain:0.6>'")
    assert page.evaluate("window.atelierRooms.now()") == "txt2img"
    page.get_by_text("Its ControlNet units cannot be taken over.").wait_for()
    seen.shoot("recall-invokeai")
    # Texts and what is no picture.
    assert give(seen, "drop", b"hello", name="x.txt", type="text/plain")
    page.get_by_role("heading", name="This is no picture").wait_for()
    assert give(seen, "drop", b"hello")
    page.get_by_role("heading", name="This file cannot be read").wait_for()
    assert page.input_value("#txt2img_prompt textarea").startswith("a lighthouse")
    seen.complaints[:] = [said for said in seen.complaints if "422" not in said]
    # Without settings it is still a picture to go on from.
    assert give(seen, "drop", made_png())
    page.get_by_role("heading", name="This picture brings no settings").wait_for()
    page.get_by_role("button", name="Open it in Edit").click()
    seen.wait("document.body.dataset.room === 'edit'")
    assert page.locator(".dropped").is_hidden()
    seen.wait("document.querySelector('#txt2img_width input, #img2img_width input')")
    assert not give(seen, "paste", b"x", at="body", name="x.txt", type="text/plain")
    assert seen.complaints == []
    assert seen.strangers() == []


def test_a_phone_shows_the_card_above_the_button(place: str, visit: Open) -> None:
    seen = ready(visit, place, **PHONE)
    give(seen, "paste", made_png(prompt=SMALL), at="body")
    seen.page.get_by_role("heading", name="Its settings are in Create now").wait_for()
    seen.wait(f"{FIELD.format('prompt textarea')} === 'a bottle,\\npurple galaxy'")
    bottom = "document.querySelector('.dropped').getBoundingClientRect().bottom"
    assert seen.page.evaluate(f"{bottom} <= document.querySelector('#atelier_go').getBoundingClientRect().top")
    seen.shoot("recall-phone")
    seen.page.locator(".dropped").get_by_role("button", name="Close").tap()
    assert seen.page.locator(".dropped").is_hidden()
    assert seen.complaints == []


def test_pictures_are_compared_by_hand_and_by_keys(place: str, visit: Open) -> None:
    seen = visit(f"{place}/#gallery", color_scheme="dark")
    page = seen.page
    seen.wait("document.querySelectorAll('.cell[data-id] img').length === 3")
    page.locator(".cell .pic").first.focus()
    page.keyboard.press("Space")
    assert page.locator(".tray").get_by_role("button", name="Compare").is_hidden()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("c")
    seen.wait("[...document.querySelectorAll('.gallery-compare .stack img')].every((one) => one.naturalWidth === 192)")
    clip = "document.querySelector('.gallery-compare [data-at=right]').style.clipPath"
    assert page.evaluate(clip) == "inset(0px 0px 0px 50%)"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(clip) == "inset(0px 0px 0px 51%)"
    edge = page.locator(".gallery-compare .stack").bounding_box()
    page.mouse.click(edge["x"] + edge["width"] * 0.25, edge["y"] + 40)
    assert page.evaluate(clip) == "inset(0px 0px 0px 25%)"
    assert page.locator(".gallery-compare dd").all_inner_texts() == ["a green circle", "102", "a blue circle", "101"]
    seen.shoot("compare-dark")
    page.locator(".gallery-compare input").focus()
    page.keyboard.press("s")
    assert page.locator(".gallery-compare dd").first.inner_text() == "a blue circle"
    page.keyboard.press("v")
    assert page.locator(".gallery-compare figure").count() == 2
    page.keyboard.press("Escape")
    page.locator(".cell .pick").nth(2).click()
    page.locator(".tray").get_by_role("button", name="Compare").click()
    assert page.locator(".gallery-compare figure").count() == 3
    seen.wait("[...document.querySelectorAll('.gallery-compare figure img')].every((one) => one.naturalWidth === 192)")
    seen.shoot("compare-three")
    page.set_viewport_size({"width": 390, "height": 844})
    wide, window = page.evaluate("[document.querySelector('.gallery-compare .body').scrollWidth, window.innerWidth]")
    assert wide <= window
    page.keyboard.press("Escape")
    page.locator(".cell .pick").nth(2).click(force=True)
    page.locator(".tray").get_by_role("button", name="Compare").click()
    seen.shoot("compare-phone")
    assert seen.complaints == []
