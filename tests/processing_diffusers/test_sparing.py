"""Below a noise level the negative prompt is left out: fewer rows through the denoiser, above it nothing is changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modules.contracts.request import PromptParams, SamplingParams
from modules.processing_diffusers.guidance import Sparing
from tests.processing_diffusers.conftest import CLOSE, ask, in_threads, pixels


def lean(below, *, every=False, steps=6, **changes):
    sampling = SamplingParams(
        steps=steps, sampler="Euler", cfg_scale=5.0, s_min_uncond=below, s_min_uncond_all=every, **changes
    )
    return ask(sampling=sampling)


def test_every_second_call_below_the_level_or_every_one():
    levels = [9.0, 5.0, 3.0, 2.0, 1.0, 0.5]
    at = iter(levels)
    sparing = Sparing(4.0, False, lambda: next(at))
    # The level is looked at only where it matters: at the second, fourth, sixth call.
    assert [sparing() for _ in range(6)] == [False, False, False, False, False, True]
    at = iter(levels)
    every = Sparing(4.0, True, lambda: next(at))
    assert [every() for _ in range(6)] == [False, False, True, True, True, True]


def test_only_the_rows_of_the_prompt_are_drawn_then(bench, rows):
    bench.draw(lean(0.0))
    assert rows == [2] * 6
    rows.clear()
    bench.draw(lean(1000.0))
    assert rows == [2, 1] * 3
    rows.clear()
    bench.draw(lean(1000.0, every=True))
    assert rows == [1] * 6
    rows.clear()
    bench.draw(lean(3.0, every=True))
    assert rows == sorted(rows, reverse=True)
    assert set(rows) == {1, 2}


def test_a_level_that_is_never_reached_changes_nothing_and_one_above_all_is_the_prompt_alone(bench):
    plain, tiny, none, alone = (
        pixels(bench.draw(request).pictures[0])
        for request in (
            lean(0.0),
            lean(1e-6, every=True),
            lean(1000.0, every=True),
            replace(lean(0.0), sampling=SamplingParams(steps=6, sampler="Euler", cfg_scale=1.0)),
        )
    )
    assert (plain == tiny).all()
    assert (none != plain).any()
    assert abs(none - alone).max() <= 1


@pytest.mark.parametrize("sampler", ["Heun", "DPM adaptive", "Euler a"])
def test_samplers_of_every_kind_go_their_way_with_it(bench, rows, sampler):
    sampling = SamplingParams(steps=4, sampler=sampler, cfg_scale=5.0, s_min_uncond=1000.0)
    bench.draw(ask(sampling=sampling))
    assert rows[:4] == [2, 1, 2, 1]


def test_pictures_beside_it_are_those_of_a_lone_run(bench, exact):
    requests = [lean(1000.0), lean(0.0), lean(3.0, every=True)]
    alone = [exact(bench.draw(request)) for request in requests]
    together = [exact(result) for result in in_threads([lambda r=r: bench.draw(r) for r in requests])]
    for one, other in zip(alone, together, strict=True):
        assert float((one - other).abs().max()) <= CLOSE


@pytest.mark.parametrize("family", ["sd15-inpaint", "sdxl", "sd3"])
def test_every_guided_family_knows_it(all_families, rows, family):
    request = replace(lean(1000.0, every=True, steps=2), model=ask(model=f"tiny-{family}").model)
    result = all_families.draw(request)
    assert rows == [1, 1]
    assert np.asarray(result.pictures[0].image).shape == (64, 64, 3)
    rows.clear()


def test_a_family_without_negative_prompts_says_that_nothing_changed(all_families, rows):
    request = replace(lean(1000.0, steps=2), model=ask(model="tiny-flux").model, prompt=PromptParams("a red circle"))
    result = all_families.draw(request)
    assert rows == [1, 1]
    assert any("s_min_uncond" in note for note in result.notes)


def test_infotext_says_it(bench):
    told = bench.draw(lean(2.5, every=True)).pictures[0].infotext
    assert "NGMS: 2.5, NGMS all steps: True" in told
    assert "NGMS" not in bench.draw(lean(0.0)).pictures[0].infotext
