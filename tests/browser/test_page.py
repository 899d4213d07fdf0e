"""The page in a real browser, over a studio whose engine paints with PIL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from modules.scripts.desk import ScriptDesk
from modules.scripts.shelf import ScriptShelf
from tests.browser.cable import Cable
from tests.browser.conftest import PHONE, Open, serving
from tests.ui.fakes import FakeEngine, fake_studio

pytestmark = pytest.mark.browser
BUSY = "document.body.classList.contains('atelier-busy')"
IDLE = "!document.body.classList.contains('atelier-busy')"


@dataclass
class Stage:
    """The running server and what stands behind it."""

    address: str
    engine: FakeEngine
    studio: Any
    extensions: Path
    """A folder of extensions, in which there is none."""

    def clear(self) -> None:
        """As after a fresh start."""
        self.engine.seconds_a_step = 0.02
        self.engine.hold_from = 1
        self.engine.hold.set()
        for record in [*self.studio.queue.list(state="running"), *self.studio.queue.list(state="queued")]:
            self.studio.queue.cancel(record.id)
        while self.studio.queue.pending():
            time.sleep(0.02)
        self.engine.requests.clear()
        self.studio.pictures.rows.clear()


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the tests that do not ask for something special."""
    from modules.api.app import add_api
    from modules.ui.mount import mount

    engine = FakeEngine()
    home = tmp_path_factory.mktemp("studio")
    shelf = ScriptShelf([home / "extensions"], [], home)
    studio = replace(fake_studio(home, engine), scripts=ScriptDesk(shelf))
    app = FastAPI(title="Atelier")
    add_api(app, studio)  # its guard and its policies are about the page as well
    with serving(mount(app, studio)) as address:
        yield Stage(address, engine, studio, home / "extensions")
        studio.close()
        shelf.close()


@pytest.fixture
def stage(theatre: Stage) -> Stage:
    theatre.clear()
    return theatre


def test_the_page_stands_without_complaint_and_asks_nobody_else(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.page.wait_for_selector(".empty h2")
    seen.page.wait_for_selector(".pill.ready")
    seen.page.wait_for_load_state("load")
    assert seen.complaints == []
    assert seen.strangers() == []
    assert seen.page.locator(".pill.ready").inner_text() == "Ready"
    assert seen.page.title() == "Atelier"
    seen.shoot("empty")


@pytest.mark.parametrize(("path", "shown"), [("/docs", ".swagger-ui .opblock"), ("/redoc", "[data-section-id]")])
def test_the_readers_of_the_document_stand_within_their_policy(
    stage: Stage, visit: Open, path: str, shown: str
) -> None:
    seen = visit(f"{stage.address}{path}")
    seen.page.wait_for_selector(shown, state="attached")
    # Redoc asks its maker for a logo; that this is not let out is what the policy is for.
    assert [said for said in seen.complaints if "cdn.redoc.ly" not in said] == []


def test_a_prompt_becomes_a_picture_with_its_parameters(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.page.get_by_role("button", name="a red circle on a white background", exact=True).click()
    assert seen.page.input_value("#txt2img_prompt textarea") == "a red circle on a white background"
    seen.page.keyboard.press("Control+Enter")
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    seen.wait("document.querySelector('img.shown').naturalWidth === 128")
    info = seen.page.locator("#html_info_txt2img")
    assert info.locator(".prompt").inner_text() == "a red circle on a white background"
    assert info.locator("div", has_text="Steps").last.locator("dd").inner_text() == "20"
    request = stage.engine.requests[0]
    assert (request.prompt.text, request.canvas.width, request.sampling.steps) == (
        "a red circle on a white background",
        128,
        20,
    )
    assert seen.complaints == []
    seen.shoot("picture")


def test_a_film_is_played_and_a_picture_shown(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    for prompt in ("a red circle", "a blue star"):
        seen.write(prompt)
        seen.generate()
        seen.page.wait_for_selector(f".thumb[title='{prompt}']")
        seen.wait(IDLE)
    film, still = reversed(list(stage.studio.pictures.rows.values()))
    stage.studio.pictures.rows[film.id] = replace(film, media_type="video/mp4")
    seen.page.reload()
    seen.wait(f"document.querySelector('video.shown')?.src.endsWith('{film.id}')")
    assert seen.page.locator("video.shown").is_visible()
    assert not seen.page.locator("img.shown").is_visible()
    seen.page.locator(f".thumb[data-id='{still.id}']").click()
    seen.page.wait_for_selector("img.shown")
    assert not seen.page.locator("video.shown").is_visible()
    assert seen.page.locator("video.shown").get_attribute("src") is None


def test_progress_and_previews_are_pushed_while_it_is_drawn(stage: Stage, visit: Open) -> None:
    stage.engine.hold.clear()
    stage.engine.hold_from = 11
    seen = visit(stage.address)
    seen.write("a blue square on a yellow background")
    seen.generate()
    seen.wait("document.querySelector('.bar').getAttribute('aria-valuenow') === '50'")
    assert seen.page.locator(".headline").inner_text() == "Drawing, step 10 of 20"
    assert seen.page.title() == "50 % · Atelier"
    assert seen.page.locator("img.shown").get_attribute("src").startswith("data:image/jpeg")
    seen.shoot("drawing")
    stage.engine.hold.set()
    seen.wait(IDLE)
    seen.wait("document.querySelector('img.shown').src.includes('studio/pictures/')")


def test_stop_ends_the_job_within_a_step(stage: Stage, visit: Open) -> None:
    stage.engine.hold.clear()
    seen = visit(stage.address)
    seen.write("a green triangle on a black background")
    seen.generate()
    seen.wait(BUSY)
    seen.page.click("#txt2img_interrupt")
    seen.page.wait_for_selector(".notes:not([hidden])")
    assert "Stopped" in seen.page.locator(".notes").inner_text()
    assert stage.studio.queue.list()[0].state == "cancelled"
    assert seen.thumbs() == 0
    assert not seen.page.locator("#txt2img_interrupt").is_visible()


def test_reload_during_a_job_shows_it_again(stage: Stage, visit: Open) -> None:
    stage.engine.hold.clear()
    seen = visit(stage.address)
    seen.write("a pink circle on a blue background")
    seen.generate()
    seen.wait(BUSY)
    seen.page.reload()
    seen.wait(BUSY)
    stage.engine.hold.set()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    assert len(stage.engine.requests) == 1
    assert seen.page.locator("#html_info_txt2img .prompt").inner_text() == "a pink circle on a blue background"


def test_a_lost_line_is_told_and_mended(stage: Stage, visit: Open) -> None:
    stage.engine.hold.clear()
    cable = Cable(int(stage.address.rsplit(":", 1)[1]))
    seen = visit(cable.address)
    seen.write("a red circle on a pink background")
    seen.generate()
    seen.wait(BUSY)
    cable.cut()
    seen.wait("document.querySelector('.headline').textContent.startsWith('Connection lost')")
    stage.engine.hold.set()
    cable.mend()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    assert seen.page.input_value("#txt2img_prompt textarea") == "a red circle on a pink background"
    assert len(stage.engine.requests) == 1
    cable.close()


def test_leaving_the_page_leaves_nobody_listening(stage: Stage, visit: Open) -> None:
    listeners = stage.studio.bus._listeners
    before = len(listeners)  # the server's own, and no page's
    stage.engine.hold.clear()
    seen = visit(stage.address)
    seen.write("a red circle on a white background")
    seen.generate()
    seen.wait(BUSY)
    assert len(listeners) > before
    seen.page.context.close()
    deadline = time.monotonic() + 60
    while len(listeners) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(listeners) == before
    assert stage.studio.queue.pending() == 1


def test_the_form_survives_a_reload(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.write("half a thought")
    seen.page.fill("#txt2img_steps input[type=number]", "33")
    seen.page.reload()
    seen.wait("document.querySelector('#txt2img_prompt textarea')?.value === 'half a thought'")
    seen.wait("document.querySelector('#txt2img_steps input[type=range]')?.value === '33'")
    assert seen.page.input_value("#txt2img_prompt textarea") == "half a thought"
    assert seen.page.input_value("#txt2img_steps input[type=number]") == "33"


def test_an_error_is_one_sentence_and_the_next_try_works(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.write("the impossible")
    seen.generate()
    alert = seen.page.locator(".alert:not([hidden])")
    alert.wait_for()
    assert alert.inner_text() == "This model cannot draw the impossible; ask for something else."
    seen.shoot("error")
    seen.write("a red square on a white background")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    assert not alert.is_visible()


def test_a_value_out_of_bounds_is_named(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.write("a red circle")
    seen.page.fill("#txt2img_steps input[type=number]", "5000")
    seen.generate()
    alert = seen.page.locator(".alert:not([hidden])")
    alert.wait_for()
    assert alert.inner_text() == "Steps is 5000; allowed is 1 to 1000."
    assert stage.engine.requests == []


def test_two_jobs_in_a_row_are_both_shown(stage: Stage, visit: Open) -> None:
    stage.engine.hold.clear()
    seen = visit(stage.address)
    seen.write("a red circle on a white background")
    seen.generate()
    seen.wait(BUSY)
    seen.write("a blue star on a pink background")
    seen.generate()
    seen.wait("document.querySelector('.detail').textContent.includes('1 more waiting')")
    stage.engine.hold.set()
    seen.wait("document.querySelectorAll('.thumb').length === 2")
    seen.wait(IDLE)
    assert seen.page.locator("#html_info_txt2img .prompt").inner_text() == "a blue star on a pink background"


def test_the_settings_of_a_picture_come_back_into_the_form(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.write("a red circle on a white background")
    seen.page.fill("#txt2img_steps input[type=number]", "7")
    seen.page.fill("#txt2img_seed input", "41")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    seen.write("something else")
    seen.page.fill("#txt2img_seed input", "1")
    seen.page.fill("#txt2img_steps input[type=number]", "30")
    seen.page.get_by_role("button", name="Use these settings").click()
    seen.wait("document.querySelector('#txt2img_prompt textarea').value === 'a red circle on a white background'")
    seen.wait("document.querySelector('#txt2img_steps input[type=number]').value === '7'")
    seen.wait("document.querySelector('#txt2img_steps input[type=range]').value === '7'")
    assert seen.page.input_value("#txt2img_seed input") == "41"


def test_an_answer_that_missed_its_stream_still_comes(stage: Stage, visit: Open) -> None:
    """What happens when a click meets the end of the stream before: the new stream is told to close at once."""
    seen = visit(stage.address)
    seen.write("a red circle on a white background")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    seen.page.wait_for_timeout(2500)  # so that the clicks until now have been followed up
    seen.write("something else")
    close = 'data: {"msg": "close_stream", "event_id": null}\n\n'
    seen.page.route(
        "**/queue/data*", lambda route: route.fulfill(body=close, content_type="text/event-stream"), times=1
    )
    seen.page.get_by_role("button", name="Use these settings").click()
    seen.wait("document.querySelector('#txt2img_prompt textarea').value === 'a red circle on a white background'")
    assert seen.page.input_value("#txt2img_prompt textarea") == "a red circle on a white background"


def test_sizes_follow_aspect_model_and_swap(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    width, height = "#txt2img_width input", "#txt2img_height input"
    seen.page.locator("#txt2img_aspect label", has_text="16:9").click()
    seen.wait(f"document.querySelector('{width}').value === '168'")
    assert seen.page.input_value(height) == "96"
    seen.page.click("#txt2img_res_switch_btn")
    seen.wait(f"document.querySelector('{width}').value === '96'")
    seen.wait("document.querySelector('#txt2img_aspect input:checked')?.value === '9:16'")
    seen.page.locator("#setting_sd_model_checkpoint input").click()
    seen.page.get_by_role("option", name="big").click()
    seen.wait(f"document.querySelector('{width}').value === '1024'")
    assert seen.page.input_value("#txt2img_steps input[type=number]") == "30"
    assert seen.page.locator(".chip", has_text="lighthouse").count() == 1


def test_dice_and_reuse_of_the_seed(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.write("a red circle")
    seen.page.fill("#txt2img_seed input", "99")
    seen.generate()
    seen.page.wait_for_selector(".thumb")
    seen.page.click("#txt2img_random_seed")
    seen.wait("document.querySelector('#txt2img_seed input').value === '-1'")
    seen.page.click("#txt2img_reuse_seed")
    seen.wait("document.querySelector('#txt2img_seed input').value === '99'")
    assert seen.page.input_value("#txt2img_seed input") == "99"


def test_the_gallery_is_walked_with_the_keyboard_and_seen_large(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    for prompt in ("a red circle", "a blue square", "a green star"):
        seen.write(prompt)
        seen.generate()
    seen.wait("document.querySelectorAll('.thumb').length === 3")
    seen.wait(IDLE)
    seen.page.locator(".thumb").first.click()
    seen.page.keyboard.press("ArrowRight")
    assert seen.page.locator("#html_info_txt2img .prompt").inner_text() == "a blue square"
    seen.page.locator("img.shown").click()
    seen.page.wait_for_selector("dialog.viewer[open] img")
    seen.page.keyboard.press("ArrowRight")
    assert seen.page.locator("dialog.viewer img").get_attribute("alt") == "a red circle"
    seen.shoot("viewer")
    seen.page.keyboard.press("Escape")
    assert not seen.page.locator("dialog.viewer").is_visible()


def test_a_phone_has_no_sideways_scroll_and_large_targets(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address, **PHONE)
    seen.write("a red circle on a white background")
    seen.page.locator("#txt2img_generate").tap()
    seen.page.wait_for_selector(".thumb")
    seen.wait(IDLE)
    wide, high = seen.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= high
    small = seen.page.evaluate(
        "[...document.querySelectorAll('button, a.act, select')].filter((node) => node.offsetParent && "
        "(node.offsetHeight < 40 || node.offsetWidth < 40)).map((node) => node.outerHTML.slice(0, 120))"
    )
    assert small == []
    seen.shoot("phone", full_page=True)


def test_dark_is_followed_and_can_be_switched(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address, color_scheme="dark")
    seen.page.wait_for_selector(".empty h2")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert seen.page.evaluate(ground) == "rgb(20, 19, 16)"
    seen.shoot("dark")
    seen.page.click("[aria-label='Switch between light and dark']")
    assert seen.page.evaluate(ground) == "rgb(250, 248, 245)"
    seen.page.reload()
    seen.page.wait_for_selector(".empty h2")
    seen.wait(f"{ground} === 'rgb(250, 248, 245)'")


def test_every_control_has_a_name(stage: Stage, visit: Open) -> None:
    seen = visit(stage.address)
    seen.page.wait_for_selector(".empty h2")
    nameless = seen.page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, a')].filter((node) => node.offsetParent && "
        "!(node.innerText || node.textContent || '').trim() && !node.getAttribute('aria-label') && "
        "!node.labels?.length).map((node) => node.outerHTML.slice(0, 160))"
    )
    assert nameless == []


def test_while_the_engine_loads_the_page_says_so_and_the_job_waits(tmp_path: Path, visit: Open) -> None:
    from modules.ui.mount import mount

    engine = FakeEngine()
    studio = fake_studio(tmp_path, engine, ready=False)
    with serving(mount(FastAPI(), studio)) as address:
        seen = visit(address)
        seen.page.wait_for_selector(".pill.busy")
        assert "Loading torch and diffusers" in seen.page.locator(".pill").inner_text()
        seen.write("a red circle on a white background")
        seen.generate()
        seen.wait("document.querySelector('.headline').textContent === 'Waiting for the studio'")
        seen.shoot("loading")
        studio.status.set("ready", "Ready")
        seen.page.wait_for_selector(".thumb")
        seen.page.wait_for_selector(".pill.ready")
        studio.close()


def test_sign_in_separates_people(tmp_path: Path, visit: Open) -> None:
    from modules.api.app import add_api
    from modules.ui.mount import mount

    studio = fake_studio(tmp_path, auth=(("ada", "one"), ("bob", "two")))
    app = FastAPI()
    add_api(app, studio)
    with serving(mount(app, studio)) as address:

        def enter(name: str, password: str) -> Any:
            seen = visit(address)
            seen.page.get_by_label("Name").fill(name)
            seen.page.get_by_label("Password").fill("wrong")
            seen.page.get_by_role("button", name="Sign in").click()
            seen.page.get_by_text("no account").wait_for()
            seen.page.get_by_label("Password").fill(password)
            seen.page.get_by_role("button", name="Sign in").click()
            seen.page.wait_for_selector("#txt2img_generate")
            return seen

        ada = enter("ada", "one")
        ada.shoot("signed-in")
        ada.write("a red circle on a white background")
        ada.generate()
        ada.page.wait_for_selector(".thumb")
        source = ada.page.locator("img.shown").get_attribute("src")
        bob = enter("bob", "two")
        assert bob.thumbs() == 0
        assert bob.page.request.get(source).status == 404
        assert ada.page.request.get(source).status == 200
        assert studio.queue.list()[0].owner == "ada"
        studio.close()


HELLO = """
onUiLoaded(() => { throw new Error("on purpose"); });
onUiLoaded(() => {
  const box = gradioApp().querySelector("#txt2img_prompt textarea");
  box.value = "said by an extension";
  updateInput(box);
  window.order = [...(window.order ?? []), "loaded"];
});
onAfterUiUpdate(() => { window.order = [...(window.order ?? []), "settled"]; });
"""


def test_extensions_bring_scripts_styles_and_words_until_they_are_switched_off(stage: Stage, visit: Open) -> None:
    home = stage.extensions / "hello"
    for path, text in {
        "javascript/hello.js": HELLO,
        "style.css": "#txt2img_generate { outline: 3px solid rgb(1, 2, 3) }",
        "locale/de.json": '{"Generate": "Erzeugen", "Steps": "Schritte"}',
    }.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
    stage.studio.scripts.refresh()
    outline = "getComputedStyle(document.querySelector('#txt2img_generate')).outlineColor"
    seen = visit(stage.address, locale="de-DE")
    seen.wait("window.order?.[0] === 'loaded' && window.order.includes('settled')")
    seen.wait("document.querySelector('#txt2img_generate').textContent.trim() === 'Erzeugen'")
    assert seen.page.input_value("#txt2img_prompt textarea") == "said by an extension"
    assert seen.page.evaluate(outline) == "rgb(1, 2, 3)"
    assert [said for said in seen.complaints if "on purpose" not in said] == []
    assert any("The extension hello failed on the page" in said for said in seen.complaints)
    assert seen.strangers() == []
    stage.studio.scripts.switch("hello", "disable")
    again = visit(stage.address)
    again.page.wait_for_selector(".pill.ready")
    again.page.wait_for_selector("#txt2img_generate")
    again.page.wait_for_load_state("load")
    assert again.page.evaluate("window.order === undefined")
    assert again.page.evaluate(outline) != "rgb(1, 2, 3)"
    assert again.complaints == []
