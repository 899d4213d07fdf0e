"""Films are kept as files that move, and drawn again from their recipes frame by frame."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from modules.contracts.film import FilmParams
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    ModelParams,
    OutputParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.contracts.result import Film
from modules.outputs.metadata import read_metadata
from modules.outputs.mp4 import is_mp4, pack
from modules.outputs.verify import FILM_TOLERANCE, Verifier, difference, pixels
from tests.factories.pocket import pocket_studio
from tests.factories.video import tiny_wan
from tests.processing_diffusers.conftest import make_engine


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """(queue, store, verifier) over a tiny model of films."""
    folder = tmp_path_factory.mktemp("verify-films")
    tiny_wan(folder / "models" / "checkpoints" / "wan")
    bench = make_engine(folder, folder / "models")
    with pocket_studio(folder, bench.engine, 2) as (queue, store):
        yield queue, store, Verifier(store, queue, lambda: 90)


@pytest.mark.parametrize("fmt", ["png", "webp", "mp4"])
def test_every_frame_of_a_film_comes_out_the_same(studio, fmt):
    queue, store, verifier = studio
    request = GenerationRequest(
        PromptParams("a red circle"),
        CanvasParams(64, 64),
        SeedParams(5, 5),
        SamplingParams(steps=2, sampler="Euler"),
        model=ModelParams("wan"),
        output=OutputParams(format="jpeg"),
        film=FilmParams(6, 8, fmt),
    )
    handle = queue.submit(request, "ann")
    (drawn,) = handle.wait(120).pictures
    (row,) = store.list(job_id=handle.id)
    data = store.read(row.id)
    assert pixels(data).shape == (5, 64, 64, 3)
    if fmt == "mp4":
        assert is_mp4(data)
    else:
        with Image.open(io.BytesIO(data)) as opened:
            assert (opened.format.lower(), opened.n_frames) == (fmt, 5)
    said = read_metadata(data)
    assert "Frames: 5" in said.infotext
    assert said.recipe["film"] == {"frames": 5, "fps": 8}
    if fmt == "png":
        assert np.array_equal(pixels(data), np.stack([np.asarray(frame) for frame in drawn.film.frames]))
    verdict = verifier.verify(row.id, "ann", company=1)
    assert verdict.same
    assert verdict.alone.largest <= verdict.tolerance


def test_one_level_in_a_few_places_is_the_same_film_and_another_seed_is_not():
    lot = np.random.default_rng(0)
    cells = lot.integers(0, 256, (5, 8, 8, 3), np.uint8)
    frames = np.stack([np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC)) for one in cells])
    near = frames.copy()
    for place in lot.integers(0, [5, 64, 64, 3], (5, 4)):
        near[tuple(place)] ^= 1
    other = frames.copy()
    other[2, 16:32, 16:32] = 255 - other[2, 16:32, 16:32]
    kept, again, foreign = (read(film) for film in (frames, near, other))
    assert 0 < difference(kept, again).largest <= FILM_TOLERANCE
    assert difference(kept, foreign).largest > FILM_TOLERANCE


def read(frames):
    """The frames as an MP4 file gives them back."""
    film = Film(tuple(Image.fromarray(frame) for frame in frames), 8, "mp4")
    return pixels(pack(film, infotext="", recipe="{}", quality=90))


def test_another_last_frame_is_another_film():
    then = np.zeros((3, 4, 4, 3), np.int16)
    now = then.copy()
    now[2, 0, 0, 0] = 50
    assert difference(then, now).largest == 50
    assert difference(then, now[:2]).largest == 255
