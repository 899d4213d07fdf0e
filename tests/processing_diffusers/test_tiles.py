"""Tiled diffusion and SD upscale: tiles equal the whole where they must, and calls are no larger than a tile."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.control import ControlParams, ControlUnit
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    HiresParams,
    ImageParams,
    InpaintParams,
    PromptParams,
    SamplingParams,
    SdUpscaleParams,
    TileParams,
)
from modules.contracts.run import RunContext
from modules.contracts.tiles import EVEN, MIXED, SECOND, TilePlan
from modules.memory.cost import ModelBytes, ModelFacts
from modules.memory.planner import join_plans, plan_memory
from modules.processing_diffusers.families.base import FamilyAdapter
from modules.processing_diffusers.families.flux import FluxAdapter
from modules.processing_diffusers.multiplexer.core import Multiplexer
from modules.processing_diffusers.tiles import Grid, Tiles, places_along
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import FAMILIES, apart, ask, encode, link_models, make_engine, pixels, speckled

EVERY = (*FAMILIES, "chroma", "pixart", "zimage", "lumina2")


class Plain(FamilyAdapter):
    """Latents as they are."""

    def condition(self, positive, negative):
        raise NotImplementedError


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(64, 16, 4), (64, 16, 0), (40, 32, 8), (16, 16, 8), (100, 24, 20)]
)
def test_tiles_cover_an_axis_with_their_overlap(length, tile, overlap, step, wrap):
    begins = places_along(length, tile, overlap, step, wrap=wrap)
    covered = np.zeros(length, int)
    for begin in begins:
        assert begin % step == 0
        covered[np.arange(begin, begin + tile) % length] += 1
    assert covered.min() >= 1
    if not wrap:
        assert begins[0] == 0
        assert begins[-1] == length - tile
        assert all(here + tile - there >= overlap - step for here, there in itertools.pairwise(begins))


def painted(tiles, sample, speak, most=1, **more):
    """What comes back for the canvas where each call is answered by `speak(sample)`."""
    return tiles.paint(lambda given, window: speak(given["sample"]), {"sample": sample, **more}, most)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("most", [1, 3, 100])
def test_what_is_said_of_each_place_by_itself_is_said_of_the_whole(gaussian, wrap, most):
    torch.manual_seed(0)
    sample = torch.randn(2, 4, 24, 40)
    tiles = Tiles(Grid((24, 40), (16, 16), 4, wrap=wrap), Plain(), gaussian=gaussian)
    found = painted(tiles, sample, lambda part: part * 2 + 1, most)
    assert torch.allclose(found, sample * 2 + 1, atol=1e-5)


def test_overlaps_are_even_or_belong_to_the_nearer_middle():
    said = iter([0.0, 1.0] * 2)
    found = {}
    for gaussian in (False, True):
        tiles = Tiles(Grid((16, 24), (16, 16), 8), Plain(), gaussian=gaussian)
        row = painted(tiles, torch.zeros(1, 1, 16, 24), lambda part: torch.full_like(part, next(said)))[0, 0, 5]
        assert row[:8].eq(0).all()
        assert row[16:].eq(1).all()
        found[gaussian] = row[8:16]
    assert torch.allclose(found[False], torch.full((8,), 0.5))
    assert (found[True].diff() > 0).all()
    assert found[True][0] < 0.01
    assert found[True][-1] > 0.99


def test_packed_latents_and_their_places_are_cut_like_others():
    torch.manual_seed(0)
    adapter, latents = FluxAdapter(), torch.randn(2, 4, 16, 24)
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(12), indexing="ij")
    places = torch.stack([torch.zeros(8, 12, dtype=torch.long), rows, columns], -1).reshape(-1, 3)
    tiles = Tiles(Grid((16, 24), (16, 16), 4, step=2), adapter)
    seen = []

    def answer(given, window):
        seen.append(given)
        return given["hidden_states"] + 1

    whole = tiles.paint(answer, {"hidden_states": adapter.pack(latents), "img_ids": places, "txt_ids": places[:3]}, 1)
    assert torch.allclose(whole, adapter.pack(latents) + 1, atol=1e-5)
    for given in seen:
        assert given["hidden_states"].shape == (2, 64, 16)
        assert torch.equal(given["img_ids"], places.reshape(8, 12, 3)[:8, :8].reshape(-1, 3))
        assert given["txt_ids"].shape == (3, 3)


def test_sizes_that_sdxl_hears_of_are_those_of_the_tile():
    tiles = Tiles(Grid((32, 64), (32, 32), 8), Plain())
    heard = []

    def answer(given, window):
        heard.append(given["added_cond_kwargs"]["time_ids"])
        return given["sample"]

    sizes = torch.tensor([[256.0, 512.0, 0.0, 0.0, 256.0, 512.0]] * 2)
    tiles.paint(answer, {"sample": torch.zeros(2, 4, 32, 64), "added_cond_kwargs": {"time_ids": sizes}}, 4)
    assert heard[0].tolist() == [[256.0, 256.0, 0.0, 0.0, 256.0, 256.0]] * (2 * len(tiles.windows))


@pytest.fixture
def calls(monkeypatch):
    """Shapes of what the denoiser is called with: the last two sides, or the number of tokens."""
    found, plain = [], Multiplexer.call

    def call(self, lane, target, arguments, **more):
        if target.name in ("unet", "transformer"):
            sample = next(arguments[name] for name in ("sample", "hidden_states", "x") if name in arguments)
            found.append(tuple(sample.shape[-2:]) if sample.ndim > 3 else (int(sample.shape[1]),))
        return plain(self, lane, target, arguments, **more)

    monkeypatch.setattr(Multiplexer, "call", call)
    return found


@pytest.fixture(scope="module")
def bench(request, tmp_path_factory):
    """All families of the tiny models."""
    folder = tmp_path_factory.mktemp("tiles")
    made = make_engine(folder, link_models(folder, request, EVERY))
    yield made
    made.engine.close()


def wish(model, **groups):
    return ask(sampling=SamplingParams(2, cfg_scale=2.0), model=model, **groups)


@pytest.mark.parametrize("family", EVERY)
def test_every_family_is_seen_by_its_tiles(bench, calls, family):
    model, wide = f"tiny-{family.replace('_', '-')}", CanvasParams(128, 64)
    whole = pixels(bench.draw(wish(model, canvas=wide)).pictures[0])
    largest = max(calls)
    calls.clear()
    same = pixels(bench.draw(wish(model, canvas=wide, tiles=TileParams(EVEN, 128, 64))).pictures[0])
    assert max(calls) == largest
    assert np.array_equal(same, whole)
    calls.clear()
    tiled = pixels(bench.draw(wish(model, canvas=wide, tiles=TileParams(MIXED, 64, 64, 16))).pictures[0])
    assert len(set(calls)) == 1
    assert np.prod(calls[0]) * 2 == np.prod(largest)
    assert tiled.shape == whole.shape
    assert not np.array_equal(tiled, whole)


def test_references_are_cut_with_the_tiles(bench, calls):
    unit = ControlUnit(True, "reference_only", image=encode(speckled(128, 64)))
    groups = {"canvas": CanvasParams(128, 64), "tiles": TileParams(EVEN, 64, 64, 16)}
    plain = bench.draw(wish("tiny-sd15", **groups)).pictures[0]
    calls.clear()
    looking = bench.draw(wish("tiny-sd15", control=ControlParams((unit,)), **groups)).pictures[0]
    assert not np.array_equal(pixels(plain), pixels(looking))
    assert len(set(calls)) == 1


def test_a_picture_of_a_batch_is_what_it_is_alone(bench):
    tiles = TileParams(MIXED, 64, 64)
    batch = bench.draw(wish("tiny-sd15", canvas=CanvasParams(128, 64, batch_size=2), tiles=tiles)).pictures
    alone = bench.draw(wish("tiny-sd15", canvas=CanvasParams(128, 64), tiles=tiles)).pictures
    assert np.abs(pixels(batch[0]) - pixels(alone[0])).max() <= 1


def test_a_job_can_be_cancelled_between_tiles(bench, monkeypatch):
    context, seen = RunContext("job", lambda event: None), []
    plain = Tiles._cut

    def cut(self, *given):
        seen.append(given)
        context.cancelled.set()
        return plain(self, *given)

    monkeypatch.setattr(Tiles, "_cut", cut)
    request = wish("tiny-sd15", canvas=CanvasParams(256, 256, batch_size=8), tiles=TileParams(EVEN, 64, 64))
    result = bench.draw(request, context=context)
    assert result.interrupted
    assert len(seen) == 1


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


@pytest.fixture
def draw(engine):
    def run(prompt, steps=6, **groups):
        sampling = SamplingParams(steps, "Euler", cfg_scale=2.0)
        request = ask(prompt=PromptParams(prompt), sampling=sampling, **groups)
        return engine.generate(request, RunContext("job", lambda event: None)).pictures[0]

    return run


def jump_at(image, column):
    """How much more neighbouring columns differ there than columns do elsewhere, on average."""
    steps = np.abs(np.diff(np.asarray(image, float), axis=1)).mean(axis=(0, 2))
    near = steps[column - 1 : column + 1].max()
    return near / max(np.median(steps), 0.1)


def test_a_wide_picture_has_no_seams(draw, calls):
    wide = CanvasParams(320, 128)
    words = "a plain blue background"
    picture = draw(words, canvas=wide, tiles=TileParams(MIXED, 128, 128))
    assert set(calls) == {(16, 16)}
    # Three tiles, which begin at 0, 96 and 192: the columns where one ends or begins.
    jumps = [jump_at(picture.image, column) for column in (96, 128, 192, 224)]
    parted = draw(words, canvas=CanvasParams(256, 128), tiles=TileParams(EVEN, 128, 128, 0))
    assert max(jumps) < 4
    assert jump_at(parted.image, 128) > 2 * max(jumps)
    assert "Tile method: Mixture of Diffusers, Tile width: 128, Tile height: 128" in picture.infotext
    assert picture.recipe["first"]["tiles"] == {"method": MIXED, "width": 128, "height": 128, "overlap": 32}


def test_sd_upscale_draws_a_larger_picture_of_the_same_thing(draw, calls):
    small = draw("a blue square on a white background", size=128).image
    calls.clear()
    large = draw(
        "a blue square on a white background",
        canvas=CanvasParams(None, None),
        image=ImageParams((encode(small),), denoising_strength=0.35),
        upscale=SdUpscaleParams("Lanczos", 2.0),
        tiles=TileParams(width=128, height=128),
    )
    assert large.image.size == (256, 256)
    assert set(calls) == {(16, 16)}
    enlarged = np.asarray(small.resize((256, 256), Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(large.image, float) - enlarged).mean() < 20
    assert not np.array_equal(np.asarray(large.image), enlarged)
    for column in (64, 96, 128, 160, 192):
        assert jump_at(large.image.crop((0, 0, 256, 40)), column) < 6
    assert "SD upscale upscaler: Lanczos" in large.infotext


def test_the_second_pass_alone_may_be_tiled(draw, calls):
    hires = HiresParams(True, 2.0, "Latent", steps=2, denoising_strength=0.4)
    picture = draw("a red circle", 3, size=128, hires=hires, tiles=TileParams(MIXED, 128, 96, passes=SECOND))
    assert picture.image.size == (256, 256)
    assert calls[:3] == [(16, 16)] * 3
    assert set(calls[3:]) == {(12, 16)}


def test_edges_that_meet_still_meet(draw):
    def jump(picture):
        values = np.asarray(picture.image, float)
        edge = np.abs(values[:, 0] - values[:, -1]).mean()
        return edge / np.abs(np.diff(values, axis=1)).mean()

    tiles = TileParams(EVEN, 128, 128)
    apart = draw("a red circle", canvas=CanvasParams(192, 128), tiles=tiles)
    meeting = draw("a red circle", canvas=CanvasParams(192, 128, tiling=True), tiles=tiles)
    assert jump(meeting) < 3
    assert jump(meeting) < jump(apart)


def test_tiles_are_planned_only_where_they_are_needed(engine):
    def first(size=(512, 256), **tiles):
        return engine.resolve(ask(canvas=CanvasParams(*size), tiles=TileParams(EVEN, **tiles))).first

    assert first().tiles == TilePlan(EVEN, 256, 256, 64)  # the model's native size
    assert first(width=104, height=136).seen == (104, 136)
    assert first((256, 256)).tiles is None
    assert first((256, 256), width=1024).tiles is None
    assert engine.resolve(ask(canvas=CanvasParams(512, 256))).first.seen == (512, 256)


def test_nonsense_is_refused(engine):
    def refused(match, **groups):
        with pytest.raises(InvalidRequest, match=match):
            engine.resolve(GenerationRequest(**groups))

    image = ImageParams((encode(speckled()),))
    refused("Tile overlap is 64", tiles=TileParams(EVEN, 64, 128, 64))
    refused("Tile overlap is 256", tiles=TileParams(EVEN, overlap=256), canvas=CanvasParams(512, 512))
    refused("a given picture", upscale=SdUpscaleParams("Lanczos"))
    refused("leave the mask out", upscale=SdUpscaleParams("Lanczos"), image=image, inpaint=InpaintParams(b"m"))
    refused("Latent is of latents", upscale=SdUpscaleParams("Latent"), image=image)
    refused("There is no upscaler 'none such'", upscale=SdUpscaleParams("none such"), image=image)
    large = ImageParams((encode(speckled(1024, 1024)),))
    refused("8192x8192 has 67.1 megapixels", upscale=SdUpscaleParams("Lanczos", 8.0), image=large)


def test_memory_is_planned_for_a_tile_and_for_the_picture_apart():
    weights, free = ModelBytes(2 << 30, 1 << 30, 200 << 20), 24 << 30
    facts = ModelFacts(width=320, max_rows=16)
    drawing, seeing = facts.apart
    whole = plan_memory(weights, 4096, 4096, 1, free, facts=facts)
    tile = plan_memory(weights, 512, 512, 1, free, facts=drawing)
    both = join_plans(tile, plan_memory(weights, 4096, 4096, 1, free, facts=seeing))
    assert tile.predicted_peak < 6 << 30
    assert both.max_batch > 2
    assert "vae_tiling" in both.measures
    assert both.predicted_peak < whole.predicted_peak


def test_the_vae_goes_in_tiles_where_that_is_asked_for(bench, exact):
    request = ask(size=128, steps=1)
    whole = exact(bench.draw(request))
    result = bench.draw(replace(request, tiles=TileParams(vae=True)))
    assert "vae_tiling" in result.pictures[0].recipe["memory"]["measures"]
    assert "Tiled VAE: True" in result.pictures[0].infotext
    assert apart(exact(result), whole) > 1e-3
    assert apart(exact(bench.draw(request)), whole) == 0  # nothing of it stays
