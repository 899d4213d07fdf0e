"""The suite measures what is there to measure and says why it leaves out the rest; its command writes all down."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from PIL import Image

from modules.pocket.evaluation import command
from modules.pocket.evaluation.drawing import Manner, Order
from modules.pocket.evaluation.family import find_family
from modules.pocket.evaluation.guided import trace_edges
from modules.pocket.evaluation.pipelines import read_defaults
from modules.pocket.evaluation.speed import measure_seconds
from modules.pocket.evaluation.suite import Subject, evaluate, list_tasks

MANNER = Manner(size=96)


def test_what_a_subject_lacks_is_left_out_with_the_reason(painter):
    report = evaluate(Subject(painter, 1.0, 96), MANNER, 8, only=("adherence", "guidance", "negative", "learned"))
    assert set(report.findings) == {"adherence"}
    assert report.left_out["guidance"] == "the model is drawn without guidance"
    assert set(report.left_out) == {"guidance", "negative", "learned"}
    assert report.met
    written = report.as_json()
    assert written["properties"]["adherence"]["bars"][0] == {"name": "colour", "value": 1.0, "least": 0.95, "met": True}
    json.dumps(written)


def test_every_property_of_a_whole_family_has_a_task(painter):
    subject = Subject(painter, 3.0, 96, inpaint=painter, turbo=painter, controls={"canny": trace_edges})
    tasks = list_tasks(subject, MANNER, 8)
    assert [name for name, task in tasks.items() if task.run is None] == ["colours", "learned"]
    assert {"adherence", "places", "counts", "negative", "guidance", "seeds", "layout", "large"} <= set(tasks)
    assert {"inpainting", "control canny", "seconds", "seconds turbo"} <= set(tasks)


def test_an_unknown_property_is_refused_with_those_there_are(painter):
    with pytest.raises(ValueError, match=r"'beauty'.*adherence.*places"):
        evaluate(Subject(painter, 3.0, 96), MANNER, 8, only=("beauty",))


def test_seconds_are_those_of_the_faster_of_two_pictures(painter):
    times = iter((0.0, 9.0, 20.0, 25.0))
    finding = measure_seconds(painter, MANNER, bound=6.0, clock=lambda: next(times))
    assert finding.bars[0].value == 5.0
    assert finding.met
    assert len(painter.orders) == 3


def test_orders_are_checked_and_parted():
    with pytest.raises(ValueError, match="one seed for each prompt"):
        Order(("a", "b"), (1,))
    with pytest.raises(ValueError, match="images"):
        Order(("a",), (1,), images=np.zeros((2, 8, 8, 3), np.uint8))
    whole = Order(("a", "b", "c"), (1, 2, 3), images=np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1), size=64)
    part = whole.part(1, 3)
    assert (part.prompts, part.seeds, part.size) == (("b", "c"), (2, 3), 64)
    assert part.images.ravel().tolist() == [1, 2]


@pytest.fixture
def family_folder(tmp_path):
    """Folders and files of a family, as far as finding them goes."""
    for name in ("pocket", "pocket-inpaint", "pocket-turbo"):
        (tmp_path / name / "unet").mkdir(parents=True)
        (tmp_path / name / "model_index.json").write_text("{}")
    (tmp_path / "pocket" / "unet" / "config.json").write_text('{"sample_size": 32}')
    (tmp_path / "pocket" / "defaults.json").write_text('{"steps": 16, "cfg_scale": 3.5}')
    for name in ("pocket-canny", "foreign-scribble"):
        (tmp_path / "controlnet" / name).mkdir(parents=True)
        (tmp_path / "controlnet" / name / "config.json").write_text('{"_class_name": "ControlNetModel"}')
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "robot.safetensors").write_bytes(b"")
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "embeddings" / "pocket-mascot-diffusers.safetensors").write_bytes(b"")
    return tmp_path


def test_a_family_is_found_by_names_and_by_what_configurations_say(family_folder):
    family = find_family(family_folder / "pocket")
    assert (family.inpaint.name, family.turbo.name) == ("pocket-inpaint", "pocket-turbo")
    assert {name: path.name for name, path in family.controls.items()} == {"canny": "pocket-canny"}
    assert {name: adapter.token for name, adapter in family.adapters.items()} == {
        "robot": "",
        "pocket-mascot": "<pocket-mascot>",
    }
    with pytest.raises(FileNotFoundError):
        find_family(family_folder / "nothing")


def test_defaults_are_the_models_own(family_folder):
    defaults = read_defaults(family_folder / "pocket")
    assert (defaults.steps, defaults.guidance, defaults.size) == (16, 3.5, 256)
    assert read_defaults(family_folder / "pocket-inpaint").steps == 20


def parse(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_the_command_writes_figures_and_sheets_and_keeps_those_of_other_runs(
    family_folder, tmp_path, painter, monkeypatch, capsys
):
    monkeypatch.setattr(command, "open_subject", lambda *_: (Subject(painter, 3.0, 96), "TestScheduler"))
    out = tmp_path / "out"
    options = ["--model", str(family_folder / "pocket"), "--prompts", "8", "--size", "96", "--out", str(out), "--only"]
    assert command.run(parse(*options, "places")) == 0
    assert command.run(parse(*options, "adherence", "inpainting")) == 0
    said = json.loads((out / "figures.json").read_text())
    assert set(said["properties"]) == {"places", "adherence"}
    assert said["left_out"] == {"inpainting": "no inpainting model"}
    assert command.run(parse(*options, "counts")) == 0
    assert json.loads((out / "figures.json").read_text())["left_out"] == said["left_out"]
    assert (said["model"], said["steps"], said["guidance"]) == ("pocket", 16, 3.5)
    with Image.open(out / "adherence.png") as sheet:
        assert sheet.size[0] > 500
    printed = capsys.readouterr()
    assert json.loads(printed.out[printed.out.rindex('{\n  "model"') :])["met"] is True
    assert "adherence: colour 1.0" in printed.err


def test_the_command_ends_in_a_status_that_says_how_it_went(family_folder, tmp_path, monkeypatch, capsys):
    grey = Subject(lambda order: np.full((len(order.prompts), 64, 64, 3), 136, np.uint8), 3.0, 64)
    monkeypatch.setattr(command, "open_subject", lambda *_: (grey, "TestScheduler"))
    options = ["--prompts", "4", "--out", str(tmp_path / "out"), "--only"]
    assert command.run(parse("--model", str(family_folder / "pocket"), *options, "counts")) == 1
    assert command.run(parse("--model", str(family_folder / "pocket"), *options, "beauty")) == 2
    assert command.run(parse("--model", str(family_folder / "none"), *options, "counts")) == 2
    assert "model_index.json" in capsys.readouterr().err
