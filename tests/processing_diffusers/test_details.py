"""The detailer: regions are drawn as asked, everything else stays bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.contracts.detailer import Detail, DetailerParams, RegionParams
from modules.contracts.errors import InvalidRequest, UnknownModel
from modules.contracts.events import StageStarted, StepDone
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    ImageParams,
    InpaintParams,
    PromptParams,
    SamplingParams,
)
from modules.contracts.run import RunContext
from modules.contracts.validation import validate
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import ask, encode

WORDS = "a blue square on a white background"
RED = "a red square on a white background"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def draw(engine):
    """Draws; the result, with the events in `draw.events`."""

    def run(prompt=WORDS, steps=6, **groups):
        run.events.clear()
        sampling = SamplingParams(steps, "Euler", cfg_scale=2.0)
        request = ask(prompt=PromptParams(prompt), size=128, sampling=sampling, **groups)
        return engine.generate(request, RunContext("job", run.events.append))

    run.events = []
    return run


@pytest.fixture(scope="module")
def plain(draw):
    return np.asarray(draw().pictures[0].image)


def shown(result, place=0):
    return np.asarray(result.pictures[place].image)


def is_blue(pixels):
    return (pixels[..., 2] > 150) & (pixels[..., 0] < 100)


def is_red(pixels):
    return (pixels[..., 0] > 150) & (pixels[..., 2] < 100)


def test_a_region_is_drawn_as_asked_and_all_else_stays(draw, plain):
    paint = DetailerParams(RED, strength=0.9, padding=16)
    result = draw(regions=RegionParams("Colour", "blue"), detailer=paint)
    changed = shown(result)
    assert is_blue(plain).sum() > 500
    assert is_blue(changed).sum() < 50
    assert is_red(changed).sum() > 400
    away = np.ones(plain.shape[:2], bool)
    rows, columns = (np.flatnonzero(is_blue(plain).any(axis=axis)) for axis in (1, 0))
    reach = 24  # the mask's growth and blur
    away[max(rows[0] - reach, 0) : rows[-1] + reach, max(columns[0] - reach, 0) : columns[-1] + reach] = False
    assert away.sum() > 3000
    assert np.array_equal(changed[away], plain[away])
    text = result.pictures[0].infotext
    assert f"ADetailer model: Colour, ADetailer model classes: blue, ADetailer prompt: {RED}" in text
    assert result.pictures[0].recipe["details"][0]["detector"] == "Colour"


def test_steps_are_counted_to_the_end_whatever_is_found(draw):
    for classes in ("blue", "lime"):
        result = draw(regions=RegionParams("Colour", classes), detailer=DetailerParams(strength=0.5, steps=4))
        steps = [event for event in draw.events if isinstance(event, StepDone)]
        assert steps[0].steps == 6 + 3
        assert [event.progress for event in steps] == sorted(event.progress for event in steps)
        assert "detail" in [event.stage for event in draw.events if isinstance(event, StageStarted)]
        if classes == "blue":
            assert steps[-1].step == 9
            assert steps[-1].progress == 1.0
        else:
            assert "found nothing" in result.notes[0]


def mask_of(*boxes, size=(128, 128)):
    image = Image.new("L", size)
    for left, top, right, bottom in boxes:
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return image


def test_a_given_mask_is_the_region_and_may_be_part_of_a_larger_picture(draw):
    given = Image.new("RGB", (320, 192), "white")
    box = (40, 24, 140, 124)
    mask = mask_of(box, size=given.size)
    result = draw(
        image=ImageParams((encode(given),), denoising_strength=0.0),
        canvas=CanvasParams(320, 192),
        regions=RegionParams("Mask", mask=encode(mask), dilate=0),
        detailer=DetailerParams(RED, strength=1.0, blur=0, padding=0),
    )
    (without,) = draw(
        image=ImageParams((encode(given),), denoising_strength=0.0), canvas=CanvasParams(320, 192)
    ).pictures
    changed, before = shown(result), np.asarray(without.image)
    assert changed.shape == (192, 320, 3)
    inside = np.asarray(mask) > 0
    assert np.array_equal(changed[~inside], before[~inside])
    assert is_red(changed).sum() > 500


def test_regions_have_prompts_of_their_own_in_turn(draw):
    given = Image.new("RGB", (256, 128), "white")
    masks = mask_of((14, 14, 114, 114), (142, 14, 242, 114), size=given.size)
    base = {"image": ImageParams((encode(given),), denoising_strength=0.0), "canvas": CanvasParams(256, 128)}
    half = [mask_of(box, size=given.size) for box in ((14, 14, 114, 114), (142, 14, 242, 114))]
    paint = DetailerParams(RED, strength=1.0, blur=0, padding=0, only_masked=True)
    further = (Detail(RegionParams("Mask", mask=encode(half[1]), dilate=0), replace(paint, prompt=WORDS)),)
    result = draw(regions=RegionParams("Mask", mask=encode(half[0]), dilate=0), detailer=paint, further=further, **base)
    changed = shown(result)
    left, right = changed[:, :128], changed[:, 128:]
    assert is_red(left).sum() > 500
    assert is_blue(right).sum() > 400
    assert not is_blue(left).any()
    assert not is_red(right).any()
    assert "ADetailer model 2nd: Mask" in result.pictures[0].infotext
    # [SKIP] leaves the first region; both lie in one mask here, so nothing is drawn.
    skipped = draw(
        regions=RegionParams("Mask", mask=encode(masks), dilate=0), detailer=replace(paint, prompt="[SKIP]"), **base
    )
    assert not is_red(shown(skipped)).any()


def test_words_are_put_together_from_the_pictures_own(engine):
    def words(prompt, negative="", **more):
        request = GenerationRequest(
            prompt=PromptParams("a {red|blue} cat", "blurry"),
            canvas=CanvasParams(batch_size=2, width=64, height=64),
            regions=RegionParams("Contrast"),
            detailer=DetailerParams(prompt, negative, **more),
        )
        plan = engine.resolve(request)
        return plan, [picture.details[0].words for picture in plan.pictures]

    plan, own = words("")
    for picture, (only,) in zip(plan.pictures, own, strict=True):
        assert (only.prompt, only.negative, only.seed) == (picture.prompt, picture.negative, picture.seed)
    plan, parted = words(
        "a face, [PROMPT][SEP][SKIP][SEP]", "[PROMPT], ugly", steps=10, strength=0.3, width=128, height=192
    )
    for picture, parts in zip(plan.pictures, parted, strict=True):
        assert [one and one.prompt for one in parts] == [f"a face, {picture.prompt}", None, picture.prompt]
        assert parts[0].negative == "blurry, ugly"
    paint = plan.details[0].paint
    assert (paint.width, paint.height, paint.steps, paint.sampler.steps) == (128, 192, 4, 10)
    assert plan.total_steps == 20 + 4


def test_what_is_kept_of_a_repainted_picture_is_kept_here_too(draw):
    given = Image.new("RGB", (128, 128), "blue")
    mask = mask_of((0, 0, 64, 128))
    paint = InpaintParams(encode(mask), blur=0, only_masked=False, fill="original")
    result = draw(
        image=ImageParams((encode(given),), denoising_strength=0.3),
        inpaint=paint,
        regions=RegionParams("Colour", "blue"),
        detailer=DetailerParams(RED, strength=0.9),
    )
    changed = shown(result)
    assert (changed[:, 64:] == (0, 0, 255)).all()
    assert not np.array_equal(changed[:, :64], np.asarray(given)[:, :64])


def test_a_picture_of_a_batch_is_what_it_is_alone(draw):
    groups = {"regions": RegionParams("Contrast"), "detailer": DetailerParams(RED, strength=0.6)}
    batch = draw(canvas=CanvasParams(128, 128, batch_size=2), **groups)
    alone = draw(canvas=CanvasParams(128, 128), **groups)
    difference = np.abs(shown(batch).astype(int) - shown(alone).astype(int))
    assert difference.max() <= 2
    assert not np.array_equal(shown(batch), shown(batch, 1))


def test_nonsense_is_refused(engine):
    def refused(match, error=InvalidRequest, **groups):
        with pytest.raises(error, match=match):
            engine.resolve(GenerationRequest(**groups))

    refused("wants a mask", regions=RegionParams("Mask"))
    refused("wants a colour", regions=RegionParams("Colour"))
    refused("There is no detector 'nose'", UnknownModel, regions=RegionParams("nose"))
    refused("smallest region", regions=RegionParams("Contrast", min_ratio=0.5, max_ratio=0.1))
    refused("Detailer strength is 2", detailer=DetailerParams(strength=2))
    refused("Detail 2: Detailer confidence is 7", further=(Detail(RegionParams("Contrast", confidence=7)),))
    refused("11 details", further=(Detail(),) * 10)
    validate(GenerationRequest(regions=RegionParams("None", min_ratio=0.5, max_ratio=0.1)))
