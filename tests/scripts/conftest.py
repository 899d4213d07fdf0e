"""Extensions on disk, and a shelf over them."""

from __future__ import annotations

import textwrap

import pytest


@pytest.fixture
def place(tmp_path):
    """Writes files of extensions: `place("name/scripts/a.py", source)`; gives the folder they are in."""

    def write(path, source=""):
        file = tmp_path / "extensions" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), "utf-8")
        return file

    return write


@pytest.fixture
def open_shelf(tmp_path):
    """A shelf that has looked for extensions; closed when the test ends."""
    from modules.scripts.shelf import ScriptShelf

    opened = []

    def make(**given):
        shelf = ScriptShelf([tmp_path / "extensions"], [tmp_path / "scripts"], tmp_path / "data", **given)
        (tmp_path / "data").mkdir(exist_ok=True)
        opened.append(shelf)
        shelf.scan()
        return shelf

    yield make
    for shelf in opened:
        shelf.close()
