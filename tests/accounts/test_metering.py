"""The queue asks before it takes a job, and what was not drawn is given back: with the real queue and a fake engine."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from modules.accounts.metering import MeteredQueue
from modules.call_queue.database import open_database
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.contracts.accounts import Tier
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import InvalidRequest, OverLimit, StudioError, UnknownModel
from modules.contracts.jobs import JobTerms
from modules.contracts.request import CanvasParams, FilmParams, GenerationRequest, PromptParams, SamplingParams
from modules.contracts.scripts import ScriptParams, ScriptUse
from modules.support.bus import EventBus
from tests.call_queue.fakes import FakeEngine, MemoryPictures


class Catalog:
    """One model of 100 by 100, of pictures or of films."""

    factor = 0

    def find_model(self, name):
        if name not in (None, "pocket"):
            raise UnknownModel("no such model")
        return SimpleNamespace(name="pocket", native_size=100, family="any")

    def family(self, name):
        kept = "kept" if self.factor else ""
        return SimpleNamespace(
            defaults={"frames": 81} if self.factor else {}, frame_factor=self.factor, first_frame=kept
        )


def wish(steps=10, size=1, count=1, width=1000, text="a fox"):
    canvas = CanvasParams(width=width, height=width, batch_size=size, batch_count=count)
    return GenerationRequest(PromptParams(text), canvas=canvas, sampling=SamplingParams(steps=steps))


@pytest.fixture
def database(tmp_path):
    engine = open_database(tmp_path / "studio.sqlite3")
    yield engine
    engine.dispose()


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def metered(accounts, database, engine):
    """A queue for bob, whose tier has 100 credits a day and two jobs at a time."""
    accounts.set_tier(Tier("small", credits_per_day=100, queue_depth=2))
    accounts.add_user("ada", "correct horse", role="admin", tier="unlimited")
    accounts.add_user("bob", "correct horse", tier="small")
    bus = EventBus()
    queue = MeteredQueue(
        CallQueue(lambda: engine, JobStore(database), bus, MemoryPictures()), accounts.gate, Catalog(), bus
    )
    queue.start()
    yield queue
    engine.let_go()
    queue.stop(5)


def test_a_picture_costs_its_megapixel_steps(metered, accounts):
    metered.submit(wish(), "bob").wait(10)
    assert accounts.allowance("bob").used_today == pytest.approx(10)
    metered.submit(dataclasses.replace(wish(), canvas=CanvasParams()), "bob").wait(10)
    assert accounts.allowance("bob").used_today == pytest.approx(10.1)


def test_making_pictures_larger_costs_the_megapixels_that_come_out(metered, accounts, engine):
    buffer = io.BytesIO()
    Image.new("1", (1000, 500)).save(buffer, "PNG")
    # The tier's models say what may be drawn with; enlarging needs none.
    accounts.set_tier(Tier("small", credits_per_day=100, max_pixels=9_000_000, models=("other",)))
    asked = GenerationRequest(enlarge=EnlargeParams((buffer.getvalue(),) * 2, scale=4.0))
    metered.submit(asked, "bob").wait(10)
    assert accounts.allowance("bob").used_today == pytest.approx(16)
    twice = dataclasses.replace(asked.enlarge, second="Nearest", second_share=0.5)
    metered.submit(dataclasses.replace(asked, enlarge=twice), "bob").wait(10)
    assert accounts.allowance("bob").used_today == pytest.approx(48)
    with pytest.raises(InvalidRequest, match="allows 9000000"):
        metered.submit(dataclasses.replace(asked, enlarge=dataclasses.replace(twice, scale=5.0)), "bob")
    assert len(engine.seen) == 2


def test_what_a_cancelled_job_did_not_draw_comes_back(metered, accounts, engine):
    engine.hold(batch=1)
    handle = metered.submit(wish(count=4), "bob")
    for _ in range(2):
        engine.entered.acquire(timeout=10)
    assert accounts.allowance("bob").used_today == pytest.approx(40)
    handle.cancel()
    assert len(handle.wait(10).pictures) == 1
    assert accounts.allowance("bob").used_today == pytest.approx(10)


def test_a_failed_job_costs_nothing(metered, accounts, engine):
    engine.fail["a fox"] = StudioError("no")
    with pytest.raises(StudioError, match="no"):
        metered.submit(wish(), "bob").wait(10)
    assert accounts.allowance("bob").used_today == 0


def test_over_the_limit_nothing_is_stored(metered, accounts, engine):
    engine.hold()
    metered.submit(wish(), "bob", job_id="first")
    with pytest.raises(OverLimit, match="90"):
        metered.submit(wish(steps=91), "bob", job_id="second")
    metered.submit(wish(), "bob", job_id="third")
    with pytest.raises(OverLimit, match="allows 2"):
        metered.submit(wish(), "bob", job_id="fourth")
    assert [metered.get(name) is None for name in ("first", "second", "third", "fourth")] == [False, True, False, True]
    assert accounts.allowance("bob").used_today == pytest.approx(20)


def test_what_the_queue_refuses_is_given_back(metered, accounts):
    with pytest.raises(InvalidRequest):
        metered.submit(wish(), "bob", terms=JobTerms(priority=99))
    assert accounts.allowance("bob").used_today == 0


def test_a_tier_says_how_large_a_part_of_the_lanes_is_due(metered, accounts):
    def weight():
        return next(share.weight for share in metered.shares() if share.owner == "bob")

    metered.submit(wish(), "bob").wait(10)
    assert weight() == 1
    accounts.set_tier(Tier("small", weight=3.0))
    metered.submit(wish(), "bob").wait(10)
    assert weight() == 3
    accounts.set_tier(Tier("small"))
    metered.submit(wish(), "bob").wait(10)
    assert weight() == 1


def test_one_key_is_paid_for_once(metered, accounts):
    terms = JobTerms(idempotency_key="order 1")
    first = metered.submit(wish(), "bob", terms=terms)
    assert metered.submit(wish(), "bob", terms=terms).id == first.id
    first.wait(10)
    assert accounts.allowance("bob").used_today == pytest.approx(10)


def test_a_repetition_is_paid_for_like_the_first_time(metered, accounts):
    first = metered.submit(wish(steps=40), "bob")
    first.wait(10)
    metered.requeue(first.id).wait(10)
    assert accounts.allowance("bob").used_today == pytest.approx(80)
    with pytest.raises(OverLimit):
        metered.requeue(first.id)
    assert accounts.allowance("bob").used_today == pytest.approx(80)


def test_charges_left_by_a_dead_process_are_settled_by_what_became_of_the_job(metered, accounts, engine):
    done = metered.submit(wish(), "bob", job_id="done")
    done.wait(10)
    engine.hold()
    metered.submit(wish(), "bob", job_id="waiting")
    accounts.gate.admit("bob", metered._wish(wish()), "never stored", 0)
    assert metered.settle_old() == 1
    assert accounts.gate.open_charges() == ["waiting"]
    assert accounts.allowance("bob").used_today == pytest.approx(20)


def test_a_film_is_charged_for_its_frames(accounts, database, engine):
    """As many as the model draws: its own number where none is said, and none where it draws pictures."""
    bus, catalog = EventBus(), Catalog()
    queue = MeteredQueue(
        CallQueue(lambda: engine, JobStore(database), bus, MemoryPictures()), accounts.gate, catalog, bus
    )
    still = queue._wish(wish()).credits
    film = replace(wish(), film=FilmParams(frames=9))
    assert queue._wish(film).credits == pytest.approx(still)
    catalog.factor = 4
    assert queue._wish(film).credits == pytest.approx(3 * still)
    assert queue._wish(wish()).credits == pytest.approx(21 * still)


def test_the_gate_is_told_of_a_script_that_owns_the_job(metered, accounts):
    accounts.set_tier(Tier("small", credits_per_day=1000))
    accounts.add_user("eve", "correct horse", tier="small")
    asked = replace(wish(), scripts=ScriptParams(run=ScriptUse("Loopback")))
    with pytest.raises(InvalidRequest, match="Loopback"):
        metered.submit(asked, "eve")
    assert metered.list(owner="eve") == []
