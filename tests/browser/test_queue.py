"""The room Queue in a real browser: jobs that wait, run and have ended, on a desktop and on a phone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams
from modules.support.studio import Studio
from tests.browser.conftest import PHONE, Open, Visit, serving
from tests.ui.fakes import FakeEngine, fake_studio

pytestmark = pytest.mark.browser
LONG = "a red star on a blue background, " + "with ever so many words about how it shines and what is around it, " * 4


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


def ask(studio: Studio, text: str, *, batches: int = 1) -> str:
    canvas = CanvasParams(width=128, height=128, batch_count=batches)
    request = GenerationRequest(prompt=PromptParams(text=text), canvas=canvas, sampling=SamplingParams(steps=20))
    return studio.queue.submit(request, "local").id


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def line(studio: Studio) -> list[str]:
    """Jobs that wait, in the order in which they are to start."""
    waiting = studio.queue.list(state="queued", oldest_first=True)
    return sorted((job.id for job in waiting), key=lambda job: studio.queue.progress(job).position)  # type: ignore[union-attr]


def row(seen: Visit, job: str) -> Any:
    return seen.page.locator(f".job[data-id='{job}']")


def test_jobs_are_watched_moved_and_asked_for_again(house: tuple[str, FakeEngine, Studio], visit: Open) -> None:
    address, engine, studio = house
    seen = visit(f"{address}#queue")
    seen.page.wait_for_selector(".kit-empty h3")
    assert seen.page.locator(".kit-summary").inner_text() == "All done"
    seen.shoot("queue-empty")

    # What has ended: one failed with its reason, two done.
    failed, done = ask(studio, "the impossible"), ask(studio, "a green circle on a white background", batches=2)
    until(lambda: studio.queue.get(done).state == "done")  # type: ignore[union-attr]
    engine.hold.clear()
    engine.hold_from = 11
    running = ask(studio, LONG)
    until(lambda: studio.queue.get(running).state == "running")  # type: ignore[union-attr]
    first, second, third = (ask(studio, f"a {colour} square") for colour in ("red", "blue", "yellow"))

    # Pushed: nobody reloads the page.
    row(seen, third).wait_for()
    seen.wait(f"document.querySelector('[data-id=\"{running}\"] .bar').getAttribute('aria-valuenow') === '50'")
    assert row(seen, running).locator(".headline").inner_text() == "Drawing, step 10 of 20"
    seen.wait(f"document.querySelector('[data-id=\"{running}\"] img').naturalWidth === 128")
    why = row(seen, failed).locator(".why").inner_text()
    assert why == "This model cannot draw the impossible; ask for something else."
    seen.wait(f"document.querySelector('[data-id=\"{done}\"] img').naturalWidth > 0")

    # By keyboard, by button and by drag.
    row(seen, third).locator(".grip").focus()
    seen.page.keyboard.press("ArrowUp")
    until(lambda: line(studio) == [first, third, second])
    seen.wait(f"document.activeElement.closest('.job')?.dataset.id === '{third}'")
    row(seen, second).get_by_role("button", name="To the front").click()
    until(lambda: line(studio) == [second, first, third])
    seen.wait(f"document.querySelector('.jobs .job.queued').dataset.id === '{second}'")
    grip = row(seen, second).locator(".grip").bounding_box()
    below = row(seen, third).bounding_box()
    seen.page.mouse.move(grip["x"] + 8, grip["y"] + 8)
    seen.page.mouse.down()
    seen.page.mouse.move(grip["x"] + 8, below["y"] + below["height"] - 4, steps=4)
    seen.shoot("queue-drag")
    seen.page.mouse.up()
    until(lambda: line(studio) == [first, third, second])

    # Held back, named, cancelled.
    row(seen, first).get_by_role("button", name="Hold back").click()
    until(lambda: studio.queue.get(first).details.paused)  # type: ignore[union-attr]
    row(seen, first).get_by_role("button", name="Go on").click()
    until(lambda: not studio.queue.get(first).details.paused)  # type: ignore[union-attr]
    row(seen, done).get_by_role("button", name="Rename").click()
    seen.page.keyboard.type("The green one")
    seen.page.keyboard.press("Enter")
    seen.wait(f"document.querySelector('[data-id=\"{done}\"] .name')?.textContent === 'The green one'")
    row(seen, done).get_by_role("button", name="Bookmark").click()
    until(lambda: studio.queue.get(done).details.bookmarked)  # type: ignore[union-attr]
    row(seen, second).get_by_role("button", name="Cancel").click()
    until(lambda: studio.queue.get(second).state == "cancelled")  # type: ignore[union-attr]
    seen.page.get_by_role("button", name="Pause the queue").click()
    until(lambda: studio.queue.paused)
    seen.page.locator(".kit-note").wait_for()
    seen.page.mouse.move(5, 5)
    seen.shoot("queue")
    seen.page.click("[aria-label='Switch between light and dark']")
    seen.shoot("queue-dark")
    seen.page.click("[aria-label='Switch between light and dark']")

    # Another device shows the same job, with its preview, while it runs.
    phone = visit(f"{address}#queue", **PHONE)
    phone.wait(f"document.querySelector('[data-id=\"{running}\"] img')?.naturalWidth === 128")
    wide, high = phone.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= high
    small = phone.page.evaluate(
        "[...document.querySelectorAll('.atelier-queue button')].filter((node) => node.offsetParent && "
        "(node.offsetHeight < 40 || node.offsetWidth < 40)).map((node) => node.outerHTML.slice(0, 120))"
    )
    assert small == []
    phone.shoot("queue-phone", full_page=True)

    seen.page.get_by_role("button", name="Let the queue go on").click()
    until(lambda: not studio.queue.paused)
    row(seen, running).get_by_role("button", name="Stop").click()
    until(lambda: studio.queue.get(running).state == "cancelled")  # type: ignore[union-attr]
    engine.hold.set()
    phone.page.locator(f".job.done[data-id='{third}']").wait_for()
    assert phone.complaints == []
    phone.page.context.close()

    # What came out, its settings, and the same again.
    row(seen, done).locator(".look").click()
    seen.page.locator("dialog.kit-pictures .strip .thumb").nth(1).click()
    seen.wait("document.querySelector('dialog.kit-pictures .large').naturalWidth === 128")
    seen.shoot("queue-pictures")
    seen.page.locator("dialog").get_by_role("button", name="Use these settings").click()
    seen.wait("document.body.dataset.room === 'txt2img'")
    seen.wait("document.querySelector('#txt2img_prompt textarea').value === 'a green circle on a white background'")
    seen.page.locator("#tab_queue-button").click()
    before = len(engine.requests)
    row(seen, done).get_by_role("button", name="Again, with the same seeds").click()
    until(lambda: len(engine.requests) == before + 1)
    assert engine.requests[-1].prompt.text == "a green circle on a white background"

    # The list is cleared, the bookmark stays.
    until(lambda: not studio.queue.pending())
    seen.wait("[...document.querySelectorAll('.job.done img')].filter((image) => image.naturalWidth > 0).length === 4")
    seen.page.get_by_role("button", name="Clear the list").click()
    seen.page.locator("dialog").get_by_role("button", name="Clear").click()
    until(lambda: [job.id for job in studio.queue.list()] == [done])
    seen.wait("document.querySelectorAll('.job').length === 1")
    assert seen.complaints == []
    assert seen.strangers() == []


def test_a_refusal_is_a_sentence_in_the_room_and_guests_are_offered_less(tmp_path: Path, visit: Open) -> None:
    from modules.api.app import add_api
    from modules.ui.mount import mount

    engine = FakeEngine()
    studio = fake_studio(tmp_path, engine)
    studio.accounts.add_user("ada", "one horse battery", role="admin")
    studio.accounts.add_user("guy", "one horse battery", role="guest")
    app = FastAPI()
    add_api(app, studio)
    with serving(mount(app, studio)) as address:
        engine.hold.clear()
        request = GenerationRequest(
            prompt=PromptParams(text="a red circle"), canvas=CanvasParams(width=128, height=128)
        )
        jobs = [studio.queue.submit(request, "guy").id for _ in range(2)]
        seen = visit(address)
        seen.page.get_by_label("Name").fill("guy")
        seen.page.get_by_label("Password").fill("one horse battery")
        seen.page.get_by_role("button", name="Sign in").click()
        seen.page.locator("#tab_queue-button").click()
        row(seen, jobs[1]).wait_for()
        assert seen.page.get_by_role("button", name="Pause the queue").count() == 0
        assert seen.page.get_by_role("button", name="Rename").count() == 0
        assert seen.page.get_by_role("button", name="Clear the list").count() == 0
        # Meanwhile it ended elsewhere, and nobody told this page.
        seen.page.route(
            "**/api/v1/jobs/*/move", lambda route: route.fulfill(status=422, json={"detail": "It is late."})
        )
        row(seen, jobs[1]).get_by_role("button", name="To the front").click()
        said = seen.page.locator(".atelier-queue > .said[role=alert]:not([hidden])")
        said.wait_for()
        assert said.inner_text() == "It is late."
        studio.close()
