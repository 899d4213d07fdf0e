"""`test`: which tools run, in which order, and what the exit code says."""

import sys
from types import SimpleNamespace

import pytest

from modules.bootstrap import flags
from modules.cli import browser, checks, packages
from modules.cli.checks import Check


@pytest.fixture
def runs(monkeypatch):
    """Replaces the tools; the names of those that ran are collected, those in `failing` fail."""
    ran, failing = [], set()

    def run_check(check, variables, root=None):
        ran.append((check.name, tuple(check.command)[3:] if check.name == "pytest" else (), variables))
        return 3 if check.name in failing else 0

    monkeypatch.setattr(checks, "run_check", run_check)
    monkeypatch.setattr(browser, "ensure", lambda say: "/opt/chromium")
    monkeypatch.setattr(packages, "ensure_servers", lambda say: None)
    return ran, failing


def test_all_tools_run_and_pytest_is_last(runs):
    ran, _ = runs
    assert checks.run(flags.parse(["test"])) == 0
    assert [name for name, *_ in ran] == ["ruff format", "ruff check", "mypy", "lint-imports", "pytest"]
    assert ran[-1][2][checks.BROWSER_VARIABLE] == "/opt/chromium"


@pytest.mark.parametrize(
    ("cores", "gib", "processes"), [(1, 24, 1), (2, 24, 2), (2, 6, 1), (2, 2, 1), (64, 256, 8), (8, 16, 4)]
)
def test_the_tests_are_shared_by_as_many_processes_as_cores_and_memory_carry(runs, monkeypatch, cores, gib, processes):
    ran, _ = runs
    monkeypatch.setattr(checks.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(checks.psutil, "virtual_memory", lambda: SimpleNamespace(total=gib * 2**30))
    assert checks.run(flags.parse(["test"])) == 0
    _, rest, variables = ran[-1]
    assert rest == (("-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder") if processes > 1 else ())
    assert variables["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("name", ["ruff format", "mypy", "lint-imports", "pytest"])
def test_one_failure_stops_none_and_shows_in_the_code(runs, name, capsys):
    ran, failing = runs
    failing.add(name)
    assert checks.run(flags.parse(["test"])) != 0
    assert len(ran) == 5
    if name != "pytest":
        assert f"These checks failed: {name}" in capsys.readouterr().out


def test_arguments_choose_tests_and_nothing_else_runs(runs):
    ran, failing = runs
    assert checks.run(flags.parse(["test", "tests/cli", "-k", "x"])) == 0
    assert [(name, rest) for name, rest, _ in ran] == [("pytest", ("tests/cli", "-k", "x"))]
    failing.add("pytest")
    assert checks.run(flags.parse(["test", "tests/cli"])) == 3


def test_a_check_reports_its_end_and_time(tmp_path, capfd):
    good = Check("good", (sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"))
    bad = Check("bad", (sys.executable, "-c", "raise SystemExit(4)"))
    absent = Check("absent", (str(tmp_path / "nothing"),))
    assert [checks.run_check(check, {}, tmp_path) for check in (good, bad, absent)] == [0, 4, 1]
    said = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[:2]] == [["good", "ok"], ["bad", "failed"]]
    assert said[2].startswith("absent cannot be started")


def test_the_tools_are_those_of_this_environment():
    for check in checks.static_checks():
        assert str(check.command[0]).startswith(str(sys.prefix))
