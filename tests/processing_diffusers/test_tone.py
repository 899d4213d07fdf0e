"""Brightness, colour and reach corrected while a picture is drawn: the arithmetic, and what it does to pictures."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.contracts.errors import InvalidRequest
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import (
    HandoverParams,
    HiresParams,
    PromptParams,
    ReachParams,
    SamplingParams,
    ToneParams,
)
from modules.contracts.run import RunContext
from modules.contracts.tone import PLAIN_REACH, PLAIN_TONE
from modules.contracts.validation import validate
from modules.processing_diffusers.tone import Axes, ToneCourse, Window, along, grown, pressed
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import CLOSE, ask, draw_together, link_models, make_engine

CHECKED = "a blue square on a checkerboard"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


def wish(words=CHECKED, sampler="Euler", tone=PLAIN_TONE, reach=PLAIN_REACH, **groups):
    sampling = SamplingParams(12, sampler, cfg_scale=2.0)
    return ask(prompt=PromptParams(words), size=128, sampling=sampling, tone=tone, reach=reach, **groups)


def draw(engine, *given, **named):
    """The picture, 0 to 1."""
    result = engine.generate(wish(*given, **named), RunContext("job", lambda event: None))
    return np.asarray(result.pictures[0].image, float) / 255


def spread(picture):
    """How far the picture's mean colour is from grey."""
    return float(np.ptp(picture.mean(axis=(0, 1))))


@pytest.fixture(scope="module")
def plain(engine):
    return draw(engine)


def run_down(course, content, levels, model, *, twice=False):
    """What is in latents after Euler's steps (or Heun's) over these levels; `model` says what it takes them to be."""
    for step, (here, there) in enumerate(itertools.pairwise(levels)):
        slope = (content - course.correct(model(content), step, here)) / here
        if twice and there > 0:
            later = content + slope * (there - here)
            slope = (slope + (later - course.correct(model(later), step, there)) / there) / 2
        content = content + slope * (there - here)
    return content


LEVELS = [14.0, 9.0, 5.0, 2.5, 1.0, 0.3, 0.0]


def test_light_ends_at_its_mark_whatever_part_of_it_the_model_takes_back():
    torch.manual_seed(1)
    black, white, tint = (torch.randn(1, 4, 1, 1) for _ in range(3))
    own, light = torch.randn(2, 4, 8, 8), white - black
    wish_of, axes = ToneParams(brightness=0.3, tint_ratio=-0.2), Axes(black, white, tint)
    for kept in (0.0, 0.5, 1.0):
        for twice in (False, True):
            course = ToneCourse(wish_of, ReachParams(), axes, Window.of(LEVELS, 0.2, 1))
            ended = run_down(course, own, LEVELS, lambda content, kept=kept: own + kept * (content - own), twice=twice)
            moved = (ended - own).mean(dim=(-2, -1), keepdim=True)
            torch.testing.assert_close(moved, (0.3 * light - 0.2 * tint).expand_as(moved), rtol=0, atol=1e-4)


@pytest.mark.parametrize("twice", [False, True])
def test_detail_grows_by_what_is_asked_for_where_the_model_keeps_it(monkeypatch, twice):
    """All of these latents counts as detail here, so that what is asked for is told apart from how detail is found."""
    monkeypatch.setattr("modules.processing_diffusers.tone.blurred", torch.zeros_like)
    own = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    fine = [14.0 * 0.9**step for step in range(60)] + [0.0]
    course = ToneCourse(ToneParams(sharpen=0.5), ReachParams(), None, Window.of(fine, 0.3, 1))
    ended = run_down(course, own, fine, lambda content: content, twice=twice)
    torch.testing.assert_close(ended, 1.5 * own, rtol=0.05, atol=0)


def test_the_parts_of_the_arithmetic():
    assert grown(0.0, 0.7) == -1.0
    assert grown(1.5, 1.0) == pytest.approx(0.5)
    assert grown(1.5, 0.0) == pytest.approx(0.0)
    assert Window.of(LEVELS, 0.4, 0.9) == Window(3, 6, 2.5)
    assert Window.of(LEVELS, 0.99, 1) is None
    assert Window.of_detail(LEVELS, 0.2, 1.0) == Window(5, 6, 0.3)
    assert Window.of_detail(LEVELS, 0.2, 0.5) == Window.of(LEVELS, 0.2, 0.5)
    ways = [torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[2.0, 2.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])]
    found = along(ways, torch.tensor([[3.0, -1.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[3.0, -1.0, 0.0]]))
    values = torch.linspace(-9, 9, 181)
    soft = pressed(values, ReachParams(clamp=True, boundary=4.0, threshold=0.5))
    assert soft.abs().max() <= 4
    assert torch.equal(soft[values.abs() <= 2], values[values.abs() <= 2])
    assert (soft.diff() >= 0).all()


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M"])
def test_brightness_raises_and_lowers_the_mean_of_the_picture(engine, sampler):
    dark, own, light = (draw(engine, sampler=sampler, tone=ToneParams(brightness=by)).mean() for by in (-0.2, 0, 0.2))
    assert -0.2 < dark - own < -0.05
    assert 0.05 < light - own < 0.2


def test_absolute_brightness_brings_pictures_to_one_mean(engine):
    words = ("a red circle on a white background", "a red circle on a black background")
    for mode, near in (("relative", False), ("absolute", True)):
        light, dark = (draw(engine, each, tone=ToneParams(mode)).mean() for each in words)
        assert bool(abs(light - dark) < 0.2) is near, (mode, light, dark)


def test_a_tint_moves_the_hue_there_and_back(engine, plain):
    def warmth(picture):
        red, _, blue = picture.mean(axis=(0, 1))
        return red - blue

    warm = {ratio: warmth(draw(engine, tone=ToneParams(tint="#ff8000", tint_ratio=ratio))) for ratio in (-0.2, 0.2)}
    cold = warmth(draw(engine, tone=ToneParams(tint="#0040ff", tint_ratio=0.2)))
    assert warm[0.2] > warmth(plain) + 0.05
    assert warm[-0.2] < warmth(plain) - 0.02
    assert cold < warmth(plain) - 0.05
    assert np.array_equal(draw(engine, tone=ToneParams(tint="#ff8000")), plain)


def test_a_cast_is_taken_away(engine, plain):
    assert spread(draw(engine, tone=ToneParams(color=1.0))) < spread(plain) / 2


def test_detail_is_sharpened_and_softened(engine, plain):
    def detail(picture):
        return float(np.abs(np.diff(picture, axis=0)).mean())

    soft, sharp = (detail(draw(engine, tone=ToneParams(sharpen=by, start=0.5))) for by in (-0.5, 0.8))
    assert soft < detail(plain) < sharp


def test_latents_reach_as_far_as_they_are_told(engine, monkeypatch):
    from modules.processing_diffusers import batch

    seen, decode = [], batch.decode_latents
    monkeypatch.setattr(batch, "decode_latents", lambda job, latents: (seen.append(latents), decode(job, latents))[1])
    draw(engine)
    draw(engine, reach=ReachParams(clamp=True, boundary=1.0, threshold=0.5))
    draw(engine, reach=ReachParams(maximize=True, max_boundary=0.75))
    own, clamped, stretched = (float(latents.abs().max()) for latents in seen)
    assert own > 1.2
    assert clamped <= 1.0 + 1e-5
    assert stretched == pytest.approx(3.0, abs=1e-3)


def test_nothing_asked_for_changes_no_bit(engine, plain):
    for tone in (
        ToneParams(start=0.5, end=0.9),
        ToneParams(brightness=0.3, start=0.7, end=0.7),
        ToneParams(hires=False),
    ):
        assert np.array_equal(draw(engine, tone=tone), plain)
    assert np.array_equal(draw(engine, reach=ReachParams(boundary=1.0, max_boundary=0.2)), plain)


def test_a_second_pass_is_corrected_unless_it_is_said_otherwise(engine):
    hires = HiresParams(True, 1.5, "Lanczos", steps=4, denoising_strength=0.4)
    both, first = (
        draw(engine, hires=hires, tone=ToneParams(brightness=-0.3, hires=also)).mean() for also in (True, False)
    )
    assert both < first - 0.02


def test_it_goes_over_a_change_of_the_sampler(engine):
    relayed = {"handover": HandoverParams("DPM++ 2M"), "sampler": "Euler"}
    own, light = (draw(engine, tone=ToneParams(brightness=by), **relayed).mean() for by in (0.0, 0.2))
    assert light > own + 0.05


def test_pictures_drawn_in_company_are_those_drawn_alone(bench, exact):
    toned = [
        ask(steps=4, tone=ToneParams(brightness=0.3, tint="#ff0000", tint_ratio=0.3)),
        ask(seed=2, steps=5),
        ask(
            seed=3, steps=4, tone=ToneParams("absolute", color=0.5, sharpen=0.5), reach=ReachParams(True, maximize=True)
        ),
    ]
    draw_together(bench, exact, toned)
    two = bench.draw(replace(toned[0], canvas=replace(toned[0].canvas, batch_size=2))).pictures
    alone = exact(bench.draw(replace(toned[0], seeds=replace(toned[0].seeds, seed=2))))
    assert float((two[1].image.exact - alone).abs().max()) <= CLOSE


def test_a_flow_model_is_corrected_in_its_own_layout(tmp_path, request, exact):
    """Flux packs its latents two by two, and has another way of being noised."""
    folder = tmp_path / "models"
    folder.mkdir()
    bench = make_engine(tmp_path / "engine", link_models(folder, request, ["flux"]))
    asked = ask(model="tiny-flux", steps=3)
    own, moved = (exact(bench.draw(replace(asked, tone=ToneParams(brightness=by, sharpen=by)))) for by in (0.0, 0.4))
    bench.engine.close()
    assert own.shape == moved.shape == (3, 64, 64)
    assert float((moved - own).abs().max()) > CLOSE


def test_what_cannot_be_is_said(bench):
    for tint in ("red", "#12345", "#12345g", ""):
        with pytest.raises(InvalidRequest, match="a colour as '#rrggbb' is needed"):
            validate(ask(tone=ToneParams(tint=tint)))
    with pytest.raises(InvalidRequest, match="Brightness is 2"):
        validate(ask(tone=ToneParams(brightness=2.0)))
    result = bench.draw(ask(sampler="DPM adaptive", tone=ToneParams(brightness=0.2)))
    assert any("corrections of brightness and colour were left out" in note for note in result.notes)


def test_infotext_says_it_and_reads_sd_nexts_numbers(bench):
    tone = ToneParams("absolute", 0.1, tint="#00ff00", tint_ratio=-0.5)
    picture = bench.draw(ask(tone=tone, reach=ReachParams(True, 3.5))).pictures[0]
    assert "HDR mode: absolute, HDR brightness: 0.1, HDR tint: #00ff00, HDR tint ratio: -0.5" in picture.infotext
    assert "HDR clamp: True, HDR boundary: 3.5" in picture.infotext
    again, unknown = to_request(parse(picture.infotext), ask())
    assert (again.tone, again.reach, unknown) == (tone, ReachParams(True, 3.5), ())
    other, _ = to_request(parse("x\nSteps: 3, Seed: 1, Size: 64x64, HDR mode: 1, HDR brightness: 0.2"), ask())
    assert other.tone == ToneParams("absolute", 0.2)
