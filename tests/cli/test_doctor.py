"""The doctor: a report that is whole as JSON, readable as text, and possible where nothing is installed."""

import copy
import json
import os
import subprocess
import sys

import pytest

from modules.bootstrap import flags
from modules.bootstrap.options import ROOT, Options, PathOptions
from modules.cli import doctor, machine


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    return doctor.examine(Options(paths=PathOptions(data_dir=folder / "data", models_dir=folder / "models")))


def healthy(report):
    well = copy.deepcopy(report)
    well["environment"].update(core=True, cut_short=False, extras={"test": True})
    well["packages"] = dict.fromkeys(machine.PACKAGES, "1")
    well["programs"]["browser"] = "/usr/bin/chromium"
    well["models"] = {"files": 3, "pocket": "models/pocket"}
    well["memory"] = {"total": 2**36, "free": 2**35}
    for space in well["disk"].values():
        space["free"] = 2**40
    return well


def test_the_report_is_whole_and_ready_for_json(report):
    read = json.loads(json.dumps(report, default=str))
    assert set(read) == {
        "system",
        "environment",
        "packages",
        "hardware",
        "memory",
        "disk",
        "models",
        "programs",
        "findings",
    }
    assert read["system"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert read["packages"]["torch"]
    assert 0 < read["memory"]["free"] <= read["memory"]["total"]
    assert 0 < read["disk"]["data"]["free"] <= read["disk"]["data"]["total"]


def test_nothing_is_found_on_a_healthy_machine(report):
    well = healthy(report)
    assert list(machine.findings(well)) == []
    well["findings"] = []
    assert "Nothing is missing." in list(doctor.lines(well))


@pytest.mark.parametrize(
    ("harm", "what", "how"),
    [
        (lambda r: r["environment"].update(core=False), "is not installed as the lock says", "python launch.py"),
        (lambda r: r["environment"].update(core=False, cut_short=True), "was cut short", "python launch.py"),
        (lambda r: r["environment"].update(extras={"quant": False}), "extra 'quant'", "python launch.py --extra quant"),
        (lambda r: r["environment"].update(extras={"test": False}), "extra 'test'", "python launch.py test"),
        (lambda r: r["packages"].update(torch=None), "package torch", "delete .venv"),
        (lambda r: r["disk"]["models"].update(free=2**30), "Only 1.0 GiB are free for models", "--models-dir"),
        (lambda r: r["memory"].update(free=2**30), "Only 1.0 GiB of memory", "--medvram"),
        (lambda r: r["programs"].update(browser=None), "No Chromium", "apt-get install chromium"),
        (lambda r: r["models"].update(pocket=None), "embedded model is not there", "pocket train"),
        (
            lambda r: r["hardware"].update(attention_wanted="xformers"),
            "attention 'xformers' is not",
            "one of Automatic",
        ),
        (lambda r: r["hardware"].update(problem="gone"), "No device: gone", "--device-id"),
    ],
)
def test_what_is_missing_is_said_with_the_way_to_get_it(report, harm, what, how):
    ill = healthy(report)
    harm(ill)
    (finding,) = machine.findings(ill)
    assert what in finding["what"]
    assert how in finding["how"]
    ill["findings"] = [finding]
    assert any(what in line and how in line for line in doctor.lines(ill))


def test_folders_that_do_not_exist_are_measured_by_their_parents(tmp_path):
    options = Options(paths=PathOptions(data_dir=tmp_path / "a" / "b", models_dir=tmp_path))
    assert machine.disk(options)["data"]["total"] == machine.disk(options)["models"]["total"]
    assert not (tmp_path / "a").exists()


def test_it_runs_where_nothing_is_installed(tmp_path):
    line = [sys.executable, "-S", "-P", "-m", "modules.cli", "doctor", "--json", "--data-dir", str(tmp_path)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["packages"]["torch"] is None
    assert "problem" in read["hardware"]


def test_the_command_writes_text_or_json(monkeypatch, capsys, report):
    monkeypatch.setattr(doctor, "examine", lambda options: report)
    assert doctor.run(flags.parse(["doctor"])) == 0
    assert capsys.readouterr().out.startswith("System ")
    assert doctor.run(flags.parse(["doctor", "--json"])) == 0
    assert json.loads(capsys.readouterr().out)["system"] == report["system"]
