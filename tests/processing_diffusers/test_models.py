"""Models and VAEs come and go while others draw, and tiles leave no trace."""

from __future__ import annotations

import json
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import Module

from modules.contracts.events import StageStarted
from modules.contracts.request import CanvasParams, ModelParams
from modules.processing_diffusers import storehouse
from modules.processing_diffusers.tiling import CircularPadding
from modules.sd_models import loader
from tests.factories import models
from tests.processing_diffusers.conftest import ask, in_threads, make_engine, pixels


@pytest.fixture(scope="module")
def two_models(tmp_path_factory, tiny_sd15_folder):
    """Two models of one shape and the VAE of the second as a file of its own; one model fits into memory."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "checkpoints").mkdir()
    (folder / "vae").mkdir()
    (folder / "checkpoints" / "one").symlink_to(tiny_sd15_folder)
    models.tiny_sd15(folder / "checkpoints" / "two", seed=99)
    (folder / "vae" / "other.safetensors").symlink_to(
        folder / "checkpoints" / "two" / "vae" / "diffusion_pytorch_model.safetensors"
    )
    bench = make_engine(tmp_path_factory.mktemp("two-engine"), folder, sd_checkpoints_limit=1)
    yield bench
    bench.engine.close()


def test_switching_draws_with_the_other_model_and_comes_back(two_models):
    first, second, again = (pixels(two_models.draw(ask(model=name)).pictures[0]) for name in ("one", "two", "one"))
    assert (first != second).any()
    assert (first == again).all()


def test_only_as_many_models_stay_as_the_setting_allows(two_models):
    for name in ("one", "two"):
        two_models.draw(ask(model=name, steps=1))
    assert len(two_models.engine.storehouse.resident()) == 1
    two_models.settings.update({"sd_checkpoints_limit": 2})
    try:
        two_models.draw(ask(model="one", steps=1))
        assert len(two_models.engine.storehouse.resident()) == 2
    finally:
        two_models.settings.update({"sd_checkpoints_limit": 1})


def test_a_model_goes_at_once_and_no_pass_over_everything_holds_the_lanes(two_models, monkeypatch):
    passes, gone, unload = [], {}, storehouse.unload

    def watched(model):
        parts = {name: weakref.ref(part) for name, part in model.components.items() if isinstance(part, Module)}
        unload(model)
        gone.update({name: part() is None for name, part in parts.items()})

    monkeypatch.setattr(loader, "collect_all", lambda: passes.append(True))
    monkeypatch.setattr(storehouse, "unload", watched)
    two_models.draw(ask(model="one", steps=1), previews=True)
    two_models.draw(ask(model="two", steps=1))
    assert gone == {"unet": True, "text_encoder": True, "vae": True}
    assert passes == []


def test_a_load_is_announced_and_happens_once_for_all_lanes(two_models):
    two_models.engine.storehouse.empty()
    two_models.events.clear()
    in_threads([lambda s=seed: two_models.draw(ask(seed=s, steps=1, model="one")) for seed in range(3)])
    loads = [event for event in two_models.events if isinstance(event, StageStarted) and event.stage == "load"]
    assert len(loads) == 1


def test_a_vae_by_request_changes_its_own_job_only(two_models):
    own = ask(model="one")
    other = replace(own, model=ModelParams("one", "other"))
    alone = [pixels(two_models.draw(request).pictures[0]) for request in (own, other)]
    assert (alone[0] != alone[1]).any()
    together = in_threads([lambda r=request: two_models.draw(r) for request in (own, other, own, other)])
    for place, result in enumerate(together):
        assert abs(pixels(result.pictures[0]) - alone[place % 2]).max() <= 1
    recipe = together[1].pictures[0].recipe
    assert recipe["vae"]["name"] == "other"
    assert len(recipe["vae"]["sha256"]) == 64
    assert "VAE: other" in together[1].pictures[0].infotext


def test_a_vae_without_a_scale_takes_that_of_each_model_it_draws_for(tmp_path, tiny_sd15_folder):
    """Two models of one family whose latents differ in scale."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "vae").mkdir()
    (tmp_path / "checkpoints" / "tiny-sd15").symlink_to(tiny_sd15_folder)
    rescaled = tmp_path / "checkpoints" / "rescaled"
    shutil.copytree(tiny_sd15_folder, rescaled)
    config = rescaled / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"scaling_factor": 0.7}), "utf-8")
    weights = tiny_sd15_folder / "vae" / "diffusion_pytorch_model.safetensors"
    (tmp_path / "vae" / "bare.safetensors").symlink_to(weights)
    bench = make_engine(tmp_path, tmp_path, sd_checkpoints_limit=2)
    try:
        for name, scale in (("tiny-sd15", 0.18215), ("rescaled", 0.7), ("tiny-sd15", 0.18215)):
            plan = bench.engine.resolve(replace(ask(), model=ModelParams(name, "bare")))
            house = bench.engine.storehouse
            with (
                house.lease(plan.model, plan.family, lambda share, part: None) as model,
                house.lease_vae(plan.vae, model) as vae,
            ):
                assert vae.module.config.scaling_factor == scale
    finally:
        bench.engine.close()


def seam(picture):
    """How much the picture jumps where its edges meet, against how much it does inside."""
    values = picture.astype(float)
    edge = np.abs(values[:, 0] - values[:, -1]).mean() + np.abs(values[0] - values[-1]).mean()
    inside = np.abs(np.diff(values, axis=1)).mean() + np.abs(np.diff(values, axis=0)).mean()
    return edge / inside


def test_the_edges_of_a_tile_meet_better(two_models):
    def mean_seam(tiling):
        request = ask(model="one", batch=4, canvas=CanvasParams(64, 64, 4, tiling=tiling))
        return np.mean([seam(pixels(picture)) for picture in two_models.draw(request).pictures])

    assert mean_seam(True) < mean_seam(False)


def test_padding_is_put_back_also_when_the_block_fails():
    layers = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Conv2d(1, 1, 1))
    image = torch.randn(1, 1, 8, 8)
    before = layers(image)
    patch = CircularPadding()
    with patch.applied(layers):
        rolled = layers(image.roll(3, dims=3)).roll(-3, dims=3)
        torch.testing.assert_close(rolled, layers(image))
        assert not torch.equal(before, layers(image))
    with pytest.raises(ValueError, match="stop"), patch.applied(layers):
        raise ValueError("stop")
    assert torch.equal(layers(image), before)
    assert [layer.padding_mode for layer in layers] == ["zeros", "zeros"]


def test_the_very_first_picture_of_a_model_knows_its_hash(tmp_path, tiny_sd15_folder):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "tiny-sd15").symlink_to(tiny_sd15_folder)
    bench = make_engine(tmp_path, tmp_path)
    try:
        assert bench.engine.resolve(ask()).model.sha256 is None
        result = bench.draw(ask(steps=1))
    finally:
        bench.engine.close()
    digest = result.pictures[0].recipe["model"]["sha256"]
    assert len(digest) == 64
    assert f"Model hash: {digest[:10]}" in result.pictures[0].infotext
    assert result.resolved["model_hash"] == digest[:10]
