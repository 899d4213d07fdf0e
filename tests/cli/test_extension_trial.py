"""`launch.py ext test`: what an extension's methods do on the embedded model, told by name."""

from __future__ import annotations

import json
import logging

import pytest

from modules.bootstrap.options import Options, PathOptions, RunOptions
from modules.cli.extensions import run
from tests.cli.scripts import A1111, put

HAZE = """
from modules.scripts.v1 import Number, Route, Script


class Haze(Script):
    title = "Haze"
    amount = Number("Amount", 0.5)

    def after_step(self, job, facts, latents):
        return latents

    def picture(self, job, facts, image):
        raise KeyError("on purpose")

    def after_batch(self, job, facts):
        pass

    def panel(self):
        return 1 / 0

    def routes(self):
        return [Route("a", dict)]

    def closed(self):
        raise OSError("closed badly")


class Walk(Script):
    title = "Walk"
    always_on = False
    where = "txt2img"

    def run(self, job, request):
        yield from job.generate(request).pictures
        raise ValueError("too far")
"""
OLD = (
    A1111
    + """
    def process(self, p, strength):
        assert strength == 0.5

    def before_hr(self, p, strength):
        pass
"""
)
TESTS = """
from modules.scripts.v1 import API


def test_a():
    assert API == 1


def test_b():
    assert API == 0
"""


@pytest.fixture
def options(tmp_path):
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    paths = PathOptions(tmp_path / "data", tmp_path / "models", extensions_dir=tmp_path / "extensions")
    yield Options(paths=paths, run=RunOptions(offline=True))
    root.setLevel(level)
    root.handlers[:] = handlers


def test_every_method_is_called_and_what_throws_is_named(options, tmp_path, capsys):
    put(tmp_path, {
        "haze/scripts/haze.py": HAZE,
        "haze/scripts/old.py": OLD,
        "haze/tests/test_own.py": TESTS,
        "haze/metadata.ini": "[Extension]\nRequires = base\n",
        "base/scripts/base.py": "",
        "other/scripts/other.py": "raise SystemExit('was loaded')",
    })  # fmt: skip
    assert run(["test", "HAZE", "--json"], options) == 1
    told = json.loads(capsys.readouterr().out)
    assert [(job["what"], job["pictures"]) for job in told["jobs"]] == [
        ("txt2img", 1), ("img2img", 1), ("txt2img, Walk", 0),
    ]  # fmt: skip
    assert told["asked"]["Haze.picture"] == 3
    assert told["asked"]["Haze.after_batch"] == 3
    assert told["asked"]["Old one.process"] == 3
    assert told["asked"]["Walk.run"] == told["asked"]["Haze.routes"] == told["asked"]["Haze.closed"] == 1
    assert told["asked"]["Haze.after_step"] >= 4
    assert told["unasked"] == ["Old one.before_hr"]
    assert [(fault["what"], fault["times"]) for fault in told["faults"]] == [
        ("Haze failed in picture: KeyError: 'on purpose'", 3),
        ("Walk failed: ValueError: too far", 1),
        ("Haze failed in panel: ZeroDivisionError: division by zero", 1),
        ("Haze.closed failed: OSError: closed badly", 1),
    ]
    assert 'raise KeyError("on purpose")' in told["faults"][0]["trace"]
    assert told["tests"]["code"] == 1
    assert "1 failed, 1 passed" in told["tests"]["output"]
    assert not (tmp_path / "data").exists()


def test_one_that_cannot_be_loaded_and_one_that_is_not_there_are_sentences(options, tmp_path, capsys):
    put(tmp_path, {"haze/scripts/a.py": "1 / 0"})
    assert run(["test", "haze"], options) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert run(["test", "nobody"], options) == 1
    assert "There is no extension 'nobody'" in capsys.readouterr().err
