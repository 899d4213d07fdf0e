"""How long a call waits: only for lanes that are about to come, and only as long as it pays."""

from __future__ import annotations

from modules.processing_diffusers.multiplexer.admission import Admission, Lane


def lane(last=None, waiting=False, cohort=None):
    made = Lane(None)
    made.last, made.waiting, made.cohort = last, waiting, cohort
    return made


def patience(admission, lanes, *, now=0.0, since=0.0, arrived=0.0):
    group = [item for item in lanes if item.waiting and item.last == "step"]
    return admission.patience("step", group, lanes, window=0.004, now=now, since=since, arrived=arrived)


def test_a_lane_that_is_alone_never_waits():
    assert patience(Admission(), [lane("step", waiting=True)]) <= 0


def test_nobody_waits_for_lanes_that_do_something_else():
    lanes = [lane("step", waiting=True), lane("decode"), lane(None), lane("step", waiting=True)]
    assert patience(Admission(), lanes) <= 0


def test_a_lane_between_two_equal_calls_is_waited_for():
    assert 0 < patience(Admission(), [lane("step", waiting=True), lane("step")]) <= 0.004


def test_a_lane_released_together_with_the_caller_is_waited_for():
    caller = lane("step", waiting=True, cohort=7)
    assert patience(Admission(), [caller, lane("before", cohort=7)]) > 0
    assert patience(Admission(), [caller, lane("before", cohort=6)]) <= 0
    assert patience(Admission(), [caller, lane("before", cohort=7, waiting=True)]) <= 0


def test_each_arrival_renews_the_wait_but_not_beyond_a_share_of_the_forward():
    admission = Admission()
    admission.measured("step", 0.02)
    lanes = [lane("step", waiting=True), lane("step")]
    assert patience(admission, lanes, now=0.005, arrived=0.004) > 0
    assert patience(admission, lanes, now=0.0101, arrived=0.0099) <= 0


def test_a_quick_forward_is_hardly_waited_for():
    admission = Admission()
    admission.measured("step", 0.001)
    assert patience(admission, [lane("step", waiting=True), lane("step")], now=0.0006) <= 0


def test_what_was_measured_is_forgotten_in_the_end():
    admission = Admission()
    for key in range(1000):
        admission.measured(key, 1.0)
    assert len(admission._seconds) < 1000
