"""Flags that extensions add to the command line."""

from __future__ import annotations

import pytest

from modules.bootstrap import flags
from modules.contracts.errors import InvalidRequest
from modules.scripts.preloading import Preloads

PRELOAD = """
def preload(parser):
    parser.add_argument("--haze-count", type=int, default=3)
    parser.add_argument("--haze-on", action="store_true")
"""


@pytest.fixture
def told():
    return {}


@pytest.fixture
def shelf_of(open_shelf, told):
    """A shelf of a studio that was started with those words."""

    def make(*words, **given):
        preloads = Preloads(words, told.update)
        return open_shelf(preloads=preloads, **given), preloads

    return make


def test_values_are_those_of_the_command_line_and_defaults_otherwise(place, shelf_of, told):
    place("haze/preload.py", PRELOAD)
    place("mist/preload.py", "def preload(parser): parser.add_argument('--mist', default='grey')")
    shelf, preloads = shelf_of("--haze-count", "5", "--mist=blue")
    assert told == {"haze_count": 5, "haze_on": False, "mist": "blue"}
    preloads.check()
    shelf.reload("haze")
    assert shelf.get("haze").error == ""
    assert told["haze_count"] == 5


def test_a_word_that_nobody_knows_is_named(place, shelf_of):
    place("haze/preload.py", PRELOAD)
    _, preloads = shelf_of("--haze-on", "--hazze", "4")
    with pytest.raises(InvalidRequest, match=r"^--hazze 4: neither the studio nor an extension"):
        preloads.check()


@pytest.mark.parametrize(
    ("source", "words", "said"),
    [
        (PRELOAD, ("--haze-count", "many"), "argument --haze-count: invalid int value: 'many'"),
        ("def preload(parser): 1 / 0", (), "ZeroDivisionError"),
        ("def preload(parser): parser.error('no')", (), "ValueError: no"),
        ("1 / 0", (), "preload.py could not be loaded: ZeroDivisionError"),
    ],
)
def test_one_that_fails_keeps_its_extension_from_loading_and_no_other(place, shelf_of, source, words, said):
    place("haze/preload.py", source)
    place("haze/scripts/a.py", "raise SystemError('was imported')")
    place("mist/scripts/b.py", "")
    shelf, preloads = shelf_of(*words)
    preloads.check()
    assert said in shelf.get("haze").error
    assert not shelf.get("haze").loaded
    assert shelf.get("mist").loaded


def test_what_is_off_or_in_safe_mode_brings_no_flags(place, shelf_of, told):
    place("haze/preload.py", PRELOAD)
    shelf, preloads = shelf_of("--haze-on", safe=True)
    assert told == {}
    shelf.close()
    shelf, preloads = shelf_of("--haze-on")
    shelf.disable("haze")
    shelf.close()
    told.clear()
    shelf, preloads = shelf_of("--haze-on")
    with pytest.raises(InvalidRequest, match="--haze-on"):
        preloads.check()
    assert told == {}
    shelf.enable("haze")
    assert told["haze_on"] is True
    preloads.check()


def test_the_command_line_hands_unknown_words_on_only_where_an_extension_may_know_them(place, tmp_path, capsys):
    line = ["serve", "--extensions-dir", str(tmp_path / "extensions"), "--port", "80", "--haze-count", "5"]
    with pytest.raises(SystemExit) as ended:
        flags.parse(line)
    assert ended.value.code == 2
    assert "unrecognized arguments: --haze-count 5" in capsys.readouterr().err
    place("haze/preload.py", PRELOAD)
    options = flags.parse(line).options
    assert (options.network.port, options.run.words) == (80, ("--haze-count", "5"))
    with pytest.raises(SystemExit):
        flags.parse(["doctor", "--extensions-dir", str(tmp_path / "extensions"), "--haze-on"])
