"""Environment variables: one place reads and writes them, and everybody else asks there."""

import re

from modules.bootstrap import variables
from modules.bootstrap.options import ROOT

ALLOWED = ("modules/bootstrap/", "modules/app.py", "modules/support/settings.py")
ELSEWHERE = {"modules/pocket/command.py": "sets one for its own threads before torch is imported"}


def test_no_room_touches_them_itself():
    touching = re.compile(r"\bos\.(environ|getenv|putenv)\b")
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "modules").rglob("*.py")
        if touching.search(path.read_text("utf-8"))
    }
    assert [place for place in sorted(found) if not place.startswith(ALLOWED) and place not in ELSEWHERE] == []


def test_a_snapshot_is_a_copy_and_what_is_declared_is_in_the_next(monkeypatch):
    monkeypatch.setenv("ATELIER_TRIAL", "old")
    before = variables.snapshot()
    before["ATELIER_TRIAL"] = "changed"
    assert variables.snapshot()["ATELIER_TRIAL"] == "old"
    variables.declare(ATELIER_TRIAL="new")
    assert variables.snapshot()["ATELIER_TRIAL"] == "new"
