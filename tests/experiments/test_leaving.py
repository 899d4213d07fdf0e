"""Experiments that are taken away, by hand, by age and by number, and what becomes of their pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import Keeping
from modules.contracts.networks import NetworkEntry, NoNetworks
from modules.contracts.prompts import NoPrompts, Style
from modules.contracts.request import OutputParams, PromptParams
from modules.experiments.cells import digest_of
from modules.experiments.marks import marks_of
from modules.experiments.store import DAY, TERMINAL
from tests.api.fakes import FakeCatalog
from tests.experiments.test_running import BASE


def drawn(house, seeds, base=BASE, owner="ada"):
    return house.draw(house.experiment(base, ("Seed", seeds)), owner)


def seeds_left(house):
    return sorted(row.recipe["seed"] for row in house.pictures.list())


def test_one_that_is_removed_leaves_its_pictures_unless_they_are_to_go(house):
    first, second = drawn(house, "1-3"), drawn(house, "3-5")
    assert house.service.remove(first.id)
    assert house.service.get(first.id) is None
    assert house.service.cells(first.id) == []
    assert not house.service.remove(first.id)
    assert house.service.remove(second.id, pictures=True)
    assert seeds_left(house) == [1, 2, 3]  # the third was the first one's


def test_a_picture_that_another_experiment_shows_stays(house):
    first, second = drawn(house, "1-3"), drawn(house, "3-5")
    assert house.service.remove(first.id, pictures=True)
    assert seeds_left(house) == [3, 4, 5]
    assert house.service.file(second.id, "cells.json")


def test_a_picture_that_cannot_be_deleted_keeps_no_other_one(house, monkeypatch, caplog):
    first, second = drawn(house, "1-3"), drawn(house, "4")
    stuck = next(row for row in house.pictures.list() if row.recipe["seed"] == 2)
    really = house.pictures.delete

    def delete(picture_id):
        if picture_id == stuck.id:
            raise PermissionError(13, "Permission denied")
        return really(picture_id)

    monkeypatch.setattr(house.pictures, "delete", delete)
    house.late = 10 * DAY
    assert house.service.prune(Keeping(days=9, pictures=True)) == 2
    assert [house.service.get(record.id) for record in (first, second)] == [None, None]
    assert seeds_left(house) == [2]
    assert stuck.id in caplog.text


def test_one_that_runs_is_cancelled_and_goes_when_it_has_ended(house):
    house.engine.hold()
    record = house.service.start(house.experiment(BASE, ("Seed", "1-60")), "ada")
    house.engine.entered.acquire()
    run = house.service._runs[record.id]
    assert house.service.remove(record.id, pictures=True)
    assert run.ended.wait(30)
    assert house.service.get(record.id) is None
    assert house.queue.pending() == 0
    assert seeds_left(house) == []


def test_one_that_another_process_draws_is_not_removed_under_its_hands(house):
    house.store.add("left", "terminal", TERMINAL, house.experiment(BASE, ("Seed", "1")), [(0, "x")])
    with pytest.raises(InvalidRequest, match="Another process"):
        house.service.remove("left")
    assert house.service.get("left") is not None


def test_pictures_that_were_not_to_be_saved_go_with_the_grid(house):
    passing = replace(BASE, output=OutputParams(save=False))
    record = drawn(house, "1, 2", passing)
    assert record.counts == {"done": 2}
    assert house.service.file(record.id, "sheet.png")
    assert house.service.remove(record.id)
    assert seeds_left(house) == []


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_unsaved_pictures_that_two_grids_show_go_with_the_last_of_them(house, first_to_go):
    passing = replace(BASE, output=OutputParams(save=False))
    grids = [drawn(house, "1-3", passing), drawn(house, "3, 4, 3", passing)]
    assert len(house.engine.seen) == 4
    gone, left = grids.pop(first_to_go), grids[0]
    assert house.service.remove(gone.id)
    assert 3 in seeds_left(house)
    assert house.service.file(left.id, "sheet.png")
    assert house.service.remove(left.id)
    assert seeds_left(house) == []


def test_pictures_that_were_to_go_are_handed_from_grid_to_grid(house):
    grids = [drawn(house, "1, 2") for _ in range(3)]
    for record in grids:
        assert seeds_left(house) == [1, 2]
        assert house.service.remove(record.id, pictures=True)
    assert seeds_left(house) == []


def test_age_and_number_say_what_is_pruned_and_what_runs_stays(house):
    old = [drawn(house, str(number)) for number in (1, 2)]
    house.late = 10 * DAY
    young, others = drawn(house, "3"), drawn(house, "4", owner="bob")
    house.queue.pause()
    running = house.service.start(house.experiment(BASE, ("Seed", "5")), "ada")
    assert house.service.prune(Keeping()) == 0
    assert house.service.prune(Keeping(number=3), "ada") == 0
    assert house.service.prune(Keeping(days=9, pictures=True), "bob") == 0
    assert house.service.prune(Keeping(number=2), "ada") == 1
    assert [house.service.get(record.id) is None for record in old] == [True, False]
    assert house.service.prune(Keeping(days=9, pictures=True)) == 1
    assert {record.id for record in house.service.list()} == {young.id, others.id, running.id}
    assert seeds_left(house) == [1, 3, 4]
    house.queue.resume()
    house.service.wait(running.id, 30)


def test_a_cell_is_known_by_what_its_networks_weigh_and_its_styles_say(tmp_path):
    file = tmp_path / "lines.safetensors"
    file.write_bytes(b"one")
    entries = {"lora": [NetworkEntry("lines", "lora", file, "lines", data_hash="a" * 64)], "embedding": []}

    class Shelf(NoNetworks):
        def list(self, kind):
            return tuple(entries[kind])

        def find(self, kind, name):
            return next(one for one in entries[kind] if one.name == name)

    class Book(NoPrompts):
        said = "in ink"

        def styles(self):
            return (Style("Ink", self.said), Style("Lines", "<lora:lines:1>"))

    book = Book()
    marks = marks_of(FakeCatalog(tmp_path), lambda owner: {}, Shelf(), book)

    def digest(text, *styles):
        request = replace(BASE, prompt=PromptParams(text=text, styles=styles))
        return digest_of(request, lambda request: marks(request, "ada"))

    tagged, plain, styled = digest("a <lora:lines:0.5>"), digest("a cat"), digest("a cat", "Lines")
    inked, worded = digest("a cat", "Ink"), digest("a scribble")
    entries["lora"] = [replace(entries["lora"][0], data_hash="b" * 64)]
    assert digest("a <lora:lines:0.5>") != tagged
    assert digest("a cat", "Lines") != styled
    assert digest("a cat") == plain
    book.said = "in blood"
    assert digest("a cat", "Ink") != inked
    assert digest("a cat") == plain
    entries["embedding"] = [NetworkEntry("scribble", "embedding", file, "scribble", sha256="c" * 64)]
    assert digest("a Scribble") != worded
    assert digest("a cat") == plain
