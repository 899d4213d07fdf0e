"""ControlNets, further rows of guidance, a second sampler and joined prompts in one request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.contracts.attention import AttentionParams
from modules.contracts.control import BALANCED, CONTROL, ControlParams, ControlUnit
from modules.contracts.features import FeatureParams
from modules.contracts.handover import HandoverParams
from modules.processing_diffusers.branches import Branch
from modules.processing_diffusers.inside.rows import NO_CHANGE
from modules.processing_diffusers.stages import denoise
from tests.factories import controls
from tests.processing_diffusers.conftest import CLOSE, ask, encode, held_back, in_threads, make_engine, pixels, speckled

SIZE = 128


@pytest.fixture(scope="module")
def studio(tmp_path_factory, tiny_sd15_folder):
    """An engine with one ControlNet."""
    models = tmp_path_factory.mktemp("steered-models")
    for kind in ("checkpoints", "controlnet"):
        (models / kind).mkdir()
    (models / "checkpoints" / "tiny-sd15").symlink_to(tiny_sd15_folder)
    controls.build_control(tiny_sd15_folder, seed=1).save_pretrained(models / "controlnet" / "tiny-control")
    bench = make_engine(tmp_path_factory.mktemp("steered-engine"), models)
    yield bench
    bench.engine.close()


def steered(seed=1, mode=CONTROL, **groups):
    unit = ControlUnit(enabled=True, model="tiny-control", image=encode(speckled(SIZE, SIZE)), control_mode=mode)
    return ask(seed=seed, size=SIZE, control=ControlParams((unit,)), **groups)


def sampled(**changes):
    return replace(ask().sampling, **changes)


@pytest.mark.parametrize("mode", [BALANCED, CONTROL])
@pytest.mark.parametrize("sparing", [False, True])
def test_a_branch_that_sees_as_much_changes_nothing_so_it_is_steered_too(studio, exact, monkeypatch, mode, sparing):
    """What leads away is the difference of two answers; it is none only if both got the same from the ControlNet."""
    wishes = {"sampling": sampled(s_min_uncond=1000.0)} if sparing else {}
    plain = exact(studio.draw(steered(mode=mode, **wishes)))
    unsteered = exact(studio.draw(ask(size=SIZE, seed=1, **wishes)))
    monkeypatch.setattr(denoise, "branches_of", lambda job, *, plus: (Branch(1, NO_CHANGE, 3.0),))
    torch.testing.assert_close(exact(studio.draw(steered(mode=mode, **wishes))), plain, rtol=0, atol=CLOSE)
    assert float((plain - unsteered).abs().max()) > 100 * CLOSE


def test_all_of_it_in_company_is_what_it_is_alone(studio):
    requests = [
        steered(seed=3, attention=AttentionParams(pag_scale=2.0, pag_layers="mid")),
        steered(seed=4, features=FeatureParams(freeu_b1=1.3, freeu_s1=0.8), mode=BALANCED),
        steered(seed=5, handover=HandoverParams(sampler="DDIM", steps=3), prompt=replace(ask().prompt, text="a AND b")),
        ask(size=SIZE, seed=6),
    ]
    alone = [pixels(studio.draw(request).pictures[0]) for request in requests]
    with held_back(studio.engine.multiplexer, {"unet"}, 2):
        together = in_threads([lambda r=request: studio.draw(r) for request in requests])
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - pixels(other.pictures[0])).max() <= 1


def test_guidance_that_skips_the_negative_prompt_is_steered_too(studio, exact):
    spared = sampled(s_min_uncond=100.0, s_min_uncond_all=True)
    one, other = (exact(studio.draw(steered(sampling=how))) for how in (spared, sampled(cfg_scale=1.0)))
    torch.testing.assert_close(one, other, rtol=0, atol=CLOSE)


def test_joined_prompts_are_steered_row_by_row(studio, exact):
    joined = replace(ask().prompt, text="a red circle AND a blue square")
    one = exact(studio.draw(ask(size=SIZE, seed=1, prompt=joined)))
    assert float((exact(studio.draw(steered(mode=BALANCED, prompt=joined))) - one).abs().max()) > 1e-4
