"""What a job is foretold to cost with more than a model in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modules.contracts.control import CONTROL, HIGH_ONLY, LOW_ONLY, ControlParams, ControlUnit
from modules.contracts.cost import work_of
from modules.contracts.detailer import Detail, DetailerParams, RegionParams
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    HiresParams,
    ImageParams,
    PromptParams,
    SamplingParams,
)
from modules.contracts.style import AUTOMATIC, PROMPTED, SHARED, StyleParams
from modules.contracts.work_beside import CONTROL_SHARE, NETWORK_SHARE, PROMPTER_SHARE, REDUX_SHARE, regions_of

PLAIN = GenerationRequest(canvas=CanvasParams(1000, 1000), sampling=SamplingParams(10))
NET = ControlUnit(True, "canny", "canny", image=b"x")
SEEN = ControlUnit(True, "reference_only", image=b"x")


def steered(*units, **groups):
    return replace(PLAIN, control=ControlParams(units), **groups)


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ((NET,), 1 + CONTROL_SHARE),
        ((NET, NET), 1 + 2 * CONTROL_SHARE),
        ((replace(NET, guidance_start=0.25, guidance_end=0.75),), 1 + CONTROL_SHARE / 2),
        ((replace(NET, control_mode=CONTROL),), 1 + CONTROL_SHARE / 2),
        ((replace(NET, enabled=False), replace(NET, weight=0.0)), 1),
        ((replace(NET, module="ip-adapter-auto"),), 1 + PROMPTER_SHARE),
        ((replace(NET, module="none", model="pocket ip_adapter [12345678]"),), 1 + PROMPTER_SHARE),
        ((replace(NET, module="ip-adapter-auto", model="flux1-redux-dev"),), 1 + REDUX_SHARE),
        ((SEEN,), 2),
        ((replace(SEEN, control_mode=CONTROL, guidance_end=0.5),), 1.25),
        ((SEEN, NET), 2 + CONTROL_SHARE),
    ],
)
def test_units_cost_what_they_compute(units, factor):
    assert work_of(steered(*units)) == pytest.approx(10 * factor)


def test_a_unit_costs_in_its_passes_only():
    hires = HiresParams(enabled=True, scale=2.0, steps=5, denoising_strength=0.6)
    low, high = (steered(replace(NET, hr_option=option), hires=hires) for option in (LOW_ONLY, HIGH_ONLY))
    assert work_of(low) == pytest.approx(10 * (1 + CONTROL_SHARE) + 20)
    assert work_of(high) == pytest.approx(10 + 20 * (1 + CONTROL_SHARE))


def test_networks_cost_where_a_prompt_calls_them():
    one = replace(PLAIN, prompt=PromptParams("a <lora:one:0.5> b < LyCO:two>, lora:three"))
    assert work_of(one) == pytest.approx(10 * (1 + 2 * NETWORK_SHARE))
    hires = HiresParams(enabled=True, scale=2.0, steps=5, denoising_strength=0.6, prompt="a <lora:one>")
    assert work_of(replace(PLAIN, hires=hires)) == pytest.approx(10 + 20 * (1 + NETWORK_SHARE))


def test_a_style_costs_the_rows_that_it_is_looked_at_in():
    image = ImageParams((b"x",), denoising_strength=1.0)
    shared = StyleParams(SHARED, image=b"x")
    assert work_of(replace(PLAIN, style=shared)) == pytest.approx(20)
    assert work_of(replace(PLAIN, style=replace(shared, method=AUTOMATIC))) == pytest.approx(20)
    assert work_of(replace(PLAIN, style=replace(shared, strength=0.0))) == pytest.approx(10)
    for prompted in (replace(shared, method=PROMPTED), replace(shared, method=AUTOMATIC, adapter="one")):
        assert work_of(replace(PLAIN, style=prompted)) == pytest.approx(10 * (1 + PROMPTER_SHARE))
    held = replace(PLAIN, style=replace(shared, content=0.4), image=image)
    assert work_of(held) == pytest.approx(9 * 3)  # nine steps of ten: its shapes are held


@pytest.mark.parametrize(
    ("regions", "wanted", "count"),
    [
        ({}, {}, 1),
        ({}, {"prompt": "[SEP]"}, 2),
        ({}, {"prompt": "one [SEP] [SKIP] [SEP] three", "negative": "a[SEP]b"}, 2),
        ({}, {"negative": "a[SEP]b[SEP]c"}, 3),
        ({}, {"prompt": "[SKIP]"}, 0),
        ({"most": 2}, {"prompt": "1[SEP]2[SEP]3"}, 2),
        ({"most": 5}, {}, 1),
        ({"merge": "Merge"}, {"prompt": "1[SEP]2"}, 1),
        ({"detector": "mask"}, {"prompt": "1[SEP]2"}, 1),
        ({}, {"strength": 0.0}, 0),
    ],
)
def test_regions_are_expected_as_words_and_limits_say(regions, wanted, count):
    detail = Detail(RegionParams(**{"detector": "Colour", **regions}), DetailerParams(**wanted))
    assert regions_of(detail) == count


def test_regions_cost_without_units_and_with_networks_of_their_words():
    wanted = DetailerParams("a <lora:one> [SEP] b", width=100, height=100, strength=0.5)
    request = steered(NET, regions=RegionParams("Colour"), detailer=wanted)
    assert work_of(request) == pytest.approx(10 * (1 + CONTROL_SHARE) + 2 * 0.01 * 6 * (1 + NETWORK_SHARE))
