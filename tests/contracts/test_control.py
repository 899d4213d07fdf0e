"""ControlNet units in requests: their text, their way into the store of jobs and back, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.call_queue.inputs import take_out
from modules.contracts import codec
from modules.contracts.control import (
    CONTROL_MODES,
    HR_OPTIONS,
    MOST_UNITS,
    RESIZE_MODES,
    ControlParams,
    ControlUnit,
    HintParams,
    build_unit,
    unit_parameters,
    value_of,
)
from modules.contracts.errors import InvalidRequest
from modules.contracts.infotext import parse, to_request, write
from modules.contracts.infotext_control import key_of, write_unit
from modules.contracts.request import GenerationRequest, ImageParams
from modules.contracts.validation import validate

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
SHARES = st.floats(0, 1).map(lambda value: round(value, 3))
UNITS = st.builds(
    ControlUnit,
    enabled=st.just(True),
    module=NAMES,
    model=st.one_of(NAMES, st.just("a, b: c [d14c016b]"), st.just('says "x"')),
    weight=st.floats(0, 2).map(lambda value: round(value, 3)),
    resize_mode=st.sampled_from(RESIZE_MODES),
    guidance_start=SHARES,
    guidance_end=SHARES,
    control_mode=st.sampled_from(CONTROL_MODES),
    hr_option=st.sampled_from(HR_OPTIONS),
    hint=st.builds(
        HintParams,
        processor_res=st.sampled_from((-1, 64, 512, 2048)),
        threshold_a=st.one_of(st.just(-1.0), st.floats(0, 255).map(lambda value: round(value, 2))),
        threshold_b=st.one_of(st.just(-1.0), st.floats(0, 255).map(lambda value: round(value, 2))),
        pixel_perfect=st.booleans(),
        blocks=st.sampled_from(("", "style", "up.0.1=1, down=0.5")),
    ),
)
PLAIN = {"Steps": 20, "Sampler": "Euler", "Seed": 1}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), UNITS), max_size=MOST_UNITS))
def test_every_unit_survives_its_text(units):
    said = {key_of(number): write_unit(unit) for number, unit in enumerate(units) if unit is not None}
    read, unknown = to_request(parse(write("a cat", "", {**PLAIN, **said})), GenerationRequest())
    while units and units[-1] is None:
        units.pop()
    assert read.control.units == tuple(unit or ControlUnit() for unit in units)
    assert unknown == ()


def test_a_text_of_the_extension_is_read():
    text = (
        "a cat\nSteps: 20, Sampler: Euler, Seed: 1, "
        'ControlNet 0: "Module: canny, Model: control_v11p_sd15_canny [d14c016b], Weight: 1, Resize Mode: '
        "Crop and Resize, Low Vram: False, Processor Res: 512, Threshold A: 100, Threshold B: 200, Guidance Start: 0, "
        'Guidance End: 1, Pixel Perfect: True, Control Mode: ControlNet is more important, Save Detected Map: True"'
    )
    read, unknown = to_request(parse(text), GenerationRequest())
    assert unknown == ()
    (unit,) = read.control.units
    assert unit.enabled
    assert (unit.module, unit.model) == ("canny", "control_v11p_sd15_canny [d14c016b]")
    assert unit.hint == HintParams(512, 100.0, 200.0, True)
    assert unit.control_mode == CONTROL_MODES[2]


def test_pictures_stay_with_their_units_and_what_is_no_unit_is_told():
    base = GenerationRequest(control=ControlParams((ControlUnit(image=b"one"), ControlUnit(image=b"two", mask=b"m"))))
    said = {key_of(1): write_unit(ControlUnit(True, "canny", "x")), "ControlNet 2": "preprocessor: canny, model: x"}
    read, unknown = to_request(parse(write("a cat", "", {**PLAIN, **said})), base)
    assert [unit.image for unit in read.control.units] == [b"", b"two"]
    assert read.control.units[1].mask == b"m"
    assert unknown == ("ControlNet 2",)


def test_a_stored_job_keeps_the_pictures_of_its_units():
    unit = ControlUnit(True, "canny", "x", image=b"picture", mask=b"mask", hint=HintParams(64))
    request = GenerationRequest(control=ControlParams((ControlUnit(), unit)))
    stored = json.dumps(codec.encode(request))
    assert codec.decode(GenerationRequest, json.loads(stored)) == request
    slim, kept = take_out(stored)
    assert sorted(kept.values()) == [b"mask", b"picture"]
    assert "$kept" in slim


def test_every_field_is_declared_once_and_built_by_its_name():
    names = [item.path[-1] for item in unit_parameters()]
    assert len(set(names)) == len(names) == 14
    unit = build_unit({"enabled": True, "threshold_a": 3.0, "weight": 0.5})
    assert {item.path[-1]: value_of(unit, item) for item in unit_parameters()}["threshold_a"] == 3.0
    assert unit == ControlUnit(True, weight=0.5, hint=HintParams(threshold_a=3.0))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"weight": -0.1}, "ControlNet unit 1: Control weight is -0.1; allowed is 0 to 2"),
        ({"weight": float("nan")}, "finite"),
        ({"guidance_end": 1.01}, "Ending control step"),
        ({"control_mode": "mine"}, "allowed are 'Balanced'"),
        ({"resize_mode": "Fit"}, "allowed are 'Just Resize'"),
        ({"hr_option": "None"}, "allowed are 'Both'"),
        ({"processor_res": 4096}, "Preprocessor resolution is 4096; allowed is -1 to 2048"),
        ({"model": "none"}, "unit 1 is on and has no model"),
    ],
)
def test_what_is_out_of_bounds_is_named_with_its_unit(values, words):
    unit = build_unit({"enabled": True, "model": "x", "image": b"x", **values})
    request = GenerationRequest(control=ControlParams((ControlUnit(), unit)))
    with pytest.raises(InvalidRequest, match=words):
        validate(request)


def test_a_unit_that_is_off_may_lack_everything():
    validate(GenerationRequest(control=ControlParams((ControlUnit(),) * MOST_UNITS)))
    lone = GenerationRequest(control=ControlParams((ControlUnit(True, model="x"),)))
    with pytest.raises(InvalidRequest, match="has no picture"):
        validate(lone)
    validate(replace(lone, image=ImageParams((b"x",))))
