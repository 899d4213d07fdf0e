"""Pictures of all kinds, drawn under load by the model that ships, are drawn again from their recipes alone."""

from __future__ import annotations

import dataclasses
import io
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from modules.contracts.errors import UnknownName, UnsupportedFeature
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    HiresParams,
    ImageParams,
    InpaintParams,
    OutputParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.outputs.replay import changes_between, request_of
from modules.outputs.verify import TOLERANCE, Verifier, difference, pixels
from tests.factories.pocket import make_pocket_engine, pocket_studio
from tests.outputs.making import drawing

SAMPLERS = ("Euler", "Euler a", "DPM++ 2M", "DDIM", "Heun", "DPM++ 2M SDE")
WORDS = ("a red circle on a white background", "two blue stars on a yellow background", "a green heart")
JOBS = 22
"""With one to three pictures each: 50 pictures."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """(queue with eight lanes, store) over the engine of the pocket model."""
    folder = tmp_path_factory.mktemp("verify")
    with pocket_studio(folder, make_pocket_engine(folder), lanes=8) as made:
        yield made


@pytest.fixture(scope="module")
def verifier(studio):
    queue, store = studio
    return Verifier(store, queue, quality=lambda: 90)


def mixed(number):
    """Job `number`: its kind, sampler, size, words, count and format follow from the number."""
    lot = random.Random(number)
    image = inpaint = None
    hires = HiresParams()
    if number % 4 == 1:
        image = ImageParams((drawing(),), denoising_strength=0.6)
    elif number % 4 == 2:
        image, inpaint = ImageParams((drawing(),)), InpaintParams(drawing("L"), only_masked=bool(number % 8 == 2))
    elif number % 4 == 3:
        hires = HiresParams(enabled=True, scale=1.5, upscaler=lot.choice(("Latent", "Lanczos")), steps=3)
    size, count = (2, 1) if number % 3 else (1, 3)
    return GenerationRequest(
        PromptParams(lot.choice(WORDS), "a cross" if number % 2 else ""),
        CanvasParams(width=64, height=64, batch_size=size, batch_count=count),
        SeedParams(seed=1000 * number, subseed=7, subseed_strength=0.3 if number % 5 == 0 else 0.0),
        SamplingParams(
            steps=lot.choice((3, 4, 5)), sampler=SAMPLERS[number % 6], cfg_scale=lot.choice((1.0, 2.0, 4.0))
        ),
        hires,
        image,
        inpaint,
        output=OutputParams(format=("png", "webp", "jpeg")[number % 3] if number > 18 else "png"),
    )


@pytest.fixture(scope="module")
def drawn(studio):
    """All jobs at once, so that their pictures were drawn in company."""
    queue, store = studio
    handles = [queue.submit(mixed(number), "ann") for number in range(JOBS)]
    for handle in handles:
        handle.wait(240)
    return list(store.list(owner="ann", limit=100))


def test_fifty_pictures_drawn_under_load_come_out_the_same_again(drawn, verifier):
    assert len(drawn) >= 50
    with ThreadPoolExecutor(8) as crowd:
        verdicts = list(crowd.map(lambda picture: verifier.verify(picture.id, "ann", company=1), drawn))
    wrong = [verdict for verdict in verdicts if not verdict.same]
    assert wrong == []
    exact = {picture.id for picture in drawn if picture.media_type == "image/png"}
    apart = [max(each.alone.largest, each.company.largest) for each in verdicts if each.picture_id in exact]
    assert len(apart) > 40
    assert max(apart) <= 1
    assert all(verdict.changes == () for verdict in verdicts)


def test_another_picture_is_not_taken_for_the_same(drawn, studio, verifier):
    _, store = studio
    first, other = drawn[0], next(picture for picture in drawn if picture.job_id != drawn[0].job_id)
    apart = difference(pixels(store.read(first.id)), pixels(store.read(other.id)))
    assert apart.largest > TOLERANCE
    path = next(store._folder.rglob(first.name))
    kept = path.read_bytes()
    try:
        spoiled = Image.open(io.BytesIO(kept)).convert("RGB")
        spoiled.putpixel((5, 5), tuple(255 - value for value in spoiled.getpixel((5, 5))))
        spoiled.save(path, "PNG")
        assert not verifier.verify(first.id, "ann", company=0).same
    finally:
        path.write_bytes(kept)


def test_what_has_changed_since_is_named(drawn):
    then = drawn[0].recipe
    now = {**then, "versions": {**then["versions"], "torch": "9.9"}, "notes": ["other"]}
    now["model"] = {**then["model"], "sha256": "ff"}
    assert [change.part for change in changes_between(then, now)] == ["model.sha256", "versions.torch"]
    assert changes_between(then, now)[1].now == "9.9"


def test_a_request_leaves_nothing_to_defaults(drawn, studio):
    queue, _ = studio
    picture = next(one for one in drawn if one.index == 1 and one.recipe["mode"] == "txt2img")
    request = request_of(picture, queue.request(picture.job_id))
    assert None not in (request.sampling.sampler, request.sampling.scheduler, request.sampling.cfg_scale)
    assert request.model.checkpoint == "pocket"
    assert (request.seeds.seed, request.canvas.batch_size, request.output.save) == (picture.recipe["seed"], 1, False)


def test_what_cannot_be_drawn_again_says_why(drawn, verifier):
    with pytest.raises(UnknownName, match="no picture 'nothing'"):
        verifier.verify("nothing", "ann")
    picture = next(one for one in drawn if one.recipe["mode"] == "img2img")
    with pytest.raises(UnsupportedFeature, match="has not kept"):
        request_of(picture, None)
    odd = dataclasses.replace(picture, recipe={**picture.recipe, "format": 99})
    with pytest.raises(UnsupportedFeature, match="format 99"):
        request_of(odd, None)
