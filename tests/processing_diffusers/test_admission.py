"""How long a call waits: only for lanes that are about to come, and only as long as it pays."""

from __future__ import annotations

import pytest
import torch

from modules.processing_diffusers.multiplexer.admission import Admission, Lane, Times
from modules.processing_diffusers.multiplexer.call import Call, Digests, Target
from modules.processing_diffusers.multiplexer.line import Line


def lane(last=None, waiting=False, cohort=None):
    made = Lane(None)
    made.last, made.waiting, made.cohort = last, waiting, cohort
    made.coming = False
    return made


def patience(admission, lanes, *, now=0.0, since=0.0, arrived=0.0, first=False):
    group = [item for item in lanes if item.waiting and item.last == "step"]
    return admission.patience("step", group, lanes, Times(now, since, arrived), first=first, window=0.004)


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


def taught(*approaches, step=0.1):
    """Knows what a step takes, and how long lanes needed to their first one."""
    admission = Admission()
    admission.measured("step", step)
    for needed in approaches:
        admission.stepped(Lane(None, 0.0), needed)
    return admission


def test_a_first_step_waits_for_lanes_on_their_way_as_long_as_those_usually_need():
    lanes = [lane("step", waiting=True), Lane(None, 0.0)]
    admission = taught(*[0.03] * 50)
    assert patience(admission, lanes, first=True, now=0.01, since=0.01) == pytest.approx(0.02, abs=0.005)
    assert patience(admission, lanes, first=True, now=0.05, since=0.01) <= 0
    assert patience(admission, lanes, first=False, now=0.01, since=0.01) <= 0


def test_a_first_step_waits_no_longer_than_a_forward_takes():
    lanes = [lane("step", waiting=True), Lane(None, 0.0)]
    assert 0 < patience(taught(step=0.1), lanes, first=True, now=0.09) <= 0.011
    assert patience(taught(*[0.5] * 50, step=0.1), lanes, first=True, now=0.11) <= 0


def test_a_lane_that_waited_for_its_model_teaches_nothing():
    lanes = [lane("step", waiting=True), Lane(None, 0.0)]
    assert patience(taught(*[0.03] * 50, 20.0), lanes, first=True, now=0.08, since=0.08) <= 0


STEP = Target("unet", lambda **named: named, None, stepped=True)
WORDS = Target("text", lambda **named: named, None)


def new(born=0.0):
    return Lane(Digests(), born)


def call(target, of, size=2):
    return Call(target, {"sample": torch.zeros(1, size)}, lane=of, limit=16)


def test_lanes_that_begin_together_take_their_first_step_together():
    admission = Admission()
    line, lanes = Line(admission), [new() for _ in range(3)]
    first = call(STEP, lanes[0])
    admission.measured(first.key, 0.1)
    line.join(first, 0.06)
    group, wait = line.choose(lanes, window=0.004, now=0.06, hurry=False)
    assert group == []
    assert wait == pytest.approx(0.06)  # twice what the first lane needed, as nothing else is known
    words = call(WORDS, lanes[1])
    admission.measured(words.key, 0.005)
    line.join(words, 0.07)
    assert line.choose(lanes, window=0.004, now=0.08, hurry=False)[0] == [words]
    others = [call(STEP, each) for each in lanes[1:]]
    for each in others:
        line.join(each, 0.09)
    assert line.choose(lanes, window=0.004, now=0.09, hurry=False)[0] == [first, *others]
    assert len(line) == 0


def test_nothing_long_is_begun_while_a_step_waits_a_little():
    admission = Admission()
    line, lanes = Line(admission), [new() for _ in range(3)]
    step, long = call(STEP, lanes[0]), call(WORDS, lanes[1])
    admission.measured(step.key, 0.1)
    admission.measured(long.key, 0.5)
    line.join(step, 0.06)
    line.join(long, 0.06)
    assert line.choose(lanes, window=0.004, now=0.06, hurry=False) == ([], pytest.approx(0.06))
    assert line.choose(lanes, window=0.004, now=0.06, hurry=True)[0] == [step]


def test_lanes_that_step_already_are_not_held_up_by_those_that_come():
    admission = Admission()
    line, lanes = Line(admission), [new(), new()]
    early = call(STEP, lanes[0])
    admission.measured(early.key, 0.1)
    line.join(early, 0.0)
    line.choose(lanes, window=0.004, now=0.2, hurry=True)
    again = call(STEP, lanes[0])
    line.join(again, 0.3)
    assert line.choose(lanes, window=0.004, now=0.3, hurry=False)[0] == [again]
