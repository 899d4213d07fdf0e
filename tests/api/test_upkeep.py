"""The log and the doctor over HTTP: for admins, without secrets and folders."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import pytest

from modules.cli.doctor import tell
from modules.support.recent import Recent, hidden_of
from tests.api.fakes import SECRET

log = logging.getLogger("modules.somewhere")


@pytest.fixture
def looked(people):
    """Clients of an admin and a user, by name, of a studio that listens to the log."""
    rig, clients = people
    recent = Recent(partial(hidden_of, rig.studio.options, rig.settings)).listen()
    rig.studio = replace(rig.studio, recent=recent, doctor=lambda: tell(rig.studio.options, rig.hardware))
    app = rig.application()
    yield {name: rig.client(app, headers=clients[name].headers) for name in ("ada", "ann")}, rig
    recent.leave()


def test_an_admin_reads_the_log_as_it_grows_and_nobody_else_does(looked):
    (clients, rig), ada = looked, looked[0]["ada"]
    log.warning("no room in %s for %s", rig.studio.options.paths.data_dir, SECRET)
    log.error("it broke")
    told = ada.get("/api/v1/log", params={"level": "warning"}).json()
    assert [(row["level"], row["message"]) for row in told["lines"]] == [
        ("warning", "no room in data for …"),
        ("error", "it broke"),
    ]
    assert told["lines"][0]["logger"] == "modules.somewhere"
    log.error("and again")
    since = {"since": told["last"], "level": "error"}
    assert [row["message"] for row in ada.get("/api/v1/log", params=since).json()["lines"]] == ["and again"]
    found = ada.get("/api/v1/log", params={"text": "BROKE", "level": "error"}).json()["lines"]
    assert [row["message"] for row in found] == ["it broke"]
    newest = ada.get("/api/v1/log", params={"limit": 1, "level": "error"}).json()["lines"]
    assert [row["message"] for row in newest] == ["and again"]
    for path in ("log", "doctor"):
        assert clients["ann"].get(f"/api/v1/{path}").status_code == 403
        assert rig.client().get(f"/api/v1/{path}").status_code == 401


@pytest.mark.parametrize("query", [{"level": "loud"}, {"limit": 0}, {"limit": 501}, {"since": -1}])
def test_what_cannot_be_asked_of_the_log_is_refused(looked, query):
    assert looked[0]["ada"].get("/api/v1/log", params=query).status_code == 422


def test_the_doctor_says_what_it_says_in_the_terminal_without_folders(looked, tmp_path):
    clients, rig = looked
    answer = clients["ada"].get("/api/v1/doctor")
    report = answer.json()
    assert {"System", "Python", "Environment", "Packages", "Memory", "Models", "Programs"} <= {
        row["what"] for row in report["checks"]
    }
    assert {"what": "Hardware", "says": "not chosen yet"} in report["checks"]
    assert "No device: not chosen yet." in [row["what"] for row in report["findings"]]
    assert str(tmp_path) not in answer.text
    assert "/" not in next(row["says"] for row in report["checks"] if row["what"] == "Programs")
    rig.hardware = {
        "label": "CPU", "name": "A processor", "device": "cpu", "driver": "none", "attention": ["Automatic"],
        "memory": {"total": None, "free": None}, "dtypes": {"usable": ["float32"]}, "placements": {},
        "reasons": ["Why."],
    }  # fmt: skip
    again = clients["ada"].get("/api/v1/doctor").json()
    assert {"what": "Hardware", "says": "Why."} in again["checks"]
    assert not any("No device" in row["what"] for row in again["findings"])
