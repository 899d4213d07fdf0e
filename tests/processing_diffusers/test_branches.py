"""Guidance by a model that sees less (PAG, SEG, SLG), and FreeU, drawn through the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from modules.contracts.cost import work_of
from modules.contracts.errors import InvalidRequest
from modules.contracts.guidance import GuidanceParams
from modules.contracts.plan import SamplerPlan
from modules.contracts.request import AttentionParams, FeatureParams, HiresParams, PromptParams, SamplingParams
from modules.processing_diffusers.inside.attention import blurred
from modules.sd_samplers.build import build_scheduler
from tests.processing_diffusers.conftest import CLOSE, ask, held_back, in_threads, pixels

FREED = FeatureParams(1.4, 1.6, 0.7, 0.4)


def led(steps=3, features=None, **wishes):
    asked = {name: wishes.pop(name) for name in tuple(wishes) if name.startswith(("pag_", "seg_", "slg_"))}
    return ask(steps=steps, attention=AttentionParams(**asked), features=features or FeatureParams(), **wishes)


def far(one, other):
    return float((one - other).abs().max())


SIDE = 128
"""Pixels of a side; at 64 the innermost block of the tiny model sees one cell, which has nothing to look at."""


def by_hand(folder, kind, call=None, features=None, **made):
    """The picture that a pipeline of diffusers draws, in [0, 1]."""
    import diffusers

    pipeline = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True, dtype=torch.float64, **made)
    plan = SamplerPlan("Euler", "Automatic", 3, None)
    pipeline.scheduler = build_scheduler(plan, pipeline.scheduler.config, flow=kind == "StableDiffusion3Pipeline")
    pipeline.set_progress_bar_config(disable=True)
    if features is not None:
        b1, b2, s1, s2 = features.factors
        pipeline.enable_freeu(s1=s1, s2=s2, b1=b1, b2=b2)
    channels = pipeline.vae.config.latent_channels
    noise = torch.randn(1, channels, SIDE // 8, SIDE // 8, generator=torch.Generator("cpu").manual_seed(1)).double()
    drawn = pipeline(
        "a red circle",
        negative_prompt="blurry",
        width=SIDE,
        height=SIDE,
        num_inference_steps=3,
        guidance_scale=5.0,
        latents=noise,
        output_type="pt",
        **(call or {}),
    )
    return drawn.images[0]


@pytest.mark.parametrize(
    ("layers", "theirs"),
    [("mid", ["mid"]), ("up.block_1", ["up_blocks.1"]), ("down.0, mid", ["down_blocks.0", "mid_block"])],
)
def test_pag_is_what_diffusers_does(bench, exact, tiny_sd15_folder, layers, theirs):
    """By another way there: processors of its own for the whole batch, where here hooks change single rows."""
    call = {"pag_scale": 3.0, "pag_adaptive_scale": 0.002}
    wanted = by_hand(tiny_sd15_folder, "StableDiffusionPAGPipeline", call, pag_applied_layers=theirs)
    ours = exact(bench.draw(led(size=SIDE, pag_scale=3.0, pag_adaptive=0.002, pag_layers=layers)))
    assert far(ours, wanted) < CLOSE
    assert far(ours, exact(bench.draw(ask(size=SIDE)))) > CLOSE


def test_freeu_is_what_diffusers_does(bench, exact, tiny_sd15_folder):
    wanted = by_hand(tiny_sd15_folder, "StableDiffusionPipeline", features=FREED)
    ours = exact(bench.draw(led(size=SIDE, features=FREED)))
    assert far(ours, wanted) < CLOSE
    assert far(ours, exact(bench.draw(ask(size=SIDE)))) > CLOSE
    late = replace(FREED, freeu_start=0.9)  # after the last step has begun
    assert far(exact(bench.draw(led(size=SIDE, features=late))), exact(bench.draw(ask(size=SIDE)))) == 0


def test_slg_is_the_answer_without_the_blocks(all_families, exact, tiny_sd3_folder):
    """Stepwise with diffusers' transformer, which leaves blocks out for a whole call."""
    asked = led(steps=3, model="tiny-sd3", slg_scale=2.0, slg_layers="0", slg_start=0.0, slg_end=1.0, size=SIDE)
    call = {"skip_guidance_layers": [0], "skip_layer_guidance_scale": 2.0}
    call |= {"skip_layer_guidance_start": -0.1, "skip_layer_guidance_stop": 2.0}
    wanted = by_hand(tiny_sd3_folder, "StableDiffusion3Pipeline", call)
    ours = exact(all_families.draw(asked))
    assert far(ours, wanted) < 1e-3
    assert far(ours, exact(all_families.draw(ask(steps=3, model="tiny-sd3", size=SIDE)))) > 5e-3


def test_a_blur_of_queries():
    cells = torch.randn(2, 6 * 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(blurred(cells, 6, 4, 0.1), cells)
    mean = cells.mean(1, keepdim=True).expand_as(cells)
    assert torch.equal(blurred(cells, 6, 4, 10_000.0), mean)
    assert torch.allclose(blurred(cells, 6, 4, 5000.0), mean, atol=1e-6)
    even = torch.full_like(cells, 3.0)
    assert torch.allclose(blurred(even, 6, 4, 1.5), even)
    dot = torch.zeros(1, 7 * 7, 1)
    dot[0, 24] = 1.0
    spot = blurred(dot, 7, 7, 1.0).reshape(7, 7)
    assert float(spot[3, 3] / spot[3, 4]) == pytest.approx(2.718281828**0.5, rel=1e-2)
    assert torch.allclose(spot, spot.T)


def test_rows_are_asked_for_while_they_count(bench, all_families, rows):
    bench.draw(led(steps=2, pag_scale=2.0, seg_scale=1.0))
    assert rows == [4, 4]
    rows.clear()
    bench.draw(led(steps=4, pag_scale=2.0, guidance=GuidanceParams(end=0.5)))
    assert rows == [3, 3, 2, 2]
    rows.clear()
    bench.draw(led(steps=2, pag_scale=2.0, cfg=1.0, batch=2))
    assert rows == [4, 4]
    rows.clear()
    bench.draw(led(steps=2, pag_scale=2.0, pag_adaptive=1.0))
    assert rows == [3, 2]  # the first time step is 999
    rows.clear()
    all_families.draw(led(steps=4, model="tiny-sd3", slg_scale=2.0, slg_layers="0", slg_start=0.25, slg_end=0.5))
    assert rows == [2, 3, 2, 2]


def test_each_wish_draws_another_picture(bench, exact):
    plain = exact(bench.draw(ask(size=SIDE)))
    for wishes in (
        {"pag_scale": 2.0},
        {"pag_scale": 2.0, "pag_layers": "up"},
        {"seg_scale": 2.0, "seg_layers": "down"},
        {"seg_scale": 2.0, "seg_layers": "down", "seg_blur": 1.0},
        {"pag_scale": 2.0, "cfg": 1.0},
        {"features": FREED},
        {"features": replace(FREED, freeu_end=0.3)},
        {"pag_scale": 2.0, "guidance": GuidanceParams(apg=True, perp_neg=1.0)},
        {"pag_scale": 2.0, "prompt": PromptParams("a red circle AND a blue square :0.5", "blurry")},
    ):
        found = exact(bench.draw(led(size=SIDE, **wishes)))
        assert far(found, plain) > CLOSE, wishes
        plain = found


def test_jobs_with_and_without_are_those_drawn_alone_though_they_share_calls(bench):
    requests = [
        led(size=SIDE, seed=5, batch=2, pag_scale=3.0, pag_layers="mid, up"),
        ask(size=SIDE, seed=6),
        led(size=SIDE, seed=7, seg_scale=3.0, seg_layers="down", features=FREED),
        led(size=SIDE, seed=8, features=replace(FREED, freeu_b1=0.8)),
    ]
    alone = [bench.draw(request) for request in requests]
    with held_back(bench.engine.multiplexer, {"unet"}, 4):
        together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for one, other in zip(alone, together, strict=True):
        for picture, beside in zip(one.pictures, other.pictures, strict=True):
            assert abs(pixels(picture) - pixels(beside)).max() <= 1


def test_unknown_layers_say_what_there_is(bench, all_families):
    with pytest.raises(InvalidRequest, match=r"PAG layers names 'side'.*mid_block"):
        bench.draw(led(pag_scale=1.0, pag_layers="side"))
    with pytest.raises(InvalidRequest, match="SLG layers names '99'"):
        all_families.draw(led(model="tiny-sd3", slg_scale=1.0, slg_layers="99"))


def test_models_that_cannot_say_so(bench, all_families, exact):
    for wishes, model, word in (
        ({"slg_scale": 2.0}, None, "skip-layer"),
        ({"pag_scale": 2.0}, "tiny-sd3", "PAG"),
        ({"features": FREED}, "tiny-flux", "FreeU"),
    ):
        room = bench if model is None else all_families
        result = room.draw(led(model=model, **wishes))
        assert any(word in note for note in result.notes)
        assert far(exact(result), exact(room.draw(ask(model=model)))) == 0
    plus = bench.draw(led(sampler="DDIM CFG++", pag_scale=2.0))
    assert any("CFG++" in note for note in plus.notes)


def test_it_goes_with_the_second_pass_and_other_families(bench, all_families, rows):
    bench.draw(led(steps=2, pag_scale=2.0, hires=HiresParams(True, 2.0, steps=2, denoising_strength=1.0)))
    assert rows == [3, 3, 3, 3]
    for family in ("sdxl", "sd2", "sd15-inpaint"):
        rows.clear()
        all_families.draw(led(steps=2, model=f"tiny-{family}", pag_scale=2.0, seg_scale=2.0, features=FREED))
        assert rows == [4, 4]
    rows.clear()
    wishes = {"slg_scale": 2.0, "slg_layers": "0", "slg_start": 0.0, "slg_end": 1.0}
    all_families.draw(led(steps=2, model="tiny-flux", **wishes))
    assert rows == [2, 2]


def test_the_cost_counts_rows():
    plain = ask(steps=10)
    for wishes, factor in (
        ({"pag_scale": 1.0}, 1.5),
        ({"pag_scale": 1.0, "seg_scale": 1.0}, 2.0),
        ({"slg_scale": 1.0, "slg_start": 0.0, "slg_end": 0.5}, 1.25),
        ({"guidance": GuidanceParams(perp_neg=1.0)}, 1.5),
        ({"guidance": GuidanceParams(perp_neg=1.0), "prompt": PromptParams("a red circle", " ")}, 1.0),
        ({"guidance": GuidanceParams(apg=True)}, 1.0),
        ({"guidance": GuidanceParams(end=0.5)}, 0.75),
        ({"prompt": PromptParams("one AND two", "blurry"), "pag_scale": 1.0}, 2.5),
    ):
        assert work_of(led(steps=10, **wishes)) == pytest.approx(work_of(plain) * factor), wishes


def test_infotext_says_it(bench):
    told = bench.draw(led(pag_scale=2.5, pag_layers="mid, up.1", features=FREED)).pictures[0].infotext
    assert 'PAG scale: 2.5, PAG layers: "mid, up.1"' in told
    assert "FreeU b1: 1.4, FreeU b2: 1.6, FreeU s1: 0.7, FreeU s2: 0.4" in told
    assert "PAG" not in bench.draw(replace(led(), sampling=SamplingParams(1))).pictures[0].infotext
