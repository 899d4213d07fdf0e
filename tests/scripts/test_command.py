"""`launch.py ext`."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from modules.bootstrap.flags import parse
from modules.bootstrap.options import Options, PathOptions
from modules.cli.dispatch import COMMANDS
from modules.scripts.command import run
from modules.scripts.shelf import ScriptShelf


@pytest.fixture
def options(tmp_path):
    return Options(paths=PathOptions(tmp_path / "data", tmp_path, extensions_dir=tmp_path / "extensions"))


def test_what_is_begun_can_be_loaded_and_does_something(options, tmp_path, capsys):
    assert run(["new", "soft-light"], options) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["metadata.ini", "scripts/soft_light.py"]
    assert run(["check", str(tmp_path / "extensions" / "soft-light")], options) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scripts"] == [{"title": "soft-light", "always_on": True, "parameters": ["amount"]}]
    shelf = ScriptShelf([tmp_path / "extensions"], [], tmp_path)
    shelf.scan()
    ((_, script),) = shelf.scripts("txt2img", always_on=True)

    class Job:
        values = {"amount": 1.0}  # noqa: RUF012

    assert script.picture(Job, None, Image.new("RGB", (2, 2), "red")).getpixel((0, 0)) == (76, 76, 76)
    shelf.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "../out"], "cannot be a name"),
        (["new", "here"], "There is an extension here already."),
        (["check", "nowhere"], "nowhere is no folder of an extension."),
    ],
)
def test_what_cannot_be_is_one_sentence(options, tmp_path, capsys, words, said):
    (tmp_path / "extensions" / "here").mkdir(parents=True)
    assert run(words, options) == 1
    assert said in capsys.readouterr().err


def test_one_that_fails_is_told_with_its_traceback_and_others_are_left_alone(options, place, capsys):
    place("bad/scripts/a.py", "1 / 0")
    place("other/scripts/b.py", "raise SystemExit")
    place("idle/scripts/c.py", "")
    assert run(["check", str(place("bad/style.css").parent)], options) == 1
    told = capsys.readouterr().err
    assert "a.py could not be loaded: ZeroDivisionError" in told
    assert "Traceback" in told
    assert run(["check", str(place("idle/style.css").parent)], options) == 1
    assert "idle has no script" in capsys.readouterr().err


def test_the_command_is_known_and_hands_its_words_on():
    assert parse(["ext", "new", "a"]).rest == ("new", "a")
    assert "ext" in COMMANDS
