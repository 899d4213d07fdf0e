"""The gallery: pictures are neither lost nor doubled, by many at once and by crashes."""

from __future__ import annotations

import io
import os
import re
import threading
import time

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, update

from modules.contracts.errors import InvalidRequest
from modules.contracts.request import OutputParams
from modules.contracts.result import Film
from modules.outputs import store as store_module
from modules.outputs.metadata import read_metadata
from modules.outputs.store import DiskPictureStore
from modules.outputs.tables import PICTURES
from tests.outputs.making import INFOTEXT, RECIPE, database, image, picture, settings

PNG = OutputParams()


class Died(BaseException):
    """The process ends here."""


@pytest.fixture
def place(tmp_path):
    return tmp_path


@pytest.fixture
def store(place):
    return open_store(place)


def open_store(place, **changes):
    return DiskPictureStore(database(place / "db.sqlite3"), place / "outputs", settings(**changes))


def files(place):
    return sorted(path for path in (place / "outputs").rglob("*") if path.is_file())


def age(store, seconds=store_module.STALE_SECONDS + 1):
    """Make every claim look old."""
    with store._engine.begin() as connection:
        connection.execute(update(PICTURES).values(created=PICTURES.c.created - seconds))


def test_a_saved_picture_can_be_found_and_is_pixel_equal(store, place):
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    assert (row.job_id, row.index, row.owner, row.media_type) == ("j", 0, "me", "image/png")
    assert (row.width, row.height, row.infotext, row.recipe) == (48, 32, INFOTEXT, RECIPE)
    assert store.get(row.id) == row
    data = store.read(row.id)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened), np.asarray(image(seed=0)))
    assert read_metadata(data).infotext == INFOTEXT
    (path,) = files(place)
    assert path.name == row.name == "00001-42-a cat.png"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", path.parent.name)
    assert path.parent.parent == place / "outputs"
    assert row.created.tzinfo is not None


@pytest.mark.parametrize(("fmt", "kind"), [("jpeg", "image/jpeg"), ("webp", "image/webp")])
def test_other_formats(store, fmt, kind):
    row = store.save(picture(), job_id="j", owner="me", output=OutputParams(format=fmt))
    assert row.media_type == kind
    with Image.open(io.BytesIO(store.read(row.id))) as opened:
        assert opened.format == fmt.upper()


def test_an_unknown_format_leaves_nothing_behind(store, place):
    with pytest.raises(InvalidRequest):
        store.save(picture(), job_id="j", owner="me", output=OutputParams(format="bmp"))
    assert files(place) == []
    assert store.list() == []


def test_saving_again_gives_the_first_row(store, place):
    first = store.save(picture(), job_id="j", owner="me", output=PNG)
    again = store.save(picture(prompt="another"), job_id="j", owner="me", output=PNG)
    assert again == first
    assert len(files(place)) == 1


def test_lists_are_newest_first_and_can_be_narrowed(store):
    for job, owner in (("a", "me"), ("b", "you"), ("c", "me")):
        for index in range(2):
            store.save(picture(index), job_id=job, owner=owner, output=PNG)
    assert [(row.job_id, row.index) for row in store.list()][:3] == [("c", 1), ("c", 0), ("b", 1)]
    assert [row.job_id for row in store.list(owner="you")] == ["b", "b"]
    assert [row.index for row in store.list(job_id="a")] == [1, 0]
    assert len(store.list(limit=4)) == 4
    assert [row.job_id for row in store.list(limit=2, offset=4)] == ["a", "a"]


def test_deleting_removes_everything(place):
    store = open_store(place, save_txt=True)
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    assert store.thumbnail(row.id, 64)
    assert [path.suffix for path in files(place)] == [".png", ".txt"]
    assert store.delete(row.id)
    assert not store.delete(row.id)
    assert files(place) == []
    assert (store.get(row.id), store.read(row.id), store.thumbnail(row.id, 64)) == (None, None, None)
    assert not list((place / "cache").rglob("*.webp"))


def test_the_text_file_is_a_wish(place):
    store = open_store(place, save_txt=True)
    store.save(picture(), job_id="j", owner="me", output=PNG)
    text = next(path for path in files(place) if path.suffix == ".txt")
    assert text.read_text("utf-8") == INFOTEXT + "\n"
    assert text.with_suffix(".png").exists()


def test_ids_tell_nothing_and_unknown_ones_find_nothing(store):
    ids = {store.save(picture(index), job_id="j", owner="me", output=PNG).id for index in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch(r"[0-9a-f]{24}", one) for one in ids)
    for wrong in ("", "../../etc/passwd", "x' OR 1=1", "*"):
        assert store.get(wrong) is None
        assert store.read(wrong) is None
        assert store.thumbnail(wrong, 64) is None
        assert not store.delete(wrong)


def test_a_file_that_somebody_took_away_is_none(store, place):
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    files(place)[0].unlink()
    assert store.read(row.id) is None
    assert store.get(row.id) == row


@pytest.mark.parametrize("side", [1, 16, 64, 1000, 10**9])
def test_thumbnails_are_small_and_kept(store, place, side):
    row = store.save(picture(image=image(size=(400, 200))), job_id="j", owner="me", output=PNG)
    data = store.thumbnail(row.id, side)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "WEBP"
        assert max(opened.size) == min(max(side, 64), 400)
    assert store.thumbnail(row.id, side) == data
    assert len(list((place / "cache" / "thumbnails").iterdir())) == 1


def test_a_name_in_the_way_is_not_overwritten(store, place):
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    strange = files(place)[0].parent / "00002-42-a cat.png"
    strange.write_bytes(b"mine")
    other = store.save(picture(), job_id="k", owner="me", output=PNG)
    assert other.name == "00002-42-a cat-1.png"
    assert strange.read_bytes() == b"mine"
    assert store.read(row.id) != b"mine"


def test_two_threads_with_the_same_pattern_do_not_collide(place):
    stores = [open_store(place, samples_filename_pattern="same") for _ in range(2)]
    rows, failures = [], []

    def work(number):
        try:
            for index in range(50):
                rows.append(stores[number].save(picture(index), job_id=f"job-{number}", owner="me", output=PNG))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({row.name for row in rows}) == len({row.id for row in rows}) == 100
    assert len(files(place)) == 100
    for row in rows:
        with Image.open(io.BytesIO(stores[0].read(row.id))) as opened:
            assert np.array_equal(np.asarray(opened), np.asarray(image(seed=row.index)))


def test_one_picture_saved_by_two_threads_is_one_picture(place):
    store, rows = open_store(place), []
    barrier = threading.Barrier(4)

    def work():
        barrier.wait()
        rows.append(store.save(picture(), job_id="j", owner="me", output=PNG))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row.id for row in rows}) == 1
    assert len(files(place)) == len(store.list()) == 1


@pytest.mark.parametrize("moment", ["before the file", "after the file"])
def test_a_crash_between_file_and_row_is_made_good_by_saving_again(place, monkeypatch, moment):
    def die(target, data, **options):
        if moment == "after the file":
            target.write_bytes(data)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_bytes", die)
        with pytest.raises(Died):
            open_store(place).save(picture(), job_id="j", owner="me", output=PNG)
    store = open_store(place)
    assert store.list() == []
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    assert store.list() == [row]
    assert [path.name for path in files(place)] == [row.name] == ["00001-42-a cat.png"]
    assert read_metadata(store.read(row.id)).infotext == INFOTEXT


def test_sweeping_settles_what_nobody_came_back_for(place, monkeypatch):
    for job, whole in (("finished", True), ("empty", False)):

        def die(target, data, whole=whole, **options):
            if whole:
                target.write_bytes(data)
            else:
                (target.parent / f".{target.name}.abcd.part").write_bytes(data[:10])
            raise Died

        with monkeypatch.context() as patch:
            patch.setattr(store_module, "write_bytes", die)
            with pytest.raises(Died):
                open_store(place).save(picture(), job_id=job, owner="me", output=PNG)
    store = open_store(place)
    assert store.sweep() == 0  # too fresh: somebody may be writing
    assert store.list() == []
    age(store)
    store = open_store(place)
    assert [row.job_id for row in store.list()] == ["finished"]
    assert [path.name for path in files(place)] == [store.list()[0].name]
    assert read_metadata(store.read(store.list()[0].id)).infotext == INFOTEXT
    assert store.sweep() == 0


def test_a_save_that_was_swept_while_the_disk_was_slow_still_counts(place, monkeypatch):
    store = open_store(place)
    write = store_module.write_bytes

    def slow(target, data, **options):
        age(store)
        store.sweep()
        write(target, data, **options)

    monkeypatch.setattr(store_module, "write_bytes", slow)
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    assert store.list() == [row]
    assert read_metadata(store.read(row.id)).infotext == INFOTEXT


def half(target, data, **options):
    """A write that dies before it has ended."""
    (target.parent / f".{target.name}.abcd.part").write_bytes(data[:10])
    raise Died


def test_what_a_crash_left_of_a_picture_goes_when_it_is_saved_again(place, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_bytes", half)
        with pytest.raises(Died):
            open_store(place).save(picture(), job_id="j", owner="me", output=PNG)
    assert any(path.suffix == ".part" for path in files(place))
    row = open_store(place).save(picture(), job_id="j", owner="me", output=PNG)
    assert [path.name for path in files(place)] == [row.name]


def test_claims_of_jobs_that_have_ended_are_settled_however_fresh(place, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_bytes", half)
        for job in ("waiting", "set aside"):
            with pytest.raises(Died):
                open_store(place).save(picture(), job_id=job, owner="me", output=PNG)
    store = open_store(place)
    assert len(files(place)) == 2
    assert store.sweep(lambda job: job == "set aside") == 1
    assert len(files(place)) == 1
    row = store.save(picture(), job_id="waiting", owner="me", output=PNG)
    assert [path.name for path in files(place)] == [row.name]


def test_a_claim_that_died_before_it_had_a_name_is_settled(place, monkeypatch):
    def die(self, row, stem, ending):
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(DiskPictureStore, "_take_name", die)
        with pytest.raises(Died):
            open_store(place).save(picture(), job_id="set aside", owner="me", output=PNG)
    store = open_store(place)
    assert store.sweep(lambda job: job == "set aside") == 1
    assert store.sweep(lambda job: True) == 0
    assert (store.list(), files(place)) == ([], [])
    assert store.save(picture(), job_id="set aside", owner="me", output=PNG) == store.list()[0]


def test_a_crash_inside_the_claim_leaves_no_file(place, monkeypatch):
    store = open_store(place)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "update", lambda table: (_ for _ in ()).throw(Died()))
        with pytest.raises(Died):
            store.save(picture(), job_id="j", owner="me", output=PNG)
    assert files(place) == []
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    assert [path.name for path in files(place)] == [row.name]


def test_a_full_disk_is_reported_and_saving_works_afterwards(place, monkeypatch):
    store = open_store(place)

    def full(target, data, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            store.save(picture(), job_id="j", owner="me", output=PNG)
    assert store.list() == []
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    assert store.list() == [row]


def test_a_row_that_leads_elsewhere_is_not_followed(store, place):
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    (place / "secret").write_bytes(b"secret")
    for folder, name in (("..", "secret"), (".", "secret"), ("2026-01-01", "../../secret")):
        with store._engine.begin() as connection:
            connection.execute(update(PICTURES).values(folder=folder, name=name))
        with pytest.raises(ValueError, match="outside"):
            store.read(row.id)


def test_rows_and_jobs_share_a_database(place):
    engine = database(place / "db.sqlite3")
    DiskPictureStore(engine, place / "outputs", settings())
    DiskPictureStore(engine, place / "outputs", settings())
    with engine.connect() as connection:
        assert connection.execute(select(PICTURES)).all() == []


def test_times_are_those_of_saving(store):
    before = time.time()
    row = store.save(picture(), job_id="j", owner="me", output=PNG)
    assert before - 1 <= row.created.timestamp() <= time.time() + 1


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_saved_files_can_be_read_by_others_than_the_owner(store, place):
    store.save(picture(), job_id="j", owner="me", output=PNG)
    assert files(place)[0].stat().st_mode & 0o777 == 0o644


def test_a_film_is_kept_as_the_file_that_it_asked_for(store):
    frames = tuple(image(seed=number) for number in range(3))
    drawn = picture(image=frames[0], film=Film(frames, 8, "webp"))
    row = store.save(drawn, job_id="film", owner="ann", output=OutputParams(format="png"))
    assert (row.media_type, row.name.endswith(".webp"), row.width) == ("image/webp", True, 48)
    with Image.open(io.BytesIO(store.read(row.id))) as opened:
        assert opened.n_frames == 3
    with Image.open(io.BytesIO(store.thumbnail(row.id, 64))) as small:
        assert getattr(small, "n_frames", 1) == 1
