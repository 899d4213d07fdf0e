"""Experiments that are drawn: by jobs, once, in spite of failures, and to their end whatever happens in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from modules.contracts.codec import encode
from modules.contracts.errors import InvalidRequest, OverLimit, StudioError
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.experiments.store import SILENT_SECONDS, TERMINAL
from modules.experiments.tables import EXPERIMENTS

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import json, sys, time
from pathlib import Path
from modules.contracts.codec import decode
from modules.contracts.experiments import Experiment
from tests.experiments.conftest import House
house = House(Path(sys.argv[1]))
record = house.service.start(decode(Experiment, json.loads(sys.stdin.readline())), "ada")
while house.service.get(record.id).counts.get("done", 0) < 5:
    time.sleep(0.001)
print(record.id, flush=True)
time.sleep(60)
"""
"""A studio that is killed once it has drawn five cells."""
BASE = GenerationRequest(
    prompt=PromptParams(text="a cat"),
    canvas=CanvasParams(width=64, height=64),
    sampling=SamplingParams(steps=2),
    seeds=SeedParams(seed=1, subseed=1),
)
AXES = (("Seed", "10-13"), ("CFG Scale", "1, 7"))


def seen(house, record):
    with house.database.connect() as connection:
        return connection.execute(select(EXPERIMENTS.c.seen).where(EXPERIMENTS.c.id == record.id)).scalar()


def states(house, record):
    return [cell.state for cell in house.service.cells(record.id)]


def test_every_cell_is_a_job_with_a_picture_of_its_own(house):
    record = house.draw(house.experiment(BASE, *AXES))
    assert record.state == "done"
    assert record.ended is not None
    assert record.counts == {"done": 8}
    cells = house.service.cells(record.id)
    assert [cell.place for cell in cells] == [(s, c) for c in (0, 1) for s in (0, 1, 2, 3)]
    assert len({cell.job_id for cell in cells}) == 8
    for cell in cells:
        (row,) = house.pictures.list(job_id=cell.job_id)
        assert row.recipe["seed"] == 10 + cell.place[0]
        assert house.queue.request(cell.job_id).sampling.cfg_scale == (1, 7)[cell.place[1]]


def test_what_was_drawn_before_is_taken_from_the_gallery(house):
    first = house.draw(house.experiment(BASE, *AXES))
    drawn = len(house.engine.seen)
    changed = house.experiment(BASE, ("Seed", "10-14"), ("CFG Scale", "1, 7"))
    told = house.service.foresee(changed, "ada")
    assert (told.cells, told.cached, told.pictures, told.memory) == (10, 8, 2, 7)
    again = house.draw(changed)
    assert [request.seeds.seed for request in house.engine.seen[drawn:]] == [14, 14]
    assert sum(cell.cached for cell in house.service.cells(again.id)) == 8
    jobs = {cell.job_id for cell in house.service.cells(first.id)}
    assert jobs < {cell.job_id for cell in house.service.cells(again.id)}


def test_only_the_same_is_taken_for_the_same(house):
    experiment = house.experiment(BASE, ("Seed", "10"))
    first = house.draw(experiment)
    assert house.service.foresee(experiment, "bob").cached == 0  # another's pictures are not bob's
    house.mark = {"model": 2}
    assert house.service.foresee(experiment, "ada").cached == 0  # the checkpoint is another
    house.mark = {"model": 1}
    (cell,) = house.service.cells(first.id)
    house.pictures.delete(house.pictures.list(job_id=cell.job_id)[0].id)
    assert house.service.foresee(experiment, "ada").cached == 0  # the picture is gone
    house.draw(experiment)
    assert len(house.engine.seen) == 2


def test_settings_are_axes_and_hold_for_their_cells_alone(house):
    record = house.draw(house.experiment(BASE, ("settings.enable_prompt_comments", "on, off")))
    assert record.counts == {"done": 2}
    assert [dict(request.own)["enable_prompt_comments"] for request in house.engine.seen] == [True, False]
    assert len({cell.job_id for cell in house.service.cells(record.id)}) == 2
    with pytest.raises(InvalidRequest, match="no axis"):
        house.experiment(BASE, ("settings.max_batch", "1, 2"))


def test_the_same_recipe_twice_is_drawn_once(house):
    record = house.draw(house.experiment(BASE, ("Seed", "5, 5, 6")))
    assert len(house.engine.seen) == 2
    first, second, _ = house.service.cells(record.id)
    assert first.job_id == second.job_id
    assert second.cached


def test_a_cell_that_fails_is_marked_and_the_others_are_drawn(house):
    house.engine.fail["a dog"] = StudioError("The dog ran away.")
    record = house.draw(house.experiment(BASE, ("Prompt S/R", "cat, dog, owl")))
    assert record.state == "done"
    assert [(cell.state, cell.error) for cell in house.service.cells(record.id)] == [
        ("done", None), ("failed", "The dog ran away."), ("done", None),
    ]  # fmt: skip
    house.engine.fail.clear()
    assert house.service.resume(record.id)
    assert house.service.wait(record.id, 30).counts == {"done": 3}
    assert not house.service.resume(record.id)


def test_cancelling_leaves_out_what_is_not_drawn(house):
    house.engine.hold()
    record = house.service.start(house.experiment(BASE, ("Seed", "1-60")), "ada")
    house.engine.entered.acquire()
    assert house.service.cancel(record.id)
    ended = house.service.wait(record.id, 30)
    assert ended.state == "cancelled"
    assert ended.counts == {"cancelled": 60}
    assert house.queue.pending() == 0
    assert not house.service.cancel(record.id)
    house.engine.let_go()
    assert house.service.resume(record.id)
    assert house.service.wait(record.id, 60).counts == {"done": 60}


def test_a_grid_killed_in_the_middle_goes_on_and_its_sheet_equals_the_uninterrupted_one(house):
    experiment = house.experiment(BASE, ("Seed", "1-100"), ("CFG Scale", "1, 7"))
    house.die()
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(house.folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(json.dumps(encode(experiment)).encode() + b"\n")
        process.stdin.flush()
        record_id = process.stdout.readline().decode().strip()
        process.kill()
        assert process.wait(20) == -signal.SIGKILL
    house.live()
    assert house.service.wait(record_id, 60).counts == {"done": 200}
    assert 0 < len(house.engine.seen) <= 195  # those that had been drawn were not drawn again
    sheet, _ = house.service.file(record_id, "sheet.png")
    whole = house.service.wait(house.service.start(experiment, "bob").id, 60)
    assert house.service.file(whole.id, "sheet.png")[0] == sheet
    jobs, others = ({cell.job_id for cell in house.service.cells(one)} for one in (record_id, whole.id))
    assert len(jobs) == len(others) == 200
    assert not jobs & others


def test_a_studio_that_closes_leaves_its_grids_to_the_next_one(house):
    house.engine.hold()
    record = house.service.start(house.experiment(BASE, ("Seed", "1-40")), "ada")
    house.engine.entered.acquire()
    house.die()
    house.engine.let_go()
    house.live()
    assert house.service.wait(record.id, 60).counts == {"done": 40}


def test_a_job_that_was_written_down_and_never_stored_is_asked_for_again(house):
    experiment = house.experiment(BASE, ("Seed", "1, 2"))
    house.queue.pause()
    record = house.service.start(experiment, "ada")
    house.service.stop()
    house.store.change(record.id, 0, "queued", job_id="never-stored")
    house.die()
    house.live()
    house.queue.resume()
    assert house.service.wait(record.id, 30).counts == {"done": 2}


def test_what_a_terminal_left_is_not_gone_on_with_by_a_server(house):
    house.store.add("left", "terminal", "terminal", house.experiment(BASE, ("Seed", "1")), [(0, "x")])
    house.die()
    house.live()
    assert house.store.state("left") == "running"
    assert [cell.state for cell in house.service.cells("left")] == ["waiting"]


def test_a_terminal_grid_that_was_killed_is_stopped_and_can_be_resumed(house):
    house.die()
    house.live(keeper=TERMINAL)
    house.queue.pause()
    record = house.service.start(house.experiment(BASE, ("Seed", "1-40")), "terminal")
    house.die()  # nothing is written down of the end, as when it is killed
    house.live()
    assert house.service.get(record.id).state == "running"
    assert not house.service.resume(record.id)
    house.late = SILENT_SECONDS + 1
    assert house.service.get(record.id).state == house.service.list()[0].state == "stopped"
    house.queue.resume()
    assert house.service.resume(record.id)
    assert house.service.wait(record.id, 60).counts == {"done": 40}


def test_a_terminal_that_is_at_it_is_not_taken_for_dead(house, monkeypatch):
    monkeypatch.setattr("modules.experiments.run.LOOK_SECONDS", 0.01)
    house.die()
    house.live(keeper=TERMINAL)
    house.queue.pause()
    record = house.service.start(house.experiment(BASE, ("Seed", "1, 2")), "terminal")
    for ahead in (SILENT_SECONDS - 1, 2 * SILENT_SECONDS - 2):
        beaten, house.late = seen(house, record), ahead
        while seen(house, record) == beaten:
            time.sleep(0.005)
        assert house.service.get(record.id).state == "running"
    house.queue.resume()
    assert house.service.wait(record.id, 30).counts == {"done": 2}


def test_a_queue_that_is_full_is_asked_again(house, monkeypatch):
    submit, refused = house.queue.submit, []

    def full(request, owner, **more):
        if request.seeds.seed == 2 and len(refused) < 2:
            refused.append(request)
            raise OverLimit("Enough for now.", retry_after=0.05)
        return submit(request, owner, **more)

    monkeypatch.setattr(house.queue, "submit", full)
    assert house.draw(house.experiment(BASE, ("Seed", "1-4"))).counts == {"done": 4}
    assert len(refused) == 2


def test_nothing_is_stored_of_what_cannot_be_drawn(house):
    with pytest.raises(InvalidRequest, match="Steps is 0"):
        house.service.start(house.experiment(BASE, ("Steps", "5, 0")), "ada")
    assert house.service.list() == []


def test_lists_are_by_owner_and_newest_first(house):
    first, second = (house.draw(house.experiment(BASE, ("Seed", text))) for text in ("1", "2"))
    other = house.draw(house.experiment(BASE, ("Seed", "3")), "bob")
    assert [one.id for one in house.service.list(owner="ada")] == [second.id, first.id]
    assert [one.id for one in house.service.list(limit=2)] == [other.id, second.id]


def test_time_is_foreseen_once_a_speed_is_known(house):
    experiment = house.experiment(BASE, ("Seed", "1-8"))
    assert house.service.foresee(experiment, "ada").seconds is None
    house.draw(house.experiment(BASE, ("Seed", "100-103")))
    seconds = house.service.foresee(experiment, "ada").seconds
    assert 0 < seconds.low <= seconds.likely <= seconds.high
    twice = house.service.foresee(house.experiment(replace(BASE), ("Seed", "1-16")), "ada").seconds
    assert twice.likely == pytest.approx(2 * seconds.likely)
