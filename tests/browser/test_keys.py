"""Keys of the whole page, sound and notification, in a real browser: what a person without a mouse does all day."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from modules.support.studio import Studio
from tests.browser.conftest import PHONE, Open, Visit, serving
from tests.ui.fakes import FakeEngine, fake_studio

pytestmark = pytest.mark.browser
IDLE = "!document.body.classList.contains('atelier-busy')"
PROMPT = "#txt2img_prompt textarea"
KEPT = "atelier-prompts:local:txt2img_prompt"
WEIGHTS = [
    # Selected, or the word at the cursor; steps of a tenth; no brackets at one.
    ("a [red] circle", "Up", "a ([red]:1.1) circle"),
    ("a r|ed circle", "Up", "a ([red]:1.1) circle"),
    ("a [red ]circle", "Down", "a ([red]:0.9) circle"),
    ("a ([red]:1.1) circle", "Down", "a [red] circle"),
    ("a (re|d:1.1) circle", "Up", "a ([red]:1.2) circle"),
    ("a (red, bl|ue:1.9)", "Up", "a ([red, blue]:2.0)"),
    ("(red:0.1|)", "Down", "([red]:0.0)"),
    ("([red]:0.0)", "Down", "([red]:-0.1)"),
    # Brackets without a number count for 1.1 each.
    ("((re|d))", "Up", "([red]:1.3)"),
    ("(re|d)", "Down", "[red]"),
    ("\\(red|\\) star", "Up", "\\(([red]:1.1)\\) star"),
    # Of networks by a twentieth.
    ("x <lora:bo|ld:0.8>", "Up", "x <[lora:bold]:0.85>"),
    ("x <lora:bo|ld:1>", "Down", "x <[lora:bold]:0.95>"),
    ("<lora:bo|ld>", "Up", "<lora:bo|ld>"),
    ("one, | two", "Up", "one, | two"),
]
"""Before, key, after. `|` is the cursor, `[` and `]` are the ends of the selection."""
EARS = """
  window.heard = { notes: 0, notices: [], asked: 0 };
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...when) { window.heard.notes += 1; return start.apply(this, when); };
  window.Notification = class {
    static permission = "default";
    static async requestPermission() {
      window.heard.asked += 1;
      return (window.Notification.permission = localStorage.getItem("refuses") ? "denied" : "granted");
    }
    constructor(title, { body }) { window.heard.notices.push(body); }
  };
  document.hasFocus = () => !window.looksAway;
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FakeEngine, Studio]]:
    from modules.api.app import add_api
    from modules.ui.mount import mount

    engine = FakeEngine()
    studio = fake_studio(tmp_path_factory.mktemp("studio"), engine)
    app = FastAPI(title="Atelier")
    add_api(app, studio)
    with serving(mount(app, studio)) as address:
        yield address, engine, studio
        studio.close()


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def place(marked: str) -> tuple[str, int, int]:
    """Text, and both ends of the selection."""
    if "|" in marked:
        at = marked.index("|")
        return marked.replace("|", ""), at, at
    start = marked.index("[")
    end = marked.index("]") - 1
    return marked.replace("[", "").replace("]", ""), start, end


def written(seen: Visit) -> tuple[str, int, int]:
    text, start, end = seen.page.eval_on_selector(PROMPT, "(f) => [f.value, f.selectionStart, f.selectionEnd]")
    return text, start, end


def draw(seen: Visit, prompt: str, number: int) -> None:
    """Ask by key, and wait for that picture."""
    seen.write(prompt)
    seen.page.press(PROMPT, "Control+Enter")
    seen.wait(f"document.querySelectorAll('.thumb').length === {number}")
    seen.wait(IDLE)


def test_words_are_weighed_prompts_come_back_and_jobs_stop_by_key(
    house: tuple[str, FakeEngine, Studio], visit: Open
) -> None:
    address, engine, studio = house
    seen = visit(address)
    page = seen.page
    page.wait_for_selector(".pill.ready")
    for before, key, after in WEIGHTS:
        text, start, end = place(before)
        seen.write(text)
        page.eval_on_selector(PROMPT, f"(f) => f.setSelectionRange({start}, {end})")
        page.press(PROMPT, f"Control+Arrow{key}")
        assert written(seen) == place(after), before
    # The field's own undo knows of it.
    seen.write("a red circle")
    page.eval_on_selector(PROMPT, "(f) => f.setSelectionRange(3, 3)")
    page.press(PROMPT, "Control+ArrowUp")
    page.press(PROMPT, "Control+z")
    assert page.input_value(PROMPT) == "a red circle"

    # Square brackets and bars that say when are not weights.
    seen.write("[cat:dog:0.5]")
    page.eval_on_selector(PROMPT, "(f) => f.setSelectionRange(2, 2)")
    page.press(PROMPT, "Control+ArrowUp")
    assert page.input_value(PROMPT) == "[(cat:1.1):dog:0.5]"

    # Prompts that were drawn from come back by key, each once, and the one being written is not lost.
    for number, prompt in enumerate(("a red circle", "a blue star", "a red circle"), 1):
        draw(seen, prompt, number)
    assert [request.prompt.text for request in engine.requests] == ["a red circle", "a blue star", "a red circle"]
    seen.write("half a thou")
    shown = []
    for key in ("Up", "Up", "Up", "Down", "Down", "Down"):
        page.press(PROMPT, f"Alt+Arrow{key}")
        shown.append(page.input_value(PROMPT))
    assert shown == ["a red circle", "a blue star", "a blue star", "a red circle", "half a thou", "half a thou"]
    page.evaluate(f"localStorage.setItem('{KEPT}', JSON.stringify([...Array(100).keys()].map(String)))")
    draw(seen, "a red circle", 4)
    kept = json.loads(page.evaluate(f"localStorage.getItem('{KEPT}')"))
    assert (kept[0], kept[-1], len(kept)) == ("a red circle", "98", 100)

    # Esc closes what lies in front, and stops the job only where nothing does.
    engine.hold.clear()
    engine.hold_from = 5
    page.press(PROMPT, "Control+Enter")
    seen.wait("document.querySelector('.bar').getAttribute('aria-valuenow') === '20'")
    page.locator(".thumb").first.focus()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    assert studio.queue.pending() == 1
    page.keyboard.press("Escape")
    until(lambda: studio.queue.pending() == 0)
    assert studio.queue.list(limit=1)[0].state == "cancelled"
    assert len(engine.requests) == 5
    engine.hold.set()
    seen.wait(IDLE)

    # A question mark is a letter where somebody writes. Generate does not happen out of sight.
    page.press(PROMPT, "?")
    assert page.locator("dialog").count() == 0
    assert page.input_value(PROMPT).endswith("?")
    page.locator("#tab_queue-button").click()
    page.wait_for_selector(".job")
    page.locator("#tab_queue-button").press("Control+Enter")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.get_by_text("On the grip of a job that waits").wait_for()
    assert dialog.get_by_text("Generate").count() == 0
    page.keyboard.press("?")
    page.locator("dialog").wait_for(state="detached")
    assert len(engine.requests) == 5
    for room in ("edit", "txt2img"):
        page.evaluate(f"window.atelierRooms.go('{room}')")
        page.get_by_role("button", name="Keys", exact=True).click()
        page.get_by_role("dialog", name="Keys").wait_for()
        seen.shoot(f"keys-{room}")
        page.keyboard.press("Escape")
    assert seen.complaints == []


def test_a_sound_and_a_notification_for_those_who_want_them(house: tuple[str, FakeEngine, Studio], visit: Open) -> None:
    address, _, studio = house
    seen = visit("about:blank", **PHONE)
    page = seen.page
    page.add_init_script(EARS)
    page.goto(address)
    page.wait_for_selector(".pill.ready")
    drawn = studio.pictures.count()
    seen.wait(f"document.querySelectorAll('.thumb').length === {drawn}")
    draw(seen, "a red star", drawn + 1)
    assert page.evaluate("window.heard") == {"notes": 0, "notices": [], "asked": 0}

    page.get_by_role("button", name="Sound and notification").click()
    page.get_by_role("checkbox", name="Sound").check()
    assert page.evaluate("window.heard.notes") == 2
    assert page.evaluate("window.heard.asked") == 0
    page.get_by_role("checkbox", name="Notification").check()
    seen.wait("window.heard.notices.length === 1")
    seen.shoot("notices-phone")
    page.keyboard.press("Escape")
    assert page.evaluate("window.heard.asked") == 1

    # Who looks at the page needs no notification; a sound comes at any rate, and both only once.
    draw(seen, "a blue star", drawn + 2)
    assert page.evaluate("[window.heard.notes, window.heard.notices.length]") == [4, 1]
    page.evaluate("window.looksAway = true")
    draw(seen, "a green star", drawn + 3)
    assert page.evaluate("[window.heard.notes, window.heard.notices]") == [
        6,
        ["This is how you will hear of finished pictures.", "Your picture is finished."],
    ]
    seen.write("the impossible")
    page.press(PROMPT, "Control+Enter")
    seen.wait("window.heard.notices.length === 3")
    assert page.evaluate("window.heard.notices[2]") == "This model cannot draw the impossible; ask for something else."

    # The choice stays; where the browser refuses, that is said and nothing is chosen.
    assert seen.complaints == []
    page.evaluate("localStorage.setItem('refuses', 'yes')")
    page.reload()
    page.wait_for_selector(".pill.ready")
    seen.complaints.clear()  # Gradio's of its stream, which the reload cut off
    page.get_by_role("button", name="Sound and notification").click()
    assert page.get_by_role("checkbox", name="Sound").is_checked()
    notice = page.get_by_role("checkbox", name="Notification")
    notice.uncheck()
    notice.click()
    page.get_by_text("The browser forbids notifications of this page. Its own settings can allow them.").wait_for()
    assert not notice.is_checked()
    assert json.loads(page.evaluate("localStorage.getItem('atelier-notices')")) == {"sound": True, "notice": False}
    assert studio.queue.pending() == 0
    assert seen.complaints == []
