"""The room System in a real browser: what an admin sees and does there, and what anybody else sees."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from modules.support.recent import Recent
from tests.browser.conftest import PHONE, Open, Visit, serving
from tests.ui.fakes import FakeEngine, fake_studio

pytestmark = pytest.mark.browser
PASSWORD = "one horse battery"
GIB = 2**30
DEVICE = {
    "label": "NVIDIA GPU", "name": "NVIDIA GeForce RTX 4070", "device": "cuda:0", "driver": "driver 570.12, CUDA 12.8",
    "placements": {part: {"device": "cuda:0", "dtype": "bfloat16"} for part in ("denoiser", "text_encoder", "vae")},
    "reasons": ["It is the fastest device that was found.", "bfloat16 computes 3.1 times as fast as float32 here."],
}  # fmt: skip
DOCTOR = {
    "checks": [
        {"what": "System", "says": "Linux-6.8.0-x86_64, 8 processors"},
        {"what": "Packages", "says": "torch 2.15.0, diffusers 0.36.0"},
        {"what": "Hardware", "says": "NVIDIA GPU, NVIDIA GeForce RTX 4070, device cuda:0"},
        {"what": "Hardware", "says": "memory 9.3 GiB free of 12.0"},
    ],
    "findings": [
        {"what": "The extra 'video' is not installed: films as MP4 (PyAV).", "how": "python launch.py --extra video"}
    ],
}
log = logging.getLogger("modules.engine_room")


def enter(visit: Open, address: str, name: str, **options: object) -> Visit:
    seen = visit(address, **options)
    seen.page.get_by_label("Name").fill(name)
    seen.page.get_by_label("Password").fill(PASSWORD)
    seen.page.get_by_role("button", name="Sign in").click()
    seen.page.locator("#tab_system-button").click()
    seen.page.locator(".chart .legend dd").first.wait_for()
    return seen


def test_an_admin_looks_after_the_studio_and_others_see_what_is_theirs(tmp_path: Path, visit: Open) -> None:
    from modules.api.app import add_api
    from modules.ui.mount import mount

    ticks, models, recent = itertools.count(), ["pocket", "sdxl-base-1.0"], Recent(lambda: {"hush-hush": "…"}).listen()

    def memory() -> dict[str, object]:
        used = (3.2 + 0.35 * (next(ticks) % 7)) * GIB
        device = {"free": 12 * GIB - int(used), "used": int(used), "total": 12 * GIB}
        ram = {"free": int(20 * GIB - used / 3), "used": int(2 * GIB + used / 4), "total": 32 * GIB}
        return {"ram": ram, "cuda": {"system": device, "allocated": {"current": int(used * 0.8), "peak": int(used)}}}

    studio = replace(
        fake_studio(tmp_path, FakeEngine()),
        memory_report=memory,
        device_report=lambda: DEVICE,
        engine_report=lambda: {"models": tuple(models)},
        unload_models=models.clear,
        reload_model=lambda: models.append("pocket"),
        versions={"atelier": "0.1.0", "torch": "2.15.0", "diffusers": "0.36.0", "gradio": "6.3.0"},
        recent=recent,
        doctor=lambda: DOCTOR,
    )
    for name, role in (("ada", "admin"), ("guy", "guest")):
        studio.accounts.add_user(name, PASSWORD, role=role)
    app = FastAPI()
    add_api(app, studio)
    for number in range(40):
        log.warning("a line that was written at the start, number %d", number)
    with serving(mount(app, studio)) as address:
        seen = enter(visit, address, "ada")
        page = seen.page
        assert page.locator(".kit-summary").last.inner_text() == "Ready to draw"
        for text in (DEVICE["name"], *DEVICE["reasons"]):
            page.get_by_text(str(text), exact=True).wait_for()
        assert page.locator(".resident li").all_inner_texts() == models
        assert "2.15.0" in page.get_by_role("region", name="Versions").inner_text()

        # Memory moves while somebody looks, and each moment can be read.
        seen.wait("(document.querySelector('.chart .curve.process').getAttribute('d').match(/L/g) || []).length >= 2")
        assert "GiB" in str(page.locator(".chart svg").first.get_attribute("aria-label"))
        page.locator(".chart svg").first.hover(position={"x": 1, "y": 60})
        seen.wait("document.querySelector('.chart .hair').getAttribute('visibility') === 'visible'")
        page.mouse.move(5, 5)

        # The log grows by itself, hides what nobody is to read, and is searched.
        try:
            raise ValueError("no such layer")
        except ValueError:
            log.exception("the token hush-hush was refused")
        line = page.locator(".log li.error")
        line.wait_for()
        assert line.locator(".message").inner_text() == "the token … was refused"
        line.get_by_text("Where it happened").click()
        assert "ValueError: no such layer" in line.locator("pre").inner_text()
        seen.shoot("system", full_page=True)
        page.get_by_label("Search the log").fill("number 17")
        seen.wait("document.querySelectorAll('.log li').length === 1")
        page.get_by_label("Search the log").fill("never said")
        page.get_by_text("No line holds these words.").wait_for()
        page.get_by_label("Search the log").fill("")
        page.get_by_role("button", name="Errors").click()
        seen.wait("document.querySelectorAll('.log li').length === 1")

        # Memory is freed after a question, and the model brought back.
        page.get_by_role("button", name="Free their memory").click()
        page.locator("dialog").get_by_role("button", name="Free it").click()
        page.get_by_text("The memory is free again.").wait_for()
        page.get_by_text("No model is in memory; the next job loads one.").wait_for()
        page.get_by_role("button", name="Load the current model").click()
        seen.wait("document.querySelectorAll('.resident li').length === 1")
        assert models == ["pocket"]

        page.get_by_role("button", name="Examine this machine").click()
        page.get_by_text("python launch.py --extra video").wait_for()
        page.click("[aria-label='Switch between light and dark']")
        seen.shoot("system-dark", full_page=True)
        page.click("[aria-label='Switch between light and dark']")

        # Nothing is asked for out of sight; a lost studio is said, and mended by itself.
        page.clock.install()
        page.locator("#tab_txt2img-button").click()
        seen.wait("document.body.dataset.room === 'txt2img'")
        asked = len([one for one in seen.asked if one.endswith("/memory")])
        page.clock.fast_forward("05:00")
        assert len([one for one in seen.asked if one.endswith("/memory")]) == asked
        page.route("**/sdapi/v1/memory", lambda route: route.abort())
        page.locator("#tab_system-button").click()
        page.locator(".atelier-system > .said.bad").get_by_text("The studio does not answer.").wait_for()
        assert len([one for one in seen.asked if one.endswith("/memory")]) == asked + 1
        page.unroute("**/sdapi/v1/memory")
        page.clock.fast_forward(2100)
        seen.wait("document.querySelector('.atelier-system > .said').hidden")
        assert [said for said in seen.complaints if "ERR_FAILED" not in said] == []
        assert seen.strangers() == []

        # A guest sees what is everybody's, and asks for nothing else.
        phone = enter(visit, address, "guy", **PHONE)
        phone.page.get_by_text("Admins see more here").wait_for()
        assert phone.page.locator(".log, .doctor, .resident").count() == 0
        wide, high = phone.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= high
        phone.shoot("system-guest", full_page=True)
        assert phone.complaints == []
        assert not [one for one in phone.asked if one.endswith(("/status", "/log", "/doctor", "/sysinfo"))]
        phone.page.context.close()

        phone = enter(visit, address, "ada", **PHONE)
        phone.page.get_by_role("button", name="Examine this machine").click()
        phone.page.get_by_text("python launch.py --extra video").wait_for()
        wide, high = phone.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= high
        small = phone.page.evaluate(
            "[...document.querySelectorAll('.atelier-system button')].filter((node) => node.offsetParent && "
            "(node.offsetHeight < 40 || node.offsetWidth < 40)).map((node) => node.outerHTML.slice(0, 120))"
        )
        assert small == []
        phone.shoot("system-phone", full_page=True)
        assert phone.complaints == []
        recent.leave()
        studio.close()
