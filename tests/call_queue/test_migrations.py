"""Databases of every age come to the shape that the code expects, rows and all, on both kinds of database."""

from __future__ import annotations

import random
import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from modules.call_queue import tables as jobs
from modules.call_queue.database import prepare_tables
from modules.call_queue.store import JobStore
from modules.contracts.errors import StudioError
from modules.contracts.jobs import JobFilter
from modules.contracts.pictures import Marks, PictureFilter
from modules.contracts.request import GenerationRequest, OutputParams
from modules.outputs import tables as gallery
from modules.outputs.store import DiskPictureStore
from tests.outputs.making import picture, settings

SERIAL = {"sqlite": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"}
REAL = {"sqlite": "FLOAT", "postgresql": "DOUBLE PRECISION"}
FIRST_JOBS = """CREATE TABLE jobs (number {serial}, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, state TEXT NOT NULL,
    request TEXT, created {real} NOT NULL, started {real}, ended {real}, attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL, cancelling BOOLEAN NOT NULL, pictures INTEGER NOT NULL, error_kind TEXT, error TEXT,
    CONSTRAINT known_state CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')))"""
FIRST_PICTURES = """CREATE TABLE pictures (number {serial}, id TEXT NOT NULL UNIQUE, job_id TEXT NOT NULL,
    position INTEGER NOT NULL, owner TEXT NOT NULL, created {real} NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, format TEXT NOT NULL, infotext TEXT NOT NULL, recipe TEXT NOT NULL, folder TEXT NOT NULL,
    name TEXT NOT NULL, ready BOOLEAN NOT NULL, CONSTRAINT one_row_a_picture UNIQUE (job_id, position))"""
"""The tables as they were before there were versions, written down here once more so that nothing changes them."""
WORDS = 'a cat\nSteps: 12, Sampler: Euler a, Size: 8x9, Model: "a, b"'
NAMED = (
    (
        "a cat\n" r'Steps: 12, Sampler: Euler a, Seed: 1, Model: "the \"big\" one, c:\\nets"',
        'the "big" one, c:\\nets',
        "Euler a",
    ),
    ("a\n" r'Steps: 1, Note: "b, Model: wrong, Sampler: none", Seed: 1, Model: right, Sampler: DDIM', "right", "DDIM"),
    (r'Steps: 1, Seed: 1, Refiner: x, Note: "\u00e9", Model: "gr\u00f6\u00dfer: 2", Clip skip: 2', "größer: 2", ""),
    ('a\nSteps: 1, Sampler: 5" wide, Seed: 1, Model: "open, Size: 8x8', '"open', '5" wide'),
    ("a, Model: b, Sampler: c", "", ""),  # too few for parameters: a prompt
    ("Model: above\nSteps: 1, Seed: 1, Size: 8x8, Base Model: c, Model: ", "", ""),
)
"""Infotexts, and the model and the sampler that they name."""
LONG = "".join(map(chr, random.Random(7).choices(range(0x4E00, 0x9F00), k=3000)))
"""A name that no packing makes small."""


@pytest.fixture
def old_database(database):
    """A database that was made before there were versions, with jobs in every state and a picture in it."""
    kind = database.dialect.name
    no, yes = ("0", "1") if kind == "sqlite" else ("false", "true")
    with database.begin() as connection:
        for statement in (FIRST_JOBS, FIRST_PICTURES):
            connection.exec_driver_sql(statement.format(serial=SERIAL[kind], real=REAL[kind]))
        for name, table, columns in (
            ("jobs_by_state", "jobs", "state, number"),
            ("jobs_by_owner", "jobs", "owner, number"),
            ("pictures_by_owner", "pictures", "owner, number"),
        ):
            connection.exec_driver_sql(f"CREATE INDEX {name} ON {table} ({columns})")
        row = "INSERT INTO jobs (id, owner, state, request, created, attempts, crashes, cancelling, pictures, started) "
        connection.exec_driver_sql(row + f"VALUES ('ended', 'ann', 'done', '{{}}', 100.5, 1, 0, {no}, 2, 101)")
        connection.exec_driver_sql(row + f"VALUES ('ran', 'ann', 'running', '{{}}', 101.5, 1, 0, {no}, 0, 102)")
        connection.exec_driver_sql(row + f"VALUES ('second', 'bob', 'queued', '{{}}', 103.5, 0, 1, {no}, 0, NULL)")
        connection.exec_driver_sql(row + f"VALUES ('first', 'bob', 'queued', '{{}}', 102.5, 0, 0, {no}, 0, NULL)")
        connection.exec_driver_sql(
            "INSERT INTO pictures (id, job_id, position, owner, created, width, height, format, infotext, recipe, "
            f"folder, name, ready) VALUES ('p', 'ended', 0, 'ann', 104.5, 8, 9, 'png', '{WORDS}', '{{}}', 'd', 'n', "
            f"{yes})"
        )
    return database


def differences(database):
    """What the code expects of the tables and the database does not have, or the other way round."""
    both = sa.MetaData()
    for metadata in (jobs.METADATA, gallery.METADATA):
        for table in metadata.tables.values():
            table.to_metadata(both)
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, both)
    return [change for change in found if not (change[0] == "remove_table" and aside(change[1].name))]


def aside(name):
    """Whether a table is none of the code's own: what versions are noted in, and SQLite's index of words."""
    return name.endswith("_version") or name.startswith(gallery.WORDS)


def pictures(database, tmp_path):
    return DiskPictureStore(database, tmp_path / "outputs", settings())


def test_a_new_database_gets_what_the_code_expects(database, tmp_path):
    JobStore(database)
    pictures(database, tmp_path)
    assert differences(database) == []


def test_rows_of_a_database_from_before_there_were_versions_are_kept(old_database, tmp_path):
    gallery_store = pictures(old_database, tmp_path)
    store = JobStore(old_database)
    assert differences(old_database) == []
    listed = store.page(JobFilter())
    assert [(job.id, job.owner, job.state) for job in listed.jobs] == [
        ("first", "bob", "queued"), ("second", "bob", "queued"), ("ran", "ann", "running"), ("ended", "ann", "done"),
    ]  # fmt: skip
    assert [(job.pictures, job.details.crashes, job.details.paused) for job in listed.jobs][1::2] == [
        (0, 1, False),
        (2, 0, False),
    ]
    assert (store.waiting_bytes(), store.waiting_bytes("bob"), store.waiting_bytes("ann")) == (4, 4, 0)  # "{}" twice
    assert store.release(["ran"]) == 1
    assert store.waiting_bytes("ann") == 2
    assert store.get("ended").created.timestamp() == 100.5
    assert (store.get("ended").terms.priority, store.get("ended").terms.deadline) == (0, None)
    picture = gallery_store.get("p")
    assert (picture.owner, picture.width, picture.height, picture.infotext) == ("ann", 8, 9, WORDS)
    assert picture.marks == Marks()
    told = gallery_store.facets("ann")
    assert (list(told.models), list(told.samplers)) == ([("a, b", 1)], [("Euler a", 1)])
    for wanted, number in (("ca", 1), ("DOG", 0), ("euler 12", 1)):
        assert gallery_store.search(PictureFilter(text=wanted)).total == number


def draw_earlier(database, texts):
    """Put pictures with these infotexts into a database that is older than the names that lists know."""
    with database.begin() as connection:
        for number, said in enumerate(texts):
            row = sa.text(
                "INSERT INTO pictures (id, job_id, position, owner, created, width, height, format, infotext, recipe, "
                f"folder, name, ready) SELECT 'p{number}', 'old', {number}, owner, created, width, height, format, "
                ":said, recipe, folder, name, ready FROM pictures WHERE id = 'p'"
            )
            connection.execute(row, {"said": said})


def draw_now(store, texts):
    for number, said in enumerate(texts):
        store.save(picture(number, infotext=said), job_id="new", owner="ann", output=OutputParams())


def test_pictures_of_every_age_are_listed_by_the_same_names(old_database, tmp_path):
    texts = [said for said, _, _ in NAMED]
    draw_earlier(old_database, texts)
    draw_now(pictures(old_database, tmp_path), texts)
    shown = sa.select(gallery.PICTURES.c["model", "sampler"]).order_by(gallery.PICTURES.c.position)
    with old_database.connect() as connection:
        old, new = (connection.execute(shown.where(gallery.PICTURES.c.job_id == job)).all() for job in ("old", "new"))
    assert old == new == [(model, sampler) for _, model, sampler in NAMED]


def test_names_of_any_length_are_taken_and_found(old_database, tmp_path):
    model, sampler, wide = LONG[::-1], LONG, "w" * 3000
    texts = [f"a\nSteps: 1, Seed: 1, Model: {model}, Sampler: {sampler}", f"a\nSteps: 1, Seed: 1, Model: {wide}"]
    draw_earlier(old_database, texts)
    store = pictures(old_database, tmp_path)
    draw_now(store, texts)
    told = store.facets("ann")
    assert {(len(name), number) for name, number in told.models} == {(4, 1), (333, 2), (500, 2)}  # of 1, 3, 1 bytes
    assert [(len(name), number) for name, number in told.samplers] == [(333, 2), (7, 1)]
    for name in (model, model[:333], wide, wide[:500]):
        assert store.search(PictureFilter(model=name)).total == 2
    assert store.search(PictureFilter(sampler=sampler)).total == 2
    assert store.search(PictureFilter(model=model[:332])).total == 0
    assert store.get("p0").infotext == texts[0]


def test_old_jobs_are_taken_in_the_order_in_which_they_came(old_database):
    store = JobStore(old_database)
    store.finish("ran", "done")
    assert store.claim().id == "first"
    store.finish("first", "done")
    assert store.claim().id == "second"
    store.finish("second", "done")
    store.add("new", "cid", GenerationRequest())
    assert store.claim().id == "new"


def test_the_rooms_have_versions_of_their_own(database, tmp_path):
    pictures(database, tmp_path)
    with database.connect() as connection:
        names = set(sa.inspect(connection).get_table_names())
    assert {name for name in names if not name.startswith(gallery.WORDS)} == {"pictures", "pictures_version"}
    JobStore(database)
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM jobs_version").scalars().all() == [jobs.VERSION]
        assert connection.exec_driver_sql("SELECT version_num FROM pictures_version").scalars().all() == [
            gallery.VERSION
        ]


def test_several_starts_at_once_migrate_once(old_database):
    failures = []

    def start():
        try:
            prepare_tables(old_database)
        except sa.exc.SQLAlchemyError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert JobStore(old_database).pending() == 3


def test_a_failed_migration_leaves_everything_as_it_was(old_database):
    with old_database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE speeds (odd INTEGER)")  # in the way of one that the scripts make
    with pytest.raises(sa.exc.SQLAlchemyError):
        JobStore(old_database)
    with old_database.connect() as connection:
        columns = {column["name"] for column in sa.inspect(connection).get_columns("jobs")}
        tables = set(sa.inspect(connection).get_table_names())
    assert "place" not in columns
    assert not tables & {"shares", "schedule", "jobs_version"}
    with old_database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE speeds")
    assert JobStore(old_database).pending() == 3


def test_a_database_of_a_newer_program_is_refused_in_one_sentence(database):
    JobStore(database)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs_version SET version_num = 'jobs_99'")
    with pytest.raises(StudioError, match="jobs_99, which this program does not know"):
        JobStore(database)
