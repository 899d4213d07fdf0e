"""Pictures that came with jobs are there after the end: once each, while a job names them, within a bound."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select, update

from modules.call_queue.pruning import DAY, Retention, prune
from modules.call_queue.store import LARGE_REQUEST, JobStore
from modules.call_queue.tables import INPUTS, JOB_INPUTS, JOBS
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest, ImageParams, InpaintParams, PromptParams

NOW = 1_800_000_000.0


def photo(seed):
    """A PNG of 1024 × 1024 that packs as badly as a photo: slopes with grain."""
    values = np.random.default_rng(seed)
    grain = values.integers(0, 24, (1024, 1024, 3), dtype=np.uint8)
    slope = np.linspace(0, 200, 1024, dtype=np.uint8)[:, None, None]
    out = io.BytesIO()
    Image.fromarray(grain + slope).save(out, "PNG", compress_level=1)
    return out.getvalue()


PHOTO, OTHER = photo(1), photo(2)


def from_photo(data, mask=None):
    return GenerationRequest(
        PromptParams("a cat in the photo"),
        image=ImageParams((data,), denoising_strength=0.4),
        inpaint=None if mask is None else InpaintParams(mask),
    )


def end(store, name, request, state="done"):
    store.add(name, "ann", request)
    store.claim()
    assert store.finish(name, state)


def kept(store):
    """Sizes of what is kept, and how many characters the jobs' rows have."""
    with store.engine.connect() as connection:
        sizes = sorted(connection.execute(select(INPUTS.c.size)).scalars())
        rows = connection.execute(select(func.max(func.length(JOBS.c.request)))).scalar()
    return sizes, rows


def test_requests_with_photos_are_read_back_as_they_were(store):
    assert len(PHOTO) > LARGE_REQUEST
    asked = {
        "img2img": from_photo(PHOTO),
        "inpaint": from_photo(PHOTO, mask=OTHER),
        "enlarge": GenerationRequest(enlarge=EnlargeParams((PHOTO, OTHER), ("Steps: 1", ""))),
    }
    for name, request in asked.items():
        end(store, name, request, "failed" if name == "inpaint" else "done")
    assert {name: store.request(name) for name in asked} == asked
    sizes, rows = kept(store)
    assert sizes == sorted((len(PHOTO), len(OTHER)))
    assert rows < 10_000


def test_a_job_that_never_ran_keeps_its_photo_too(store):
    store.add("early", "ann", from_photo(PHOTO))
    assert store.finish("early", "cancelled", expected="queued")
    assert store.request("early") == from_photo(PHOTO)


def test_an_end_that_came_too_late_keeps_nothing(store):
    end(store, "small", GenerationRequest())
    store.add("waits", "ann", from_photo(PHOTO))
    assert not store.finish("waits", "done")
    assert kept(store)[0] == []
    assert store.claim().request() == from_photo(PHOTO)


def test_what_was_used_longest_ago_goes_first(database):
    now = [NOW]
    limit = [len(PHOTO) + len(OTHER)]
    store = JobStore(database, clock=lambda: now[0], keep_bytes=lambda: limit[0])
    for name, data in (("first", PHOTO), ("second", OTHER), ("again", PHOTO)):
        now[0] += 10
        end(store, name, from_photo(data))
    third = photo(3)
    now[0] += 10
    end(store, "third", from_photo(third))
    held = {name: store.request(name) is not None for name in ("first", "second", "again", "third")}
    room = len(PHOTO) + len(third) <= limit[0]
    assert held == {"first": room, "second": False, "again": room, "third": True}
    assert sum(kept(store)[0]) <= limit[0]
    limit[0] = len(PHOTO) - 1
    end(store, "beyond", from_photo(PHOTO))
    assert store.request("beyond") is None
    limit[0] = 0
    end(store, "none", from_photo(third))
    assert store.request("none") is None
    end(store, "small", from_photo(b"a few bytes stay in the row"))
    assert store.request("small").image.images == (b"a few bytes stay in the row",)


def test_it_leaves_with_the_last_job_that_came_with_it(store):
    for name, data in (("old", PHOTO), ("older", OTHER), ("young", PHOTO)):
        end(store, name, from_photo(data))
    with store.engine.begin() as connection:
        for name, days in (("old", 40), ("older", 50), ("young", 1)):
            connection.execute(update(JOBS).where(JOBS.c.id == name).values(ended=NOW - days * DAY))
    assert prune(store.engine, Retention(days=30), NOW) == 2
    assert kept(store)[0] == [len(PHOTO)]
    assert store.request("young") == from_photo(PHOTO)
    assert prune(store.engine, Retention(days=0.5), NOW) == 1
    assert kept(store)[0] == []
    with store.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(JOB_INPUTS)).scalar() == 0


def test_a_job_from_a_photo_is_asked_for_again(queue, engine, store):
    engine.fail["a cat in the photo"] = InvalidRequest("not now")
    first = queue.submit(from_photo(PHOTO, mask=OTHER), "ann")
    with pytest.raises(InvalidRequest):
        first.wait(10)
    engine.fail.clear()
    second = queue.requeue(first.id)
    assert len(second.wait(10).pictures) == 1
    assert engine.seen[0] == engine.seen[1]
    assert engine.seen[1].image.images == (PHOTO,)
    assert kept(store)[0] == sorted((len(PHOTO), len(OTHER)))


def test_without_its_photo_it_says_so(store, make_queue):
    store.keep_bytes = lambda: 0
    queue = make_queue()
    queue.start()
    handle = queue.submit(from_photo(PHOTO), "ann")
    handle.wait(10)
    with pytest.raises(InvalidRequest, match="came with job .* are not kept any more; send it again"):
        queue.requeue(handle.id)
