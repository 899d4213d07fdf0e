"""The page in another language in a real browser: every room, what is said later, and back to English."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from modules.support.studio import Studio
from modules.ui.assets import LOCALES
from tests.browser.conftest import PHONE, Open, serving
from tests.ui.fakes import FakeEngine, fake_studio

pytestmark = pytest.mark.browser
FILLED = {"edit": ".tools", "settings": ".setting", "queue": ".job"}
"""Rooms, and what stands in each once it has its data."""
WORDS = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = new Set();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const alone = node.parentElement.closest('[translate="no"], textarea, pre, code, script, style');
        if (!alone) found.add(node.data.trim());
    }
    for (const name of ["placeholder", "title", "aria-label"]) {
        for (const node of document.querySelectorAll(`[${name}]`)) {
            const alone = node.closest('[translate="no"]') || "own" in node.dataset;
            if (!alone) found.add(node.getAttribute(name).trim());
        }
    }
    for (const field of document.querySelectorAll('input[role="combobox"]')) found.add(field.value);
    return [...found];
}"""
"""All that stands in the page, seen or not."""


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


def english_left(told: list[str]) -> list[str]:
    """Texts of the page that the dictionary would have said otherwise, whole or with values in their places."""
    words = json.loads((LOCALES / "de.json").read_text("utf-8"))
    german = set(words.values())
    rules = [
        re.compile(".+?".join(re.escape(part) for part in re.split(r"\{=?\d\}", text)))
        for text, said in words.items()
        if "{" in text and text != said
    ]
    return [
        text
        for text in told
        if text not in german
        and (words.get(text, text) != text or any(rule.fullmatch(text) for rule in rules))
        and not any(
            re.fullmatch(".+?".join(map(re.escape, re.split(r"\{=?\d\}", said))), text)
            for said in german
            if "{" in said
        )
    ]


def test_rooms_speak_german_and_go_back_to_english(house: tuple[str, FakeEngine, Studio], visit: Open) -> None:
    address, engine, studio = house
    seen = visit(address, locale="de-DE")
    seen.page.get_by_role("button", name="Erzeugen").wait_for()
    assert seen.page.locator("html").get_attribute("lang") == "de"

    # What people wrote stays as it is, even where it is a word of ours; what is said of it is in German.
    seen.write("Drawing")
    seen.generate()
    seen.wait("document.querySelectorAll('.thumb').length === 1 && !document.body.classList.contains('atelier-busy')")
    assert seen.page.locator(".details .prompt").inner_text() == "Drawing"
    assert seen.page.locator(".thumb").get_attribute("title") == "Drawing"
    assert [asked.prompt.text for asked in engine.requests] == ["Drawing"]
    seen.shoot("language-create")

    for name, sight in FILLED.items():
        seen.page.locator(f"#tab_{name}-button").click()
        seen.page.locator(sight).first.wait_for()
        seen.shoot(f"language-{name}")
        assert english_left(seen.page.evaluate(WORDS)) == [], name
    assert seen.page.locator(".job .name").first.inner_text() == "Drawing"
    assert seen.complaints == []

    # The select in the header says it for good: the page comes back in English, and the setting is kept.
    with seen.page.expect_navigation():
        seen.page.get_by_label("Sprache", exact=True).first.select_option("en")
    seen.wait("document.querySelector('#tab_settings-button')?.textContent.includes('Settings')")
    assert seen.page.locator("html").get_attribute("lang") == "en"
    assert studio.settings["localization"] == "en"
    assert seen.complaints == []

    # The setting reaches a browser that has not asked for anything itself; on a phone the header has room for the list.
    studio.settings.update({"localization": "de"})
    phone = visit(address, **PHONE)
    phone.page.get_by_role("button", name="Erzeugen").wait_for()
    phone.shoot("language-phone")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.complaints == []
