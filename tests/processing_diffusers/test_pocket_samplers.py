"""Samplers with a plan of their own, drawn through the engine with the model that ships."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.events import Preview, StepDone
from modules.contracts.request import CanvasParams, HiresParams, ImageParams, InpaintParams, SamplingParams, SeedParams
from modules.contracts.run import RunContext
from modules.pocket.evaluation.judge import judge
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import CLOSE, ask, encode, in_threads

WORDS = "a red circle on a white background"
OWN_PLAN = ("DPM fast", "DPM adaptive", "Restart")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


class Listener:
    """A run's context that keeps what happens; `until` is called with every event."""

    def __init__(self, previews=False, until=lambda event: None):
        self.events, self._until = [], until
        self.context = RunContext("job", self.hear, previews=previews)

    def hear(self, event):
        self.events.append(event)
        self._until(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def draw(engine, request, listener=None):
    return engine.generate(request, (listener or Listener()).context)


def red(sampler, *, steps=20, seed=1, batch=1, cfg=2.0, size=64, **groups):
    """A request; half the model's own size is enough where nobody looks at what is drawn."""
    return ask(WORDS, seed=seed, steps=steps, size=size, sampler=sampler, cfg=cfg, batch=batch, **groups)


def seen(picture):
    verdict = judge(np.asarray(picture.image))
    return verdict.colour, verdict.shape, verdict.ground


@pytest.mark.parametrize(("sampler", "cfg"), [*((name, 2.0) for name in (*OWN_PLAN, "IPNDM_V")), ("DDIM CFG++", 7.0)])
def test_they_draw_what_is_asked_for(engine, sampler, cfg):
    assert seen(draw(engine, red(sampler, cfg=cfg, size=128)).pictures[0]) == ("red", "circle", "white")


def test_cfg_plus_is_guided_by_a_share_and_noised_without(engine, exact):
    plus = exact(draw(engine, red("DDIM CFG++", cfg=7.0, steps=6)))
    plain = exact(draw(engine, red("DDIM", cfg=7.0, steps=6)))
    # A share of 0.56 alone would be less than no guidance at all, and DDIM draws something else with the whole scale.
    assert float((plus - plain).abs().max()) > 0.01
    weaker = exact(draw(engine, red("DDIM CFG++", cfg=2.0, steps=6)))
    assert float((plus - weaker).abs().max()) > 0.001
    # Without guidance both are one method.
    one = [exact(draw(engine, red(name, cfg=1.0, steps=6))) for name in ("DDIM CFG++", "DDIM")]
    torch.testing.assert_close(*one, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("sampler", OWN_PLAN)
def test_a_batch_is_the_pictures_alone(engine, sampler):
    together = draw(engine, red(sampler, batch=2, seed=5)).pictures
    alone = [draw(engine, red(sampler, seed=seed)).pictures[0] for seed in (5, 6)]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(np.asarray(one.image, int) - np.asarray(other.image, int)).max() <= 1


def test_lanes_with_different_numbers_of_calls_do_not_touch_one_another(engine, exact):
    requests = [
        red(name, seed=30 + place, steps=steps)
        for place, (name, steps) in enumerate(
            [("DPM adaptive", 9), ("DPM fast", 11), ("Restart", 20), ("DPM adaptive", 30), ("Euler", 14)]
        )
    ]
    alone = [exact(draw(engine, request)) for request in requests]
    engine.multiplexer.figures.reset()
    together = in_threads([lambda r=request: draw(engine, r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)
    assert engine.stats()["targets"]["unet"]["mean_lanes"] > 1


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("sampler", OWN_PLAN)
def test_progress_only_goes_on_and_ends_at_the_end(engine, sampler, batch):
    listener = Listener()
    draw(engine, red(sampler, batch=batch, steps=20), listener)
    told = listener.of(StepDone)
    shares = [event.progress for event in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert (told[-1].step, told[-1].steps) == (20, 20)
    assert any(0.3 < share < 0.7 for share in shares)
    assert told[-1].eta_seconds == pytest.approx(0.0, abs=1e-6)


def test_adaptive_asks_as_often_as_the_picture_needs(engine):
    counts = set()
    for seed, cfg in ((1, 1.0), (3, 15.0)):
        listener = Listener()
        draw(engine, red("DPM adaptive", seed=seed, steps=10, cfg=cfg), listener)
        counts.add(len(listener.of(StepDone)))
    assert len(counts) > 1
    assert min(counts) > 10


@pytest.mark.parametrize("sampler", OWN_PLAN)
def test_cancelling_takes_effect_within_one_call(engine, sampler):
    listener = Listener(until=lambda event: isinstance(event, StepDone) and listener.context.cancelled.set())
    result = draw(engine, red(sampler, steps=30), listener)
    assert result.interrupted
    assert len(listener.of(StepDone)) == 1


def test_previews_come_while_adaptive_goes_on(engine):
    listener = Listener(previews=True)
    draw(engine, red("DPM adaptive", steps=20), listener)
    previews = listener.of(Preview)
    assert len(previews) >= 2
    assert Image.open(io.BytesIO(previews[0].data)).format == "JPEG"


def test_previews_are_made_only_while_somebody_looks(engine):
    looks = iter([False, True, True, False, False])
    listener = Listener(previews=True)
    listener.context.watched = lambda: next(looks)
    draw(engine, red("Euler", steps=12), listener)  # every second step but the last
    assert [event.step for event in listener.of(Preview)] == [4, 6]


def test_previews_can_be_switched_off(tmp_path):
    engine = make_pocket_engine(tmp_path, live_previews_enable=False)
    listener = Listener(previews=True)
    draw(engine, red("Euler", steps=4), listener)
    engine.close()
    assert listener.of(Preview) == []


def test_settings_that_a_job_brings_go_before_everybody_s(engine):
    def previews(**own):
        listener = Listener(previews=True)
        draw(engine, red("Euler", steps=9, size=128, own=tuple(own.items())), listener)
        return listener.of(Preview)

    assert previews(live_previews_enable=False) == []
    assert previews(show_progress_every_n_steps=0) == []
    assert [event.step for event in previews(show_progress_every_n_steps=4)] == [4, 8]
    sides = [Image.open(io.BytesIO(previews(live_preview_size=side)[0].data)).width for side in (64, 128)]
    assert sides == [64, 128]


@pytest.mark.parametrize("sampler", [*OWN_PLAN, "DDIM CFG++"])
def test_image_to_image_keeps_to_the_picture_as_far_as_strength_says(engine, sampler):
    given = draw(engine, red("Euler", seed=9)).pictures[0].image
    found = {
        strength: draw(
            engine,
            red(sampler, steps=40, cfg=2.0, image=ImageParams((encode(given),), denoising_strength=strength)),
        )
        .pictures[0]
        .image
        for strength in (0.15, 0.9)
    }
    far = {
        strength: np.abs(np.asarray(image, int) - np.asarray(given, int)).mean() for strength, image in found.items()
    }
    assert far[0.15] < 15
    assert far[0.15] < far[0.9]


@pytest.mark.parametrize("sampler", [*OWN_PLAN, "DDIM CFG++"])
def test_inpainting_leaves_the_rest_bit_equal(engine, sampler):
    given = draw(engine, red("Euler", seed=9)).pictures[0].image
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    request = red(
        sampler,
        steps=24,
        batch=2,
        image=ImageParams((encode(given),), denoising_strength=0.9),
        inpaint=InpaintParams(encode(mask), blur=0, only_masked=False),
    )
    for picture in draw(engine, request).pictures:
        kept, drawn = np.asarray(given)[:, :32], np.asarray(picture.image)
        assert np.array_equal(drawn[:, :32], kept)
        assert drawn[:, 32:].std() > 0


def test_the_hires_pass_has_a_sampler_of_its_own(engine):
    listener = Listener()
    request = ask(
        WORDS,
        sampling=SamplingParams(steps=8, sampler="DPM fast", cfg_scale=2.0),
        canvas=CanvasParams(64, 64),
        seeds=SeedParams(1),
        hires=HiresParams(True, scale=1.5, steps=10, denoising_strength=0.5, sampler="DPM adaptive"),
    )
    picture = draw(engine, request, listener).pictures[0]
    assert picture.image.size == (96, 96)
    told = listener.of(StepDone)
    assert (told[-1].step, told[-1].steps) == (18, 18)
    assert [event.progress for event in told] == sorted(event.progress for event in told)
