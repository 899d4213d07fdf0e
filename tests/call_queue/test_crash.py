"""kill -9 in the middle of ten queued jobs: after the next start all ten are done, and none twice."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from modules.contracts.request import GenerationRequest, PromptParams

ROOT = Path(__file__).resolve().parents[2]


def serve(folder, lanes, database):
    command = [sys.executable, str(Path(__file__).with_name("serving.py")), str(folder), str(lanes)]
    if database.dialect.name == "postgresql":
        address = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        command.append(address)
    return subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""})


@pytest.mark.parametrize("lanes", [1, 3])
def test_all_jobs_end_once_although_the_process_was_killed(tmp_path, store, database, lanes):
    from dataclasses import replace

    wanted = GenerationRequest()
    for number in range(10):
        seeds = replace(wanted.seeds, seed=number)
        store.add(f"job-{number}", "ann", replace(wanted, prompt=PromptParams(text=str(number)), seeds=seeds))

    process = serve(tmp_path, lanes, database)
    deadline = time.monotonic() + 60
    while not (tmp_path / "busy-4").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait(10)

    states = Counter(record.state for record in store.list())
    assert states["running"] >= 1
    assert states["queued"] >= 1
    ended = {record.id: record for record in store.list(state="done")}
    assert ended

    assert serve(tmp_path, lanes, database).wait(90) == 0
    after = {record.id: record for record in store.list()}
    assert Counter(record.state for record in after.values()) == {"done": 10}
    assert all(after[name] == record for name, record in ended.items())
    drawn = Counter((tmp_path / "drawn.txt").read_text().split("\n")[:-1])
    assert set(drawn) == {f"{number} {number}" for number in range(10)}
    # Only a job that was killed between its last picture and its row could be drawn again, never one that had ended.
    assert all(drawn[f"{name.removeprefix('job-')} {name.removeprefix('job-')}"] == 1 for name in ended)
    with database.connect() as connection:
        rows = connection.exec_driver_sql("SELECT job, COUNT(*) FROM gallery GROUP BY job").fetchall()
    assert sorted(rows) == sorted((f"job-{number}", 1) for number in range(10))
