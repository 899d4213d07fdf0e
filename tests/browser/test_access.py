"""What other eyes and hands need: every room read by axe-core, light and dark, on a desktop and on a phone."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from modules.call_queue.database import open_database
from modules.contracts.request import CanvasParams, GenerationRequest, OutputParams, PromptParams, SamplingParams
from modules.contracts.result import Picture
from modules.outputs.store import DiskPictureStore
from modules.support.studio import Studio
from tests.browser.conftest import PHONE, Open, Visit, serving
from tests.ui.fakes import FakeEngine, fake_studio, paint

pytestmark = pytest.mark.browser
SAID = "{prompt}\nNegative prompt: text\nSteps: 9, Sampler: Euler a, CFG scale: 6, Seed: {seed}, Size: 128x96"
GRAVE = ("serious", "critical")
STOOD = {
    "txt2img": ".thumb",
    "edit": "#img2maskimg",
    "gallery": ".cell[data-id] img",
    "queue": ".job",
    "settings": ".setting",
}
"""What shows that a room is there."""


def ask(studio: Studio, text: str) -> str:
    request = GenerationRequest(
        prompt=PromptParams(text=text), canvas=CanvasParams(width=128, height=128), sampling=SamplingParams(steps=20)
    )
    return studio.queue.submit(request, "local").id


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A studio in the middle of its work: pictures, a job that failed, one that runs, one that waits. Its address, and
    the id of a picture."""
    from modules.api.app import add_api
    from modules.ui.mount import mount

    home = tmp_path_factory.mktemp("studio")
    engine = FakeEngine(hold_from=11)
    studio = fake_studio(home, engine)
    store = DiskPictureStore(open_database(home / "gallery.sqlite3"), home / "outputs", studio.settings)
    for number, prompt in enumerate(("a red circle", "a blue star", "a green square")):
        said = SAID.format(prompt=prompt, seed=number)
        one = Picture(0, paint(prompt, 128, 96, number), number, -1, prompt, "text", said, {"seed": number}, None)
        store.save(one, job_id=f"job{number}", owner="local", output=OutputParams())
    failed = ask(studio, "the impossible")
    deadline = time.monotonic() + 60
    while studio.queue.get(failed).state != "failed":  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    engine.hold.clear()
    ask(studio, "a yellow triangle")
    ask(studio, "a pink star on a black background")
    app = FastAPI(title="Atelier")
    add_api(app, replace(studio, pictures=store))
    with serving(mount(app, replace(studio, pictures=store))) as address:
        yield address, store.list(limit=1)[0].id
        studio.close()


def grave(seen: Visit, where: str) -> list[str]:
    """Serious and critical faults of what is shown now: rule, element, and what is wrong."""
    axe = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    told = axe.run(seen.page, options={"resultTypes": ["violations"]}).response
    assert len(told["passes"]) > 10, "axe looked at nothing"
    return [
        f"{where}: {fault['id']}: {node['html'][:160]} {node['failureSummary']}"
        for fault in told["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


def unfold(seen: Visit) -> None:
    """Open every section of the form."""
    seen.page.evaluate(
        "document.querySelectorAll('#atelier_settings .label-wrap:not(.open)').forEach((one) => one.click())"
    )
    seen.wait("!document.querySelector('#atelier_settings .label-wrap:not(.open)')")


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_room_has_a_grave_fault(house: tuple[str, str], visit: Open, scheme: str, size: str) -> None:
    address, picture = house
    look: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
    seen = visit(address, **look, **(PHONE if size == "phone" else {}))
    page = seen.page
    seen.wait("document.querySelector('.bar')?.getAttribute('aria-valuenow') === '50'")
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    faults = []
    for room, sign in STOOD.items():
        if room == "edit":
            page.evaluate(f"window.atelierEdit.take('{picture}')")
        else:
            page.evaluate(f"window.atelierRooms.go('{room}')")
        page.wait_for_selector(sign)
        if room == "txt2img" and size == "desktop":
            unfold(seen)
        faults += grave(seen, room)
        seen.shoot(f"access-{room}-{scheme}-{size}")
        # Who wants little motion gets none, whatever file it comes from.
        moving = "document.getAnimations().filter((one) => one.effect.getComputedTiming().activeDuration > 20).length"
        assert page.evaluate(moving) == 0, room
    page.evaluate("window.atelierRooms.go('gallery')")
    page.locator(".cell .pic").first.click()
    page.wait_for_selector(".gallery-viewer[open]")
    faults += grave(seen, "viewer")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sound and notification").click()
    faults += grave(seen, "notices")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    faults += grave(seen, "keys")
    assert faults == []
    assert seen.complaints == []
