"""`generate` over a stand-in for the studio: the bar follows the events, the files appear, Ctrl-C reaches the job."""

import io
import logging
import sys
import types
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from modules.bootstrap import flags
from modules.cli import dispatch, generate, terminal
from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import UnknownModel
from modules.contracts.events import JobDone, StageStarted, StepDone
from modules.contracts.result import GenerationResult, Picture
from modules.sd_models.families import load_families
from modules.support.studio import Status

FAMILIES = Path(__file__).resolve().parents[2] / "configs" / "families.json"
EVENTS = [
    StageStarted("j", stage="denoise", batch=0, batches=2),
    StepDone("j", step=3, steps=10, batch=1, batches=2, progress=0.65),
    StageStarted("j", stage="polish"),
    JobDone("j"),
]


def picture(index):
    image = Image.new("RGB", (8, 8), (index * 40, 0, 0))
    return Picture(index, image, 7 + index, 0, "a fox", "", f"a fox\nSteps: 1, Seed: {7 + index}", {"seed": 7 + index})


class Studio:
    """Takes one job and ends it as told: with pictures, with an error, or with Ctrl-C in the middle."""

    def __init__(self):
        self.end = GenerationResult((picture(0),), {}, notes=("The width became 64.",))
        self.interrupt = False
        self.requests, self.cancelled, self.closed = [], 0, 0
        self.queue = self
        self.status = Status()
        self.settings = {"jpeg_quality": 90}
        self.catalog = self

    def find_model(self, name):
        return ModelEntry(name or "fast", Path("fast"), "diffusers", "sd15", 512, details={"defaults": {"steps": 4}})

    def family(self, id):
        return next(family for family in load_families(FAMILIES) if family.id == id)

    def submit(self, request, owner):
        self.requests.append((owner, request))
        return self

    def iterate(self):
        yield from EVENTS[:2]
        if self.interrupt:
            raise KeyboardInterrupt
        yield from EVENTS[2:]

    def wait(self, timeout=None):
        if isinstance(self.end, Exception):
            raise self.end
        return self.end

    def cancel(self):
        self.cancelled += 1

    def close(self):
        self.closed += 1


@pytest.fixture
def studio(monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    made = Studio()

    def build(options, *, private, warm):
        made.warm = warm
        return made

    monkeypatch.setitem(sys.modules, "modules.app", types.SimpleNamespace(build_studio=build))
    return made


def run(*words):
    return dispatch.main(["generate", "a fox", *map(str, words)])


def test_one_picture_is_in_its_file_with_its_recipe(studio, tmp_path, capsys):
    assert run("-o", tmp_path / "new" / "fox.png") == 0
    with Image.open(tmp_path / "new" / "fox.png") as read:
        assert read.size == (8, 8)
        assert read.text["parameters"] == "a fox\nSteps: 1, Seed: 7"
    said = capsys.readouterr().err
    assert "The width became 64." in said
    assert "fox.png" in said
    assert "seed 7" in said
    (owner, request), *rest = studio.requests
    assert (owner, request.prompt.text, request.output.save, rest) == ("cli", "a fox", False, [])
    assert studio.closed == 1


def test_steps_left_out_are_those_that_the_model_is_best_drawn_with(studio, tmp_path):
    assert run("-o", tmp_path / "fox.png") == run("-o", tmp_path / "fox.png", "--steps", 9) == 0
    assert [request.sampling.steps for _owner, request in studio.requests] == [4, 9]


def test_several_pictures_are_numbered(studio, tmp_path):
    studio.end = GenerationResult((picture(0), picture(1)), {})
    assert run("-o", tmp_path / "fox.webp", "--batch", "2") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fox-1.webp", "fox-2.webp"]


def test_an_error_is_a_sentence_and_leaves_no_file(studio, tmp_path, capsys):
    studio.end = UnknownModel("No model is called 'x'; there are: pocket.")
    assert run("-o", tmp_path / "fox.png") == 1
    assert capsys.readouterr().err.strip().endswith("No model is called 'x'; there are: pocket.")
    assert list(tmp_path.iterdir()) == []
    assert studio.closed == 1


def test_a_job_without_pictures_is_an_error(studio, tmp_path, capsys):
    studio.end = GenerationResult((), {}, interrupted=True)
    assert run("-o", tmp_path / "fox.png") == 1
    assert "without a picture" in capsys.readouterr().err


def test_ctrl_c_cancels_the_job(studio, tmp_path):
    studio.interrupt = True
    assert run("-o", tmp_path / "fox.png") == 130
    assert (studio.cancelled, studio.closed) == (1, 1)


def test_the_file_is_looked_at_before_anything_is_loaded(studio, tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    assert run("-o", tmp_path / "file" / "x.png") == 1
    assert run("-o", tmp_path / "folder.png") == 1
    said = capsys.readouterr().err
    assert "cannot be made" in said
    assert "is a folder" in said
    assert studio.requests == []


def test_the_bar_follows_the_events():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    waiting = iter(["Loading torch", *["Loading the model"] * 9])
    with terminal.bar(console, lambda: next(waiting)) as progress:
        task = progress.add_task("", total=None)
        progress.refresh()
        seen = []
        for event in EVENTS:
            generate.show(event, progress, task)
            now = progress.tasks[0]
            seen.append((now.description, now.completed, now.total))
    assert "Loading torch" in console.file.getvalue()
    assert seen[0] == ("Drawing", 0, None)
    assert seen[1] == ("Drawing", 13, 20)
    assert seen[2] == ("Polish", 13, 20)


def test_recipe_flags_are_named_in_the_help_of_the_terminal():
    assert set(flags.RECIPE.values()) <= set(vars(flags.parse(["generate", "x", "-o", "x.png"]).arguments))
