"""`launch.py ext`."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from modules.bootstrap.flags import parse
from modules.bootstrap.options import Options, PathOptions
from modules.cli.dispatch import COMMANDS
from modules.cli.extensions import run
from modules.scripts.shelf import ScriptShelf
from tests.cli.scripts import A1111, put


@pytest.fixture
def place(tmp_path):
    """Writes one file of an extension; gives where it is."""

    def write(path, source=""):
        put(tmp_path, {path: source})
        return tmp_path / "extensions" / path

    return write


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


def test_one_is_installed_looked_at_removed_and_put_back_from_the_terminal(options, tmp_path, capsys):
    source = tmp_path / "from" / "haze"
    (source / "scripts").mkdir(parents=True)
    (source / "scripts" / "a.py").write_text("from modules.scripts.v1 import Script\n\nclass Haze(Script): ...\n")
    (source / "install.py").write_text("")
    place = tmp_path / "extensions" / "haze"
    assert run(["install", str(source), "--dry-run"], options) == 0
    told = capsys.readouterr().out
    assert "haze: would be installed, from the folder" in told
    assert "carried out by themselves: install.py" in told
    assert not place.exists()
    assert run(["install", str(source), "--json"], options) == 0
    assert json.loads(capsys.readouterr().out)["done"] is True
    assert run(["check", str(place)], options) == 0
    capsys.readouterr()
    assert run(["list"], options) == 0
    assert capsys.readouterr().out.split() == ["haze", "folder"]
    assert run(["remove", "haze"], options) == 0
    assert not place.exists()
    assert run(["rollback"], options) == 0
    assert place.is_dir()
    capsys.readouterr()
    for words, said in (
        (["install", "nowhere"], "nowhere is no folder, no address and no file"),
        (["install", str(source)], "There is an extension haze already"),
        (["update", "nobody"], "There is no extension 'nobody'"),
    ):
        assert run(words, options) == 1
        assert said in capsys.readouterr().err


def test_scripts_of_a1111_are_checked_as_the_studio_loads_them(options, place, capsys):
    place("old/scripts/a.py", A1111)
    place("old/scripts/helper.py", "")
    assert run(["check", str(place("old/style.css").parent)], options) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scripts"] == [{"title": "Old one", "always_on": True, "parameters": ["strength"]}]
    place("old/scripts/a.py", "from modules.nothing_of_the_kind import x\n")
    assert run(["check", str(place("old/style.css").parent)], options) == 1
    assert "nothing_of_the_kind" in capsys.readouterr().err
