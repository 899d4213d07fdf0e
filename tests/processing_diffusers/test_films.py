"""Films: what a model of films draws is what its library draws, alone and beside others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from modules.contracts.events import Preview, StepDone
from modules.contracts.film import FilmParams
from modules.contracts.plan import MemoryPlan
from modules.contracts.request import CanvasParams, PromptParams
from modules.contracts.run import RunContext
from modules.memory.cost import ModelBytes, ModelFacts, predict
from modules.memory.films import Length, plan_film_memory
from modules.processing_diffusers import engine
from modules.processing_diffusers.noise import make_generator
from tests.factories import models
from tests.factories.families import BUILDERS
from tests.factories.levels import even_euler
from tests.processing_diffusers.conftest import ask, draw_together, make_engine, pixels, remember_numbers

FILMS = ["wan", "wan-ti2v", "ltx"]
LIBRARY_CLOSE = 2e-3
"""Of values in [0, 1], between a film in 64 bits and the library's own in 32."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """An engine with each tiny model of films, and one of pictures."""
    folder = tmp_path_factory.mktemp("films")
    for name in FILMS:
        BUILDERS[name](folder / "models" / "checkpoints" / name)
    models.tiny_sd15(folder / "models" / "checkpoints" / "sd15")
    bench = make_engine(folder, folder / "models")
    yield bench
    bench.engine.close()


@pytest.fixture
def bench(studio):
    studio.events.clear()
    return studio


def film(family, frames=9, **changes):
    changes.setdefault("steps", 2)
    return ask(model=family, film=changes.pop("film", FilmParams(frames)), sampler=None, **changes)


def frames_of(result, place=0):
    """All frames of a film, (frames, height, width, 3)."""
    return np.stack([pixels(frame) for frame in result.pictures[place].film.frames])


@pytest.mark.parametrize("family", FILMS)
def test_a_film_has_frames_that_differ_and_a_recipe(bench, family):
    result = bench.draw(film(family))
    (picture,) = result.pictures
    shown = frames_of(result)
    assert shown.shape == (9, 64, 64, 3)
    assert all((one != other).any() for one, other in itertools.pairwise(shown))
    assert np.array_equal(pixels(picture), shown[0])
    assert "Frames: 9" in picture.infotext
    assert picture.recipe["parameters"]["film.frames"] == 9
    assert picture.film.fps == bench.engine._catalog.family(family).defaults["fps"]


@pytest.mark.parametrize("family", FILMS)
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_film_is_what_the_library_draws(bench, exact_frames, family, cfg):
    """The same noise through the model's own pipeline."""
    from diffusers import DiffusionPipeline

    request = film(family, steps=3, cfg=cfg, prompt=PromptParams("a red circle", "blurry"), seed=7)
    ours = exact_frames(bench.draw(request))
    folder = bench.engine._catalog.find_model(family).path
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = even_euler(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "a red circle",
        "blurry",
        width=64,
        height=64,
        num_frames=9,
        num_inference_steps=3,
        guidance_scale=cfg,
        generator=make_generator(7),
        output_type="pt",
        **THEIRS.get(family, {}),
    ).frames[0]
    torch.testing.assert_close(ours, theirs.movedim(0, 1).float(), rtol=0, atol=LIBRARY_CLOSE)


THEIRS = {"ltx": {"frame_rate": 25}}
"""What the libraries' pipelines have to be told besides."""


@pytest.fixture
def exact_frames(monkeypatch):
    """Gives the decoder's own numbers of a film in [0, 1], (3, T, H, W)."""
    remember_numbers(monkeypatch)
    return lambda result: torch.stack([frame.exact for frame in result.pictures[0].film.frames], dim=1)


@pytest.mark.parametrize("family", FILMS)
def test_films_drawn_together_equal_those_alone(bench, exact_frames, family):
    requests = [film(family, text=text, seed=seed) for seed, text in enumerate(("a dot", "two dogs in the snow"))]
    draw_together(bench, exact_frames, requests, "transformer", hold=True)


@pytest.mark.parametrize("family", FILMS)
def test_each_film_of_a_batch_has_its_own_seed(bench, family):
    batch = bench.draw(film(family, canvas=CanvasParams(64, 64, 2, 1), seed=3))
    assert abs(frames_of(batch, 1) - frames_of(bench.draw(film(family, seed=4)))).max() <= 1


@pytest.mark.parametrize("family", FILMS)
def test_frames_are_brought_to_a_number_that_the_model_draws(bench, family):
    factor = bench.engine._catalog.family(family).frame_factor
    result = bench.draw(film(family, frames=factor + 2))
    assert len(result.pictures[0].film.frames) == factor + 1
    assert any(f"brought to {factor + 1}" in note for note in result.notes)


@pytest.mark.parametrize("family", FILMS)
def test_one_frame_is_a_still_picture(bench, family):
    result = bench.draw(film(family, frames=1))
    assert result.pictures[0].film is None
    assert pixels(result.pictures[0]).std() > 0
    assert not any("frames" in note for note in result.notes)


def test_a_model_of_pictures_says_that_it_draws_no_films(bench):
    result = bench.draw(ask(model="sd15", film=FilmParams(frames=9)))
    assert result.pictures[0].film is None
    assert any("still pictures" in note for note in result.notes)


@pytest.mark.parametrize("family", FILMS)
def test_nothing_said_is_as_the_model_likes_it(bench, family):
    plan = bench.engine.resolve(film(family, film=FilmParams()))
    row = bench.engine._catalog.family(family)
    assert (plan.film.frames, plan.film.fps) == (row.defaults["frames"], row.defaults["fps"])
    assert plan.film.latent_frames == (plan.film.frames - 1) // row.frame_factor + 1


@pytest.mark.parametrize("family", FILMS)
def test_a_film_ends_within_one_step_of_being_cancelled(bench, family):
    steps = []

    def listen(event):
        if isinstance(event, StepDone):
            steps.append(event)
            context.cancelled.set()

    context = RunContext("job", listen, previews=False)
    result = bench.draw(film(family, steps=20), context=context)
    assert result.interrupted
    assert not result.pictures
    assert len(steps) <= 2


@pytest.mark.parametrize("family", FILMS)
def test_a_preview_shows_the_middle_frame(bench, family, monkeypatch):
    shown = []
    from modules.processing_diffusers.model import DrawingModel

    plain = DrawingModel.preview

    def listen(self, port, latents, side):
        shown.append(latents)
        return plain(self, port, latents, side)

    monkeypatch.setattr(DrawingModel, "preview", listen)
    bench.draw(film(family, frames=9, steps=3), previews=True)
    assert any(isinstance(event, Preview) for event in bench.events)
    channels = bench.engine._catalog.family(family).latent_channels
    assert [tuple(latents.shape[:2]) for latents in shown] == [(1, channels)] * len(shown)


@pytest.mark.parametrize("family", FILMS)
def test_the_forecast_of_memory_counts_frames(bench, family, monkeypatch):
    peaks = []

    def listen(plan):
        peaks.append(plan.predicted_peak)
        return plan

    plain = engine.plan_film_memory
    monkeypatch.setattr(engine, "plan_film_memory", lambda *given: listen(plain(*given)))
    for frames in (1, 9, 17):
        bench.draw(film(family, frames=frames, steps=1))
    assert peaks[0] < peaks[1] < peaks[2]


def test_what_a_film_needs_is_that_of_a_wider_canvas():
    facts, weights = ModelFacts(cells_per_token=4, vae_width=96), ModelBytes(0)
    canvases = []

    def fit(size, part):
        canvases.append((size, part))
        return MemoryPlan(predicted_peak=predict(weights, (), size, 1, 2, part))

    plan = plan_film_memory(fit, (640, 640), (1280, 640), facts, Length(21, 81, 4))
    (drawn, drawing), (decoded, seeing) = canvases
    assert (drawn, decoded) == ((640 * 21, 640), (1280 * 5, 640))
    assert predict(weights, (), drawn, 1, 2, drawing) == 21 * predict(weights, (), (640, 640), 1, 2, drawing)
    assert plan.predicted_peak == max(
        predict(weights, (), drawn, 1, 2, drawing), predict(weights, (), decoded, 1, 2, seeing)
    )
