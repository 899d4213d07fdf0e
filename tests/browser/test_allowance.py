"""What somebody has left, on the page in a real browser."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fastapi import FastAPI

from modules.accounts.metering import MeteredQueue
from modules.api.app import add_api
from modules.contracts.accounts import Tier
from modules.ui.mount import mount
from tests.browser.conftest import PHONE, Open, serving
from tests.ui.fakes import FakeEngine, fake_studio

pytestmark = pytest.mark.browser
PASSWORD = "correct horse"
REFUSED = "1 picture in the last minute; the tier standard allows 1, try again in"
LEFT = "#atelier_left .left"


def test_a_person_sees_what_is_left_and_why_no_more_is_drawn(tmp_path: Path, visit: Open) -> None:
    studio = fake_studio(tmp_path, FakeEngine())
    queue = MeteredQueue(studio.queue, studio.accounts.gate, studio.catalog, studio.bus)
    studio = dataclasses.replace(studio, queue=queue)
    studio.accounts.add_user("ada", PASSWORD, role="admin")
    studio.accounts.add_user("bob", PASSWORD)
    studio.accounts.set_tier(Tier("standard", credits_per_day=20, pictures_per_minute=1, queue_depth=2))
    app = FastAPI()
    add_api(app, studio)
    with serving(mount(app, studio)) as address:
        seen = visit(address)
        seen.page.fill("[name=name]", "bob")
        seen.page.fill("[name=password]", PASSWORD)
        seen.page.click("button")
        seen.page.wait_for_selector(LEFT)
        assert seen.page.inner_text(LEFT) == "20 credits left today · 1 picture this minute · 2 more jobs may wait"
        seen.shoot("allowance")
        seen.write("a red circle on white")
        seen.generate()
        seen.wait(f"document.querySelector('{LEFT}').textContent.includes('0 pictures this minute')")
        seen.wait("document.querySelectorAll('.thumb').length == 1")
        seen.generate()
        seen.wait(f"document.body.textContent.includes('{REFUSED}')")
        seen.shoot("allowance-used-up")
        assert seen.thumbs() == 1
        assert seen.complaints == []

        ada = visit(address, **PHONE)
        ada.page.fill("[name=name]", "ada")
        ada.page.fill("[name=password]", PASSWORD)
        ada.page.click("button")
        ada.page.wait_for_selector("#txt2img_generate")
        ada.page.wait_for_selector(".pill.ready")  # comes with what else the page is told of whoever opens it
        assert ada.page.locator(LEFT).count() == 0
        assert not ada.page.locator("#atelier_left").is_visible()
        studio.close()
