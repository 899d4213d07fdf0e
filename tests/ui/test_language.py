"""The dictionaries of the page: each says exactly what the page says."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from modules.support.options import CORE_SETTINGS
from modules.ui.assets import FOLDER, LOCALES, kind_of, mark, read_assets
from modules.ui.page import build_page
from tests.ui import words
from tests.ui.fakes import fake_studio

LANGUAGES = sorted(path.stem for path in LOCALES.glob("*.json"))


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, str]:
    studio = fake_studio(tmp_path_factory.mktemp("studio"))

    async def build() -> Any:
        return build_page(studio)

    found = words.everything(asyncio.run(build()), studio)
    studio.close()
    return found


def read(language: str) -> dict[str, str]:
    return dict(json.loads((LOCALES / f"{language}.json").read_text("utf-8")))


def places(text: str) -> list[str]:
    return sorted(re.findall(r"\{=?\d\}", text))


def test_what_can_be_chosen_has_a_dictionary_and_a_name():
    choices = next(item.choices for item in CORE_SETTINGS if item.key == "localization")
    assert set(choices) == {"Automatic", "en", *LANGUAGES}
    script = (FOLDER / "language.js").read_text("utf-8")
    named = re.search(r"NAMES = \{(.*?)\}", script)
    assert named is not None
    assert re.findall(r"(\w+): \"", named.group(1)) == list(choices[1:])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_dictionary_has_all_that_the_page_says_and_nothing_else(said, language):
    spoken = read(language)
    missing = [f"{text!r} ({said[text]})" for text in sorted(said.keys() - spoken.keys())]
    superfluous = [repr(text) for text in sorted(spoken.keys() - said.keys())]
    assert not missing, f"{language}.json lacks:\n" + "\n".join(missing)
    assert not superfluous, f"{language}.json has what the page does not say:\n" + "\n".join(superfluous)
    assert [text for text, told in spoken.items() if not told.strip()] == []
    assert [text for text, told in spoken.items() if places(text) != places(told)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_dictionary_is_served_as_a_script_that_gives_it_to_the_page(language):
    name = f"words-{language}.js"
    script = read_assets()[name].decode()
    assert kind_of(name) == "text/javascript"
    found = re.fullmatch(r"window\.atelierLanguage\.take\((.*)\);\n", script, re.DOTALL)
    assert found is not None
    assert json.loads(found.group(1)) == read(language)


def test_another_dictionary_is_another_address(monkeypatch, tmp_path):
    before = mark()
    monkeypatch.setattr("modules.ui.assets.LOCALES", tmp_path)
    (tmp_path / "it.json").write_text('{"Generate": "Genera"}', "utf-8")
    mark.cache_clear()
    after = mark()
    mark.cache_clear()
    assert before != after


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('h("p", {}, "Your first picture")', {"Your first picture"}),
        ('h("span", {}, one ? "picture" : "pictures")', {"picture", "pictures"}),
        ("room.say(`Grows to ${a} × ${f(`${b}px`)}`);", {"Grows to {0} × {1}"}),
        ("`Pictures of ${title(job)}`", {"Pictures of {=0}"}),
        (
            '/* Not this */ // nor "This one"\nconst path = "M12 4a8 8 0 1 0 0 16"; go("#txt2img_prompt textarea");',
            set(),
        ),
        ('const rule = /["`]It/; say(rule ? "It is" : `${n} left`)', {"It is", "{0} left"}),
    ],
)
def test_the_scanner_takes_what_people_read_and_nothing_else(script, found):
    assert words.of_script(script) - words.SAME - words.UNSEEN == found
