"""The benchmarks of serving run from one end to the other and say whether their bounds are held."""

from __future__ import annotations

import json

import pytest

from modules.bench import command, grid, rig, start
from modules.bootstrap.flags import parse


def test_what_is_bounded_says_whether_it_holds():
    assert rig.bounded({"ratio": 1.04}, "ratio", most=1.05) == {
        "bound": "ratio at most 1.05", "held": True, "ratio": 1.04,
    }  # fmt: skip
    assert not rig.bounded({"ratio": 1.06}, "ratio", most=1.05)["held"]
    assert rig.bounded({"share": 0.9}, "share", least=0.85)["held"]
    assert not rig.bounded({"share": 0.8}, "share", least=0.85)["held"]


def test_serving_is_measured_against_the_bare_pipeline(capsys):
    options = parse(["bench"]).options
    assert command.run(["overhead", "batching", "serve", "--rounds", "1", "--steps", "1"], options) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"machine", "overhead", "batching", "serve"}
    judged = [told["overhead"], told["batching"], told["serve"]["one_client"], told["serve"]["clients"]["8"]]
    judged += [told["serve"][name] for name in ("mixed_steps", "waiting", "pictures")]
    assert all(isinstance(row["held"], bool) for row in judged)
    assert told["overhead"]["p50_seconds"] > 0
    assert told["overhead"]["bare_p50_seconds"] > 0
    assert set(told["serve"]["clients"]) == {"4", "8", "16"}
    assert told["serve"]["pictures"]["held"], "eight clients together get the pictures that each gets alone"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of the bare side's scheduler
def test_a_grid_is_measured_against_batches_and_draws_only_what_changed(capsys, monkeypatch):
    assert grid.SEEDS * len(grid.SCALES) * len(grid.SAMPLERS) == 64
    monkeypatch.setattr(grid, "SEEDS", 1)
    monkeypatch.setattr(grid, "SCALES", (2.0, 4.0))
    assert command.run(["grid", "--rounds", "1", "--steps", "1"], parse(["bench"]).options) == 0
    told = json.loads(capsys.readouterr().out)["grid"]
    assert told["cells"] == 4
    assert told["again"]["drawn"] == told["again"]["changed"] == 2
    for name in ("batches", "one_by_one"):
        assert isinstance(told[name]["held"], bool)
        assert told[name]["p50_seconds"] > 0
        assert told[name]["bare_p50_seconds"] > 0
    assert told["processor"]["batches_ratio"] > 0


def test_a_start_that_never_gets_ready_does_not_hold(monkeypatch):
    marks = iter([{"port": 0.5, "page": 6.0, "ready": 20.0}, {"port": 0.5, "page": 9.0}])
    monkeypatch.setattr(start, "_once", lambda options: next(marks))
    told = start.run(parse(["bench"]).options, rounds=2)
    assert told["held"] == {"port": True, "page": False, "ready": False}


@pytest.mark.parametrize("name", sorted(command.BENCHMARKS))
def test_each_benchmark_is_listed(name, capsys):
    assert command.run([], parse(["bench"]).options) == 0
    assert f"\n{name} " in "\n" + capsys.readouterr().out
