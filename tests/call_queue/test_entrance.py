"""How much may wait: the bytes of requests, of one owner and of all, before anything is stored."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from modules.call_queue.entrance import MEGABYTE, Entrance, Room, room_of, size_of
from modules.call_queue.store import JobStore
from modules.call_queue.tables import JOBS
from modules.contracts.errors import InvalidRequest, NotReady, OverLimit
from modules.contracts.request import GenerationRequest, ImageParams, InpaintParams, PromptParams
from modules.support.options import CORE_SETTINGS
from modules.support.settings import Settings

HALF = MEGABYTE // 2


def heavy(size=HALF, text="a cat"):
    """A request whose picture takes that many bytes as it is stored."""
    return GenerationRequest(PromptParams(text), image=ImageParams((b"\0" * (size * 3 // 4),)))


@pytest.fixture
def bounded(make_queue):
    """A queue that runs nothing, and a function that sets what may wait in it, in megabytes."""
    queue, room = make_queue(), [Room()]
    queue._entrance = Entrance(room=lambda: room[0])

    def bound(whole=0.0, owner=0.0):
        room[0] = Room(int(whole * MEGABYTE), int(owner * MEGABYTE))

    return queue, bound


def test_what_waits_is_added_up_by_owner_and_no_longer_counts_once_it_runs(bounded, store):
    queue, _ = bounded
    queue.submit(heavy(), "ann", job_id="first")
    queue.submit(heavy(), "ann", job_id="second")
    queue.submit(GenerationRequest(PromptParams("ä" * 1000)), "bob")
    ann, bob = queue.waiting_bytes("ann"), queue.waiting_bytes("bob")
    assert 2 * HALF < ann < 2 * HALF + 16_000
    assert 2000 < bob < 8000
    assert queue.waiting_bytes() == ann + bob
    assert queue.waiting_bytes("carol") == 0
    with store.engine.connect() as connection:
        for row in connection.execute(sa.select(JOBS.c.size, JOBS.c.request)):
            assert row.size == len(row.request.encode())
    queue.pause("second")
    assert queue.waiting_bytes("ann") == ann
    assert store.claim().id == "first"
    assert queue.waiting_bytes("ann") == pytest.approx(ann / 2, abs=8)
    store.release(["first"])
    assert queue.waiting_bytes("ann") == ann
    for job in ("first", "second"):
        queue.cancel(job)
    assert queue.waiting_bytes("ann") == 0


def test_an_owner_whose_part_is_full_waits_and_others_do_not(bounded):
    queue, bound = bounded
    bound(whole=10, owner=1.2)
    jobs = [queue.submit(heavy(), "ann").id for _ in range(2)]
    for ask in (queue.check, queue.submit):
        with pytest.raises(OverLimit, match=r"waiting have 1\.0 MB and this one 0\.5 MB; at most 1\.2 MB") as refusal:
            ask(heavy(), "ann")
        assert refusal.value.retry_after > 0
    assert [job.id for job in queue.list(owner="ann", oldest_first=True)] == jobs
    queue.submit(GenerationRequest(PromptParams("small")), "ann")
    queue.submit(heavy(), "bob")
    queue.cancel(jobs[0])
    queue.submit(heavy(), "ann")


def test_all_owners_together_have_a_bound(bounded):
    queue, bound = bounded
    bound(whole=1.2)
    for owner in ("ann", "bob"):
        queue.submit(heavy(), owner)
    for ask in (queue.check, queue.submit):
        with pytest.raises(NotReady, match=r"All requests .* at most 1\.2 MB may wait together"):
            ask(heavy(), "carol")
    assert queue.pending() == 2
    bound()
    queue.submit(heavy(), "carol")


def test_what_would_never_fit_is_wrong_and_not_too_early(bounded):
    queue, bound = bounded
    bound(whole=10, owner=0.4)
    with pytest.raises(InvalidRequest, match=r"The request has 0\.5 MB; requests of at most 0\.4 MB may wait"):
        queue.submit(heavy(), "ann")
    bound(whole=0.3)
    with pytest.raises(InvalidRequest, match=r"0\.3 MB"):
        queue.check(heavy(), "ann")
    assert queue.pending() == 0


def test_a_job_that_is_asked_for_again_is_counted_like_a_new_one(bounded, store):
    queue, bound = bounded
    queue.submit(heavy(), "ann", job_id="ended")
    queue.cancel("ended")
    queue.submit(heavy(), "ann")
    bound(owner=0.8)
    with pytest.raises(OverLimit):
        queue.requeue("ended")
    assert queue.pending() == 1


def test_requests_that_come_at_once_do_not_share_the_last_room(bounded):
    queue, bound = bounded
    bound(owner=1.2)
    together, refused = threading.Barrier(6), []

    def ask():
        together.wait(10)
        try:
            queue.submit(heavy(), "ann")
        except OverLimit as error:
            refused.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (queue.pending(), len(refused)) == (2, 4)


def test_two_processes_do_not_fill_the_same_room(database, second):
    entrance, looked, refused = Entrance(room=lambda: Room(whole=MEGABYTE)), threading.Event(), []
    stores = [JobStore(database), JobStore(second)]
    request = heavy(MEGABYTE * 3 // 4)

    def meanwhile():
        def fits(load):
            looked.set()
            entrance.check_room(request, load)

        try:
            stores[1].add("late", "bob", request, fits=fits)
        except NotReady as error:
            refused.append(error)

    other = threading.Thread(target=meanwhile)

    def fits(load):
        entrance.check_room(request, load)
        other.start()
        assert not looked.wait(0.5), "it measured what waits while another one was on its way in"

    stores[0].add("early", "ann", request, fits=fits)
    other.join(30)
    assert looked.is_set()
    assert [job.id for job in stores[0].list()] == ["early"]
    assert len(refused) == 1


def test_the_sum_is_read_from_an_index_alone(sqlite_database):
    store = JobStore(sqlite_database)
    query = "EXPLAIN QUERY PLAN SELECT sum(size) FROM jobs WHERE state = 'queued' AND owner = 'ann'"
    with store.engine.connect() as connection:
        assert "COVERING INDEX jobs_by_size" in str(connection.exec_driver_sql(query).all())


def test_the_size_of_a_request_is_that_of_its_pictures_and_words():
    whole = replace(heavy(400, "ä"), inpaint=InpaintParams(mask=b"\0" * 30))
    assert size_of(whole) - size_of(replace(whole, image=None)) == 400 + len("stretch")
    assert size_of(whole) - size_of(replace(whole, inpaint=InpaintParams())) == 40
    assert size_of("ä") == 2


def test_the_settings_say_how_much_and_zero_is_no_bound():
    settings = Settings(CORE_SETTINGS)
    assert room_of(settings) == Room(2048 * MEGABYTE, 1024 * MEGABYTE)
    settings.update({"queue_input_mb": 0, "queue_input_mb_per_owner": 3})
    assert room_of(settings) == Room(0, 3 * MEGABYTE)
