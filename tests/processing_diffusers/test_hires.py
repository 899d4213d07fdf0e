"""The second pass: sizes, upscalers, steps and words of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from modules.contracts.cost import work_of
from modules.contracts.errors import BrokenModel, InvalidRequest, UnsupportedFeature
from modules.contracts.events import StageStarted, StepDone
from modules.contracts.request import HiresParams, ImageParams
from modules.upscalers.table import UPSCALERS
from tests.factories.upscalers import write_compact
from tests.processing_diffusers.conftest import ask, encode, link_models, make_engine, pixels, speckled


def hires(**changes):
    return HiresParams(**{"enabled": True, "scale": 1.5, "steps": 2, "denoising_strength": 0.5, **changes})


@pytest.mark.parametrize("upscaler", [entry.name for entry in UPSCALERS])
def test_every_upscaler_gives_the_final_size(bench, upscaler):
    picture = bench.draw(ask(steps=2, hires=hires(upscaler=upscaler))).pictures[0]
    assert picture.image.size == (96, 96)


@pytest.mark.parametrize(
    ("wish", "size"),
    [
        ({"scale": 2.0}, (128, 128)),
        ({"resize_width": 80}, (80, 80)),
        ({"resize_height": 104}, (104, 104)),
        ({"resize_width": 96, "resize_height": 128}, (96, 128)),
    ],
)
@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_the_size_follows_factor_or_sides(bench, wish, size, upscaler):
    picture = bench.draw(ask(steps=2, hires=hires(upscaler=upscaler, **wish))).pictures[0]
    assert picture.image.size == size


def test_all_hires_steps_are_run_whatever_the_strength(bench):
    bench.draw(ask(steps=3, hires=hires(steps=4, denoising_strength=0.3)))
    steps = [(event.step, event.steps) for event in bench.events if isinstance(event, StepDone)]
    assert steps == [(step, 7) for step in range(1, 8)]
    assert "hires" in [event.stage for event in bench.events if isinstance(event, StageStarted)]


def test_without_steps_of_its_own_it_takes_those_of_the_first_pass(bench):
    bench.draw(ask(steps=3, hires=hires(steps=0)))
    assert sum(isinstance(event, StepDone) for event in bench.events) == 6


def test_words_sampler_and_strength_of_its_own_change_the_picture(bench):
    plain = pixels(bench.draw(ask(hires=hires())).pictures[0])
    for change in (
        {"prompt": "a blue square"},
        {"negative": "sharp"},
        {"sampler": "DDIM"},
        {"denoising_strength": 0.9},
    ):
        assert (pixels(bench.draw(ask(hires=hires(**change))).pictures[0]) != plain).any(), change


def test_a_picture_of_a_hires_batch_is_the_one_drawn_alone(bench):
    batch = bench.draw(ask(batch=2, hires=hires(upscaler="Lanczos"))).pictures
    alone = bench.draw(ask(seed=2, hires=hires(upscaler="Lanczos"))).pictures[0]
    assert abs(pixels(batch[1]) - pixels(alone)).max() <= 1


def test_a_first_pass_kept_whole_comes_back_larger(bench):
    """With no strength the second pass only enlarges."""
    small = pixels(bench.draw(ask()).pictures[0])
    large = pixels(bench.draw(ask(hires=hires(scale=2.0, upscaler="Nearest", denoising_strength=0.0))).pictures[0])
    other = pixels(bench.draw(ask(seed=9)).pictures[0])
    shrunk = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert abs(shrunk.mean() - small.mean()) <= abs(other.mean() - small.mean()) + 20


@pytest.fixture(scope="module")
def with_networks(tmp_path_factory, request):
    """An engine whose models folder holds upscalers: one repeats pixels, one makes them redder as well."""
    models = link_models(tmp_path_factory.mktemp("upscaling"), request, ["sd15"])
    write_compact(models / "ESRGAN" / "plain-x2.safetensors", 2)
    write_compact(models / "upscalers" / "redder-x2.safetensors", 2, (0.25, 0.0, 0.0))
    (models / "upscalers" / "cut.safetensors").write_bytes(b"nonsense")
    bench = make_engine(tmp_path_factory.mktemp("upscaling-engine"), models)
    yield bench
    bench.engine.close()


def enlarged(bench, upscaler, scale=2.0, **changes):
    """What the second pass draws over, seen through one that changes nothing."""
    wish = hires(scale=scale, upscaler=upscaler, denoising_strength=0.0)
    return pixels(bench.draw(ask(hires=wish, **changes)).pictures[0]).astype(float)


def test_a_network_of_a_file_enlarges_the_first_pass(with_networks):
    nearest, plain = enlarged(with_networks, "Nearest"), enlarged(with_networks, "plain-x2")
    assert abs(plain - nearest).max() <= 1
    redder = enlarged(with_networks, "redder-x2")
    assert abs(redder - nearest).mean() > 1
    # Applied twice, then brought to size: three times as large is more than one network makes.
    assert enlarged(with_networks, "redder-x2", scale=3.0).shape == (192, 192, 3)


@pytest.fixture
def forwards(with_networks, monkeypatch):
    """What networks are given until the test ends."""
    from modules.upscalers.spandrel_model import UpscalerModel

    seen, plain = [], UpscalerModel.forward

    def watched(self, tensor):
        seen.append(tensor)
        return plain(self, tensor)

    with_networks.engine.upscalers.empty()
    monkeypatch.setattr(UpscalerModel, "forward", watched)
    yield seen
    with_networks.engine.upscalers.empty()


def test_tiles_change_nothing_and_each_is_as_large_as_the_setting_says(with_networks, forwards):
    whole = enlarged(with_networks, "redder-x2")
    assert [tuple(tensor.shape) for tensor in forwards] == [(1, 3, 64, 64)]
    forwards.clear()
    with_networks.settings.update({"ESRGAN_tile": 32, "ESRGAN_tile_overlap": 8})
    tiled = enlarged(with_networks, "redder-x2")
    with_networks.settings.update({"ESRGAN_tile": 256, "ESRGAN_tile_overlap": 32})
    assert abs(whole - tiled).max() <= 1
    assert [tuple(tensor.shape) for tensor in forwards] == 9 * [(1, 3, 32, 32)]


def test_a_seamless_picture_goes_on_at_the_opposite_edge(with_networks, forwards):
    canvas = replace(ask().canvas, tiling=True)
    wish = hires(scale=2.0, upscaler="plain-x2")
    picture = with_networks.draw(ask(canvas=canvas, hires=wish)).pictures[0]
    assert picture.image.size == (128, 128)
    padded = forwards[0]
    assert padded.shape == (1, 3, 128, 128)  # 64 and an overlap of 32 on each side
    assert torch.equal(padded[..., :32], padded[..., 64:96])


def test_a_file_that_is_none_is_refused_before_anything_is_drawn(with_networks):
    with pytest.raises(BrokenModel, match=r"cut\.safetensors"):
        with_networks.engine.resolve(ask(hires=hires(upscaler="cut")))
    with pytest.raises(InvalidRequest, match="known are .*plain-x2, .*redder-x2"):
        with_networks.engine.resolve(ask(hires=hires(upscaler="SwinIR")))


def test_what_cannot_be_done_is_said(bench):
    with pytest.raises(InvalidRequest, match="upscaler 'SwinIR'"):
        bench.draw(ask(hires=hires(upscaler="SwinIR")))
    with pytest.raises(UnsupportedFeature, match="same checkpoint"):
        bench.draw(ask(hires=hires(checkpoint="another")))


@pytest.mark.parametrize("upscaler", ["Latent", "Nearest"])
def test_a_given_picture_stands_for_the_first_pass(bench, upscaler):
    """With no strength the second pass only enlarges, so the picture comes back larger; no first step is run."""
    given = Image.new("RGB", (64, 64), (200, 40, 40))
    wish = hires(scale=2.0, upscaler=upscaler, steps=2)
    result = bench.draw(ask(batch=2, hires=wish, first_pass=encode(given)))
    steps = [(event.step, event.steps) for event in bench.events if isinstance(event, StepDone)]
    assert steps == [(1, 2), (2, 2)]
    assert "denoise" not in [event.stage for event in bench.events if isinstance(event, StageStarted)]
    assert [picture.image.size for picture in result.pictures] == [(128, 128)] * 2
    assert result.pictures[0].recipe["parameters"]["hires.first_pass"] == "given"
    other = bench.draw(ask(batch=2, hires=wish, first_pass=encode(Image.new("RGB", (64, 64), (40, 40, 200)))))
    assert (pixels(result.pictures[0]) != pixels(other.pictures[0])).any()
    alone = bench.draw(ask(seed=2, hires=wish, first_pass=encode(given)))
    assert abs(pixels(alone.pictures[0]) - pixels(result.pictures[1])).max() <= 1


def test_a_given_picture_only_enlarged_is_what_the_decoder_makes_of_it(bench):
    given = speckled(32, 32).resize((64, 64), Image.Resampling.NEAREST)
    wish = hires(scale=2.0, upscaler="Nearest", denoising_strength=0.0)
    larger = pixels(bench.draw(ask(hires=wish, first_pass=encode(given))).pictures[0])
    once = ImageParams((encode(given.resize((128, 128), Image.Resampling.NEAREST)),), 0.0)
    decoded = pixels(bench.draw(ask(size=128, image=once)).pictures[0])
    assert abs(larger - decoded).max() <= 1


def test_a_given_first_pass_needs_a_second_one(bench):
    picture = encode(speckled())
    for wrong in ({}, {"hires": hires(), "image": ImageParams((picture,))}):
        with pytest.raises(InvalidRequest, match="in place of the first pass"):
            bench.draw(ask(first_pass=picture, **wrong))
    with pytest.raises(InvalidRequest, match="picture of the first pass"):
        bench.draw(ask(hires=hires(), first_pass=b"none"))


def test_a_given_first_pass_costs_the_second_alone():
    both = ask(steps=10, size=100, hires=hires(scale=2.0, steps=4, denoising_strength=0.5))
    assert work_of(both) - work_of(replace(both, first_pass=b"x")) == pytest.approx(0.1)
