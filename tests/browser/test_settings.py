"""The room Settings in a real browser: found, changed, refused and taken back, by an admin and by somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.browser.conftest import PHONE, Open, Visit, serving
from tests.ui.fakes import FakeEngine, fake_studio

pytestmark = pytest.mark.browser
PASSWORD = "one horse battery"


def enter(visit: Open, address: str, name: str, **options: object) -> Visit:
    """Sign in and go to the room."""
    seen = visit(address, **options)
    seen.page.get_by_label("Name").fill(name)
    seen.page.get_by_label("Password").fill(PASSWORD)
    seen.page.get_by_role("button", name="Sign in").click()
    seen.page.locator("#tab_settings-button").click()
    seen.page.wait_for_selector(".setting")
    return seen


def test_settings_are_found_changed_refused_and_taken_back(tmp_path: Path, visit: Open) -> None:
    from modules.api.app import add_api
    from modules.ui.mount import mount

    studio = fake_studio(tmp_path, FakeEngine())
    for name, role in (("ada", "admin"), ("bob", "user"), ("guy", "guest")):
        studio.accounts.add_user(name, PASSWORD, role=role)
    app = FastAPI()
    add_api(app, studio)
    with serving(mount(app, studio)) as address:
        seen = enter(visit, address, "ada")
        seen.shoot("settings")
        rows = seen.page.locator(".setting:not([hidden])")
        assert rows.count() == sum(item.scope != "secret" for item in studio.settings.declared())

        # Found by a word of its explanation; nothing else stands there.
        seen.page.get_by_label("Search settings").fill("named quality")
        seen.page.get_by_text("No setting is called that.").wait_for()
        seen.page.get_by_label("Search settings").fill("jpeg quality")
        seen.wait("document.querySelectorAll('.setting:not([hidden])').length === 1")
        quality = seen.page.get_by_label("Quality of JPEG, WebP and AVIF")

        # What cannot be is refused at the field, and nothing is changed.
        quality.fill("500")
        quality.press("Tab")
        seen.page.get_by_text("jpeg_quality is 500; allowed is 1 to 100.").wait_for()
        assert quality.get_attribute("aria-invalid") == "true"
        assert studio.settings["jpeg_quality"] == 90
        complaints = [said for said in seen.complaints if "422" not in said]
        assert complaints == []

        # An admin's change is everybody's, saved at once, marked, and has a way back.
        quality.fill("70")
        quality.press("Tab")
        seen.page.get_by_text("Saved", exact=True).wait_for()
        assert studio.settings["jpeg_quality"] == 70
        assert quality.get_attribute("aria-invalid") is None
        seen.page.get_by_label("Search settings").fill("")
        seen.page.get_by_role("button", name="Changed", exact=True).click()
        seen.wait("document.querySelectorAll('.setting:not([hidden])').length === 1")
        seen.shoot("settings-changed")

        # Somebody else sees it, changes it for themselves alone, on a phone, and takes that back.
        phone = enter(visit, address, "bob", **PHONE)
        own = phone.page.get_by_label("Quality of JPEG, WebP and AVIF")
        assert own.input_value() == "70"
        assert phone.page.get_by_label("Largest merged batch").is_disabled()
        own.fill("55")
        own.press("Tab")
        phone.page.get_by_text("Saved", exact=True).wait_for()
        assert studio.settings["jpeg_quality"] == 70
        assert studio.accounts.preferences("bob") == {"jpeg_quality": 55}
        wide, high = phone.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= high
        phone.shoot("settings-phone")
        phone.page.locator(".setting[data-key=jpeg_quality]").get_by_role("button", name="Back to everybody's").click()
        phone.wait("document.querySelector('#setting_jpeg_quality').value === '70'")
        assert studio.accounts.preferences("bob") == {}
        phone.page.locator(".setting[data-key=save_txt] input").click()
        phone.wait("document.querySelector('[data-key=save_txt]').classList.contains('changed')")
        assert studio.accounts.preferences("bob") == {"save_txt": True}
        assert phone.complaints == []

        seen.page.get_by_role("button", name="Back to 90").click()
        seen.page.get_by_text("Everything is as it came.").wait_for()
        assert studio.settings["jpeg_quality"] == 90

        # A guest may look.
        guest = enter(visit, address, "guy")
        guest.page.get_by_text("Guests look at the settings and change none.").wait_for()
        assert guest.page.locator(".setting :is(input, select):not(:disabled)").count() == 0
        studio.close()
