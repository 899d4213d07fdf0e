"""Redux: pictures among the words of Flux.1. What they change, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from modules.contracts.cache import FIRST_BLOCK, FORECAST, CacheParams
from modules.contracts.control import ControlParams, ControlUnit, HintParams
from modules.contracts.errors import BrokenModel, InvalidRequest, UnsupportedFeature
from modules.contracts.request import CanvasParams
from modules.contracts.tiles import EVEN, TileParams
from modules.processing_diffusers.steering import Steering
from tests.factories.parts import seeded
from tests.factories.token_controls import build_beside
from tests.processing_diffusers.conftest import CLOSE, apart, ask, encode, in_threads, make_engine, speckled

WIDTH, SIDE, PARTS = 24, 32, 16
"""Numbers of what the tiny encoder says of a part, pixels that it sees, and parts."""


def build_redux(words, *, width=WIDTH, seed=1):
    """A Redux whose words are loud."""
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    with seeded(seed):
        redux = ReduxImageEncoder(width, words)
        torch.nn.init.normal_(redux.redux_up.weight, std=0.5)
        torch.nn.init.normal_(redux.redux_down.weight, std=0.5)
    return redux.eval()


def build_siglip():
    """A tiny SigLIP for pictures."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    sizes = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    with seeded(2):
        return SiglipVisionModel(SiglipVisionConfig(hidden_size=WIDTH, image_size=SIDE, patch_size=8, **sizes)).eval()


@pytest.fixture(scope="module")
def studio(tmp_path_factory, tiny_flux_folder, tiny_sd15_folder):
    """An engine with Reduxes as a file and as a folder, beside their encoder as published."""
    models = tmp_path_factory.mktemp("redux-models")
    (models / "checkpoints").mkdir()
    (models / "checkpoints" / "flux").symlink_to(tiny_flux_folder)
    (models / "checkpoints" / "sd15").symlink_to(tiny_sd15_folder)
    home = models / "ip-adapter" / "redux-dev"
    home.mkdir(parents=True)
    encoder = build_siglip()
    encoder.save_pretrained(home / "image_encoder")
    # Files of older versions have a level more in their names.
    save_file({f"vision_model.{key}": one for key, one in encoder.state_dict().items()},
              home / "image_encoder" / "model.safetensors")  # fmt: skip
    build_redux(32).save_pretrained(home / "image_embedder")
    save_file(build_redux(32).state_dict(), home / "redux.safetensors")
    save_file(build_redux(48).state_dict(), home / "redux-wide.safetensors")
    save_file(build_redux(32, width=40).state_dict(), home / "redux-blind.safetensors")
    (models / "controlnet").mkdir()
    build_beside(tiny_flux_folder, seed=3).save_pretrained(models / "controlnet" / "lines")
    bench = make_engine(tmp_path_factory.mktemp("redux-engine"), models)
    yield bench
    bench.engine.close()


def plain(colour):
    """A picture of one colour."""
    return encode(Image.new("RGB", (40, 48), colour))


def unit(model="redux", **values):
    """A unit that is on, with a speckled picture unless told otherwise."""
    values.setdefault("image", encode(speckled(40, 56)))
    return ControlUnit(enabled=True, module="ip-adapter-auto", model=model, **values)


def prompted(*units, **groups):
    """A request with these units."""
    return ask(control=ControlParams(tuple(units)), **{"model": "flux", "steps": 2, **groups})


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


@pytest.fixture
def heard(monkeypatch):
    """Arguments of every call, with what was added to them."""
    seen, own = [], Steering.residuals

    def listen(self, given, rows, total):
        seen.append((dict(given), own(self, given, rows, total)))
        return seen[-1][1]

    monkeypatch.setattr(Steering, "residuals", listen)
    return seen


def test_weight_0_changes_no_bit_and_more_weight_more(studio, draw):
    base = studio.draw(ask(model="flux", steps=2)).pictures[0]
    for idle in (unit(weight=0.0), replace(unit(), enabled=False)):
        assert np.array_equal(np.asarray(studio.draw(prompted(idle)).pictures[0].image), np.asarray(base.image))
    bare = draw(ask(model="flux", steps=2))
    assert apart(bare, draw(prompted(unit()))) > 1e-4
    red, blue = (draw(prompted(unit(image=plain(colour)))) for colour in ("red", "blue"))
    assert apart(red, blue) > 1e-5
    assert apart(draw(prompted(unit(weight=0.5))), draw(prompted(unit()))) > 1e-5


def test_the_folder_and_the_file_are_one(draw):
    assert apart(draw(prompted(unit())), draw(prompted(unit("image_embedder")))) == 0


def test_the_words_are_those_of_diffusers_own_models(studio, heard):
    """Behind the words of the prompt, all at one place."""
    studio.draw(prompted(unit(weight=0.7), steps=1))
    given, extra = heard[0]
    picture = speckled(40, 56).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(picture, np.float64) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        seen = build_siglip().double()(pixel_values=pixels).last_hidden_state
        wanted = 0.7 * build_redux(32).double()(seen).image_embeds
    words = extra["encoder_hidden_states"]
    assert words.shape[1] == given["encoder_hidden_states"].shape[1] + PARTS
    torch.testing.assert_close(words[:, :-PARTS], given["encoder_hidden_states"])
    torch.testing.assert_close(words[:, -PARTS:], wanted, rtol=1e-5, atol=1e-6)
    assert extra["txt_ids"].shape == (words.shape[1], 3)
    assert not extra["txt_ids"].any()


def test_a_window_acts_in_its_steps_only(draw, heard):
    draw(prompted(unit(guidance_start=0.25, guidance_end=0.75), steps=4))
    assert [bool(extra) for _, extra in heard] == [False, True, True, False]


def test_two_pictures_stand_side_by_side_and_with_a_controlnet(draw, heard):
    one = draw(prompted(unit()))
    assert apart(one, draw(prompted(unit(), unit(image=plain("red"))))) > 1e-5
    heard.clear()
    lines = ControlUnit(enabled=True, model="lines", image=encode(speckled(seed=5)))
    both = draw(prompted(unit(), lines))
    assert apart(both, one) > 1e-4
    assert apart(both, draw(prompted(lines))) > 1e-4
    assert {"encoder_hidden_states", "txt_ids", "controlnet_block_samples"} <= set(heard[0][1])


def test_a_picture_is_heard_in_every_tile(draw):
    tiled = {"canvas": CanvasParams(128, 64), "tiles": TileParams(EVEN, 64, 64, 16)}
    assert apart(draw(ask(model="flux", steps=2, **tiled)), draw(prompted(unit(), **tiled))) > 1e-5


@pytest.mark.parametrize("method", [FIRST_BLOCK, FORECAST])
def test_a_step_cache_bears_that_words_come_and_go(draw, method):
    cache = CacheParams(method=method, threshold=1.0, interval=2)
    asked = prompted(unit(guidance_start=0.3, guidance_end=0.7), steps=6, cache=cache)
    assert torch.isfinite(draw(asked)).all()
    assert apart(draw(asked), draw(replace(asked, control=ControlParams()))) > 1e-6


def test_jobs_with_other_pictures_draw_together_what_they_draw_alone(studio, exact):
    requests = [prompted(unit(image=plain(colour)), seed=seed) for seed, colour in enumerate(("red", "blue"), 1)]
    requests.append(ask(model="flux", steps=2, seed=3))
    alone = [exact(studio.draw(request)) for request in requests]
    together = in_threads([lambda request=request: exact(studio.draw(request)) for request in requests])
    for one, other in zip(alone, together, strict=True):
        assert apart(one, other) < CLOSE


@pytest.mark.parametrize(
    ("asked", "model", "error", "words"),
    [
        (unit(), "sd15", UnsupportedFeature, "The Redux redux was made for Flux.1"),
        (unit("redux-wide"), "flux", UnsupportedFeature, "its words have 48 numbers, the model's have 32"),
        (unit("redux-blind"), "flux", BrokenModel, "needs an image encoder whose SigLIP's hidden_size is 40"),
        (unit(mask=plain("white")), "flux", InvalidRequest, "neither mask nor blocks"),
        (unit(hint=HintParams(blocks="style")), "flux", InvalidRequest, "neither mask nor blocks"),
        (replace(unit(), module="canny"), "flux", InvalidRequest, "looks at the picture itself"),
        (unit("lines"), "flux", InvalidRequest, "is for IP-Adapters"),
    ],
)
def test_what_cannot_be_is_said(studio, asked, model, error, words):
    with pytest.raises(error, match=words):
        studio.draw(prompted(asked, model=model))


def test_its_weights_are_in_the_forecast_of_memory(studio, monkeypatch):
    plans, plan_memory = [], studio.engine._plan_memory

    def keep(*given):
        plans.append(plan_memory(*given))
        return plans[-1]

    monkeypatch.setattr(studio.engine, "_plan_memory", keep)
    for units in ((), (unit(),), (unit(), unit(weight=0.5))):
        studio.draw(prompted(*units))
    bare, one, two = (plan.predicted_peak for plan in plans)
    modules = (build_redux(32), build_siglip())
    numbers = sum(parameter.numel() for module in modules for parameter in module.parameters())
    assert one - bare >= 4 * numbers
    assert one == two
