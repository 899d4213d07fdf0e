"""`grid`: an experiment out of a file, drawn once, its results in a folder."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from modules.bootstrap import flags
from modules.cli.grid import run
from modules.contracts.errors import InvalidRequest, StudioError, UnknownName
from tests.api.fakes import Rig

FILE = """
name: Steps
request:
  prompt: {text: a cat}
  canvas: {width: 64, height: 64}
axes:
  Steps: 2-3
  Prompt S/R: "@words.txt"
exclude: ["steps == 3 and replace == 'owl'"]
"""


@pytest.fixture
def rigs(tmp_path, monkeypatch):
    """Studios over one folder, as each run of the command makes its own."""
    made = []

    def build(*_, **__):
        (tmp_path / "studio").mkdir(exist_ok=True)
        made.append(Rig(tmp_path / "studio", gallery=True))
        made[-1].engine.fail["a dog"] = StudioError("The dog ran away.")
        return made[-1].studio

    monkeypatch.setattr("modules.app.build_studio", build)
    return made


@pytest.fixture
def file(tmp_path):
    (tmp_path / "words.txt").write_text("cat\nowl\n")
    (tmp_path / "grid.yaml").write_text(FILE)
    return tmp_path / "grid.yaml"


def grid(*words):
    return run(flags.parse(["grid", *map(str, words)]))


def test_results_are_in_the_folder_and_a_second_run_draws_nothing(rigs, file, tmp_path, capsys):
    assert grid(file, "--dry-run") == 0
    assert capsys.readouterr().out.startswith("3 cells, 0 drawn before, 3 pictures to draw")
    assert grid(file) == 0
    assert sorted(request.prompt.text for request in rigs[1].engine.seen) == ["a cat", "a cat", "a owl"]
    with Image.open(tmp_path / "grid" / "sheet.png") as sheet:
        assert sheet.width > 2 * 64
    told = json.loads((tmp_path / "grid" / "cells.json").read_text())
    assert [cell["state"] for cell in told["cells"]] == ["done"] * 3
    assert grid(file, "-o", tmp_path / "again") == 0
    assert rigs[2].engine.seen == []
    assert (tmp_path / "again" / "sheet.png").read_bytes() == (tmp_path / "grid" / "sheet.png").read_bytes()


def test_a_failed_cell_is_told_and_the_others_are_there(rigs, file, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    assert grid(file) == 1
    assert "The dog ran away." in capsys.readouterr().err
    assert (tmp_path / "grid" / "page.html").is_file()


def test_earlier_ones_are_listed_resumed_and_removed(rigs, file, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    assert grid(file) == 1
    capsys.readouterr()
    assert grid("--list") == 0
    (line,) = capsys.readouterr().out.splitlines()
    key = line.split()[0]
    assert line.endswith("done  2/4  Steps")
    assert grid("--resume", key, "-o", tmp_path / "again") == 1  # the dog runs away once more
    assert [request.prompt.text for request in rigs[-1].engine.seen] == ["a dog"] * 2
    assert (tmp_path / "again" / "sheet.png").is_file()
    with pytest.raises(UnknownName, match="no experiment 'nothing'"):
        grid("--remove", "nothing")
    assert grid("--remove", key, "--with-pictures") == 0
    assert rigs[-1].pictures.list() == []
    assert grid("--prune", "--keep-number", 1) == 0
    assert capsys.readouterr().out.endswith("0 experiments removed\n")


@pytest.mark.parametrize("words", [("--list",), ("--resume", "x"), ("--remove", "x"), ("--prune", "--keep-number", 1)])
def test_a_dry_run_of_anything_but_a_file_is_refused_and_does_nothing(rigs, words):
    with pytest.raises(InvalidRequest, match="--dry-run is about a FILE"):
        grid(*words, "--dry-run")
    assert rigs == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("axes: [", "cannot be read"),
        ("- 1", "holds no object"),
        ("request: {steps: 3}\naxes: {Steps: 1}", "request.steps"),
        ("request: {}\naxes: {Nothing: 1}", "no axis 'Nothing'"),
        ('request: {}\naxes: {Steps: "@none.txt"}', "No such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(rigs, file, text, sentence):
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=sentence):
        grid(file)
