"""Finding pictures: words, what lists are narrowed by, pages that nothing shifts, favourites and the bin."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text

from modules.contracts.pictures import PictureFilter
from modules.contracts.request import OutputParams
from modules.outputs.store import DiskPictureStore
from tests.call_queue.fakes import MemoryPictures
from tests.outputs.making import database, image, picture, settings

SAID = "{prompt}\nSteps: 12, Sampler: {sampler}, Seed: {seed}, Size: 48x32, Model: {model}"
DRAWN = (
    ("a red Fox, running", "Euler", "pocket", "me"),
    ("a blue café at night", "Euler a", "pocket", "me"),
    ("猫が走っている", "Euler", "big", "me"),
    ("a red fox asleep", "DDIM", "big", "you"),
    ("the fox's 1girl,cat", "DDIM", "big", "me"),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with pictures of two people, which is copied for each test."""
    place = tmp_path_factory.mktemp("gallery")
    store = DiskPictureStore(database(place / "db.sqlite3"), place / "outputs", settings())
    fill(store)
    store._engine.dispose()
    return place


def fill(store):
    for number, (prompt, sampler, model, owner) in enumerate(DRAWN):
        said = SAID.format(prompt=prompt, sampler=sampler, model=model, seed=100 + number)
        one = picture(prompt=prompt, infotext=said, image=image(size=(16 + 8 * (number % 2), 16)))
        store.save(one, job_id=f"j{number}", owner=owner, output=OutputParams())


@pytest.fixture
def store(drawn, tmp_path):
    (tmp_path / "db.sqlite3").write_bytes((drawn / "db.sqlite3").read_bytes())
    shutil.copytree(drawn / "outputs", tmp_path / "outputs")
    return DiskPictureStore(database(tmp_path / "db.sqlite3"), tmp_path / "outputs", settings())


@pytest.fixture(params=["disk", "memory"])
def kept(request):
    """The gallery, and the one in memory that other rooms are tested with, which has to find the same."""
    if request.param == "disk":
        return request.getfixturevalue("store")
    made = MemoryPictures()
    fill(made)
    return made


def jobs(store, **wanted):
    return [row.job_id for row in store.search(PictureFilter(**wanted)).pictures]


WORDS = [
    ("fox", "j4 j3 j0"),
    ("FOX red", "j3 j0"),
    ("red fox", "j3 j0"),
    ("cafe", "j1"),  # without its accent
    ("foxes", ""),
    ("cat", "j4"),
    ("1girl,cat", "j4"),
    ("走って", "j2"),
    ("猫 Euler", "j2"),
    ("seed: 103", "j3"),
    ("ddim", "j4 j3"),
    ("ep", ""),  # within a word only
    ('" : -- *', "j4 j3 j2 j1 j0"),  # no words at all
    ('fox" OR "cat', ""),
    ("100%", "j0"),
    ("s", "j4"),  # a letter that stands alone
]


@pytest.mark.parametrize(("said", "found"), WORDS)
def test_words_are_found_in_prompt_and_parameters(kept, said, found):
    assert jobs(kept, text=said) == found.split()


def test_without_an_index_the_words_are_looked_for_all_the_same(store):
    with store._engine.begin() as connection:
        for statement in ("TRIGGER pictures_words_in", "TRIGGER pictures_words_out", "TABLE pictures_words"):
            connection.execute(text(f"DROP {statement}"))
    plain = DiskPictureStore(store._engine, store._folder, settings())
    assert jobs(plain, text="FOX red") == ["j3", "j0"]
    assert jobs(plain, text="100%") == []
    assert jobs(plain, text="猫 Euler") == ["j2"]


def test_the_index_follows_what_comes_and_goes(store):
    row = store.save(picture(infotext="a purple yak"), job_id="new", owner="me", output=OutputParams())
    assert jobs(store, text="yak") == ["new"]
    store.delete(row.id)
    assert jobs(store, text="yak") == []


def test_lists_are_narrowed_by_what_facets_offer(kept):
    assert jobs(kept, owner="me", model="big") == ["j4", "j2"]
    assert jobs(kept, sampler="Euler") == ["j2", "j0"]
    assert jobs(kept, size=(24, None)) == ["j3", "j1"]
    assert (jobs(kept, moves=True), len(jobs(kept, moves=False))) == ([], 5)
    now = datetime.now(UTC)
    assert (jobs(kept, since=now), len(jobs(kept, until=now))) == ([], 5)
    told = kept.facets("me")
    assert list(told.models) == [("big", 2), ("pocket", 2)]
    assert list(told.samplers) == [("Euler", 2), ("DDIM", 1), ("Euler a", 1)]
    assert list(told.sizes) == [(16, 16, 3), (24, 16, 1)]
    assert (told.films, told.favourites, told.binned, sum(number for _, number in kept.facets().models)) == (
        0,
        0,
        0,
        5,
    )


def test_pages_are_not_shifted_by_what_comes_meanwhile(kept):
    first = kept.search(PictureFilter(), limit=2)
    assert ([row.job_id for row in first.pictures], first.total) == (["j4", "j3"], 5)
    kept.save(picture(), job_id="new", owner="me", output=OutputParams())
    second = kept.search(PictureFilter(), limit=2, after=first.following)
    assert [row.job_id for row in second.pictures] == ["j2", "j1"]
    again = kept.search(PictureFilter(), limit=2, after=first.beginning)
    assert again.pictures == first.pictures
    middle = kept.search(PictureFilter(), limit=2, after=first.beginning, skip=3)
    assert ([row.job_id for row in middle.pictures], middle.following) == (["j1", "j0"], None)
    assert kept.search(PictureFilter(), after=1).beginning == 0


def test_favourites_and_the_bin(kept):
    ids = {row.job_id: row.id for row in kept.list()}
    assert kept.mark([ids["j0"], ids["j1"], "nobody's"], favourite=True) == 2
    assert jobs(kept, favourite=True) == ["j1", "j0"]
    assert kept.mark([ids["j1"], ids["j2"]], binned=True) == 2
    assert jobs(kept) == ["j4", "j3", "j0"] == [row.job_id for row in kept.list()]
    assert (kept.count(), kept.count(job_id="j1"), len(kept.list(job_id="j1"))) == (3, 1, 1)
    assert jobs(kept, binned=True) == ["j2", "j1"]
    since = kept.get(ids["j1"]).marks.binned
    kept.mark([ids["j1"]], binned=True)
    assert kept.get(ids["j1"]).marks.binned == since  # as long as ever
    told = kept.facets("me")
    assert (told.favourites, told.binned, list(told.models)) == (1, 2, [("big", 1), ("pocket", 1)])
    kept.mark([ids["j1"]], binned=False)
    assert jobs(kept, favourite=True) == ["j1", "j0"]
    assert kept.mark([ids["j1"]]) == 1


def test_the_bin_is_emptied_for_good_and_only_of_what_is_old_enough(kept):
    ids = {row.job_id: row.id for row in kept.list()}
    kept.mark([ids["j0"], ids["j3"], ids["j4"]], binned=True)
    assert kept.empty_bin(before=datetime.now(UTC) - timedelta(days=1)) == 0
    assert kept.empty_bin(owner="you") == 1
    assert kept.get(ids["j3"]) is None
    assert kept.empty_bin(before=datetime.now(UTC) + timedelta(seconds=1)) == 2
    assert (kept.get(ids["j0"]), jobs(kept, binned=True), kept.count()) == (None, [], 2)


def test_what_is_put_back_while_the_bin_is_emptied_is_kept(store):
    ids = {row.job_id: row.id for row in store.list()}
    store.mark([ids["j0"], ids["j1"], ids["j2"]], binned=True)
    seen = datetime.now(UTC)
    asked = []

    def meddle(connection, cursor, statement, *rest):
        """Once it is read what the bin holds, one is taken back and one is put in anew."""
        if statement.startswith("SELECT") and not asked:
            asked.append(statement)
            store.mark([ids["j0"], ids["j1"]], binned=False)
            store.mark([ids["j1"]], binned=True)

    event.listen(store._engine, "after_cursor_execute", meddle)
    assert store.empty_bin(before=seen) == 1
    assert asked
    assert (jobs(store), jobs(store, binned=True)) == (["j4", "j3", "j0"], ["j1"])
    assert (store.read(ids["j0"]) is None, store.read(ids["j1"]) is None, store.get(ids["j2"])) == (False, False, None)


def test_a_picture_whose_file_will_not_go_stays_in_the_bin_and_stops_no_other(store, caplog):
    ids = {row.job_id: row.id for row in store.list()}
    store.mark([ids["j0"], ids["j1"], ids["j2"]], binned=True)
    stuck = store._path(store._find(ids["j0"]))
    stuck.unlink()
    (stuck / "held").mkdir(parents=True)  # no unlinking takes a folder away
    assert store.empty_bin() == 2
    assert jobs(store, binned=True) == ["j0"]
    assert [entry.getMessage().split(":")[0] for entry in caplog.records] == [f"picture {ids['j0']} stays in the bin"]
    with pytest.raises(OSError, match=stuck.name):
        store.delete(ids["j0"])
    (stuck / "held").rmdir()
    stuck.rmdir()
    assert (store.empty_bin(), store.get(ids["j0"])) == (1, None)
