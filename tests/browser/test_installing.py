"""A zip file on its way from a browser into the studio."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from modules.contracts.installing import Change, NoInstaller, Source
from tests.browser.conftest import Open, serving
from tests.ui.fakes import fake_studio

pytestmark = pytest.mark.browser


class Bench(NoInstaller):
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Source] = []

    def install(self, source: Source, *, dry_run: bool = False) -> Change:
        """Say that it would be brought in, or that it is."""
        self.given.append(source)
        return Change("install", "haze", not dry_run, files=1, bytes=len(source.archive))


def test_a_zip_file_comes_whole_in_its_pieces(tmp_path: Path, visit: Open) -> None:
    from modules.api.app import add_api
    from modules.ui.mount import mount

    bench = Bench()
    studio: Any = replace(fake_studio(tmp_path, auth=(("ada", "one"),)), installer=bench)
    app = FastAPI()
    add_api(app, studio)
    data = random.Random(1).randbytes(4_100_000)
    with serving(mount(app, studio)) as address:
        seen = visit(address)
        seen.page.get_by_label("Name").fill("ada")
        seen.page.get_by_label("Password").fill("one")
        seen.page.get_by_role("button", name="Sign in").click()
        seen.page.wait_for_selector("#txt2img_generate")
        seen.page.locator("#tab_extensions button.label-wrap").first.click()
        given = seen.page.locator("#extensions_archive input[type=file]")
        given.set_input_files({"name": "haze.zip", "mimeType": "application/zip", "buffer": data})
        seen.page.get_by_text("haze.zip is here").wait_for()
        seen.page.locator("#extensions_install").get_by_role("button", name="Look").click()
        seen.page.get_by_text("haze: would be installed.").wait_for()
        assert [source.archive for source in bench.given] == [data]
        seen.page.locator("#extensions_install").get_by_role("button", name="Install").click()
        seen.page.get_by_text("haze: installed.").wait_for()
        seen.page.get_by_text("Or choose a zip file").wait_for()
        assert [source.archive for source in bench.given] == [data, data]
        given.set_input_files({"name": "haze.zip", "mimeType": "application/zip", "buffer": data[:9]})
        seen.page.get_by_text("haze.zip is here").wait_for()
        seen.page.get_by_role("button", name="Remove the zip file").click()
        seen.page.get_by_text("Or choose a zip file").wait_for()
        assert seen.complaints == []
        studio.close()
