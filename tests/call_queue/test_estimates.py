"""What a job costs, what this machine took for others, and the forecast made from both."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from modules.call_queue.estimates import (
    WINDOW,
    Measurement,
    SpeedModel,
    Spread,
    measure,
    sum_up,
)
from modules.call_queue.fairness import Share, Waiting
from modules.call_queue.forecast import HORIZON, look_ahead
from modules.call_queue.speeds import SPARE, SpeedBook
from modules.call_queue.store import JobStore
from modules.contracts.cost import NATIVE_PIXELS, work_of
from modules.contracts.request import (
    CanvasParams,
    FilmParams,
    GenerationRequest,
    HiresParams,
    ImageParams,
    PromptParams,
    SamplingParams,
)
from modules.contracts.result import GenerationResult, Picture


def wish(width=1000, height=1000, steps=10, size=1, count=1):
    canvas = CanvasParams(width=width, height=height, batch_size=size, batch_count=count)
    return GenerationRequest(canvas=canvas, sampling=SamplingParams(steps=steps))


def drawn(request, width, height, *, pictures=1, interrupted=False):
    picture = Picture(0, Image.new("RGB", (width, height)), 1, 1, "", "", "", {})
    return GenerationResult((picture,) * pictures, {}, interrupted=interrupted)


def test_work_is_megapixels_times_steps_times_pictures():
    assert work_of(wish()) == pytest.approx(10)
    assert work_of(wish(size=2, count=3)) == pytest.approx(60)
    assert work_of(replace(wish(), image=ImageParams(denoising_strength=0.5))) == pytest.approx(6)
    larger = HiresParams(enabled=True, scale=2.0, steps=5, denoising_strength=0.6)
    assert work_of(replace(wish(), hires=larger)) == pytest.approx(10 + 4 * 5)
    assert work_of(replace(wish(), hires=replace(larger, denoising_strength=0.0))) == pytest.approx(10)
    assert work_of(wish(width=None), native=2_000_000) == pytest.approx(20)
    assert work_of(replace(wish(), prompt=PromptParams("a AND b :0.5 AND c"))) == pytest.approx(20)
    assert work_of(replace(wish(), film=FilmParams(frames=81))) == pytest.approx(210)
    assert work_of(replace(wish(), film=FilmParams(frames=1))) == pytest.approx(10)
    assert work_of(wish(width=None)) == pytest.approx(NATIVE_PIXELS * 10 / 1e6)


def test_only_whole_jobs_are_learnt_from():
    request = wish()
    assert measure(request, drawn(request, 8, 8), 4.0, 2) == Measurement(10.0, 4.0, 2)
    assert measure(request, drawn(request, 8, 8, interrupted=True), 4.0, 1) is None
    assert measure(request, drawn(request, 8, 8, pictures=0), 4.0, 1) is None
    assert measure(wish(size=2), drawn(request, 8, 8), 4.0, 1) is None


def test_the_size_that_a_model_chooses_is_learnt():
    free = wish(width=None, height=None)
    learnt = measure(free, drawn(free, 100, 200), 1.0, 1)
    assert learnt == Measurement(100 * 200 * 10 / 1e6, 1.0, 1, 20_000)


def test_the_fixed_part_and_the_speed_are_found_although_some_jobs_went_wrong():
    known = [Measurement(work, 3.0 + 0.5 * work) for work in (1, 2, 4, 8, 16, 3, 6, 12, 24, 5)]
    model = SpeedModel([*known, Measurement(4, 500.0), Measurement(8, 0.01)])
    assert model.overhead == pytest.approx(3.0, rel=0.05)
    assert model.slope == pytest.approx(0.5, rel=0.05)
    assert model.predict(100).likely == pytest.approx(53, rel=0.05)


def test_error_bars_are_the_quantiles_of_past_errors():
    ratios = [0.5, 0.9, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 1.05, 1.1, 2.0]
    spread = SpeedModel([Measurement(10, 20 * ratio) for ratio in ratios]).predict(10)
    assert (spread.low, spread.likely, spread.high) == pytest.approx((18, 20, 22))
    doubtful = SpeedModel([Measurement(10, 20)]).predict(10)
    assert (doubtful.low, doubtful.likely, doubtful.high) == pytest.approx((10, 20, 40))


def test_errors_of_jobs_after_one_another_add_up_by_their_squares():
    total = sum_up([Spread(7, 10, 13), Spread(6, 10, 14)])
    assert (total.low, total.likely, total.high) == pytest.approx((15, 20, 25))


def test_speeds_are_kept_across_restarts_by_model_machine_and_company(database):
    JobStore(database)
    book = SpeedBook(database, "desk")
    for _ in range(3):
        book.record("slow", Measurement(10, 100.0))
        book.record("fast", Measurement(10, 5.0, 1))
        book.record("fast", Measurement(10, 20.0, 5))
    again = SpeedBook(database, "desk")
    assert again.predict("slow", 10).likely == pytest.approx(100)
    assert again.predict("fast", 10, 1).likely == pytest.approx(5)
    assert again.predict("fast", 10, 4).likely == pytest.approx(20)
    assert again.knows("never seen")  # from what the machine did with others
    assert not SpeedBook(database, "rack").knows("slow")


def test_old_speeds_are_forgotten(database):
    JobStore(database)
    book = SpeedBook(database)
    for _ in range(60):
        book.record("m", Measurement(10, 100.0))
    for _ in range(60):
        book.record("m", Measurement(10, 10.0))
    assert SpeedBook(database).predict("m", 10).likely == pytest.approx(10)
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM speeds").scalar() <= WINDOW + SPARE


def waiting(owner, seconds=10.0, count=1, start=0):
    return [
        Waiting(start + number, owner, seconds, place=start + number, id=f"{owner}{number}") for number in range(count)
    ]


def exactly(job):
    return Spread(job.seconds, job.seconds, job.seconds)


def test_a_forecast_plays_the_fair_order_forward():
    jobs = [*waiting("ann", count=3), *waiting("bob", count=1, start=10)]
    seen = look_ahead(jobs, [Spread(4, 4, 4)], {}, 1, exactly)
    assert {name: (one.position, one.end.likely) for name, one in seen.items()} == {
        "ann0": (0, 14), "bob0": (1, 24), "ann1": (2, 34), "ann2": (3, 44),
    }  # fmt: skip


def test_a_forecast_uses_every_lane_and_the_shares_so_far():
    jobs = [*waiting("ann", count=2), *waiting("bob", count=2, start=10)]
    seen = look_ahead(jobs, [Spread(5, 5, 5)], {"ann": Share(tag=100.0)}, 2, exactly)
    assert {name: one.end.likely for name, one in seen.items()} == {"bob0": 10, "bob1": 15, "ann0": 20, "ann1": 25}


def test_error_bars_grow_with_the_square_root_of_what_is_before():
    jobs = waiting("ann", count=9)
    seen = look_ahead(jobs, [], {}, 1, lambda job: Spread(8, 10, 12))
    assert seen["ann8"].end.likely == 90
    assert seen["ann8"].end.high - 90 == pytest.approx(2 * 3)
    assert seen["ann0"].end.high - 10 == pytest.approx(2)


def test_what_nobody_can_know_has_a_position_and_no_time():
    jobs = waiting("ann", count=HORIZON + 5)
    seen = look_ahead(jobs, [], {}, 4, exactly)
    assert seen[f"ann{HORIZON + 4}"].position == HORIZON + 4
    assert seen[f"ann{HORIZON + 4}"].end is None
    blind = look_ahead(jobs[:2], [], {}, 1, lambda job: None)
    assert [one.end for one in blind.values()] == [None, None]
