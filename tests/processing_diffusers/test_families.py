"""Every family is found in its folder, and draws what its row claims. A new family adds a row to the factories only."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image, ImageDraw

from modules.contracts.detailer import DetailerParams, RegionParams
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.request import (
    CanvasParams,
    FilmParams,
    HiresParams,
    ImageParams,
    InpaintParams,
    PromptParams,
)
from modules.contracts.tiles import EVEN, TileParams
from modules.processing_diffusers.stages import denoise
from modules.sd_models.families import load_families
from modules.support.paths import ROOT
from tests.factories.families import BUILDERS
from tests.processing_diffusers.conftest import (
    CLOSE,
    ask,
    encode,
    held_back,
    in_threads,
    make_engine,
    pixels,
    speckled,
)

DENOISERS = {"unet", "transformer", "prior"}
FAMILIES = {family.id: family for family in load_families(ROOT / "configs" / "families.json")}
TESTED_BY = {
    "txt2img": "test_families.py",
    "img2img": "test_families.py",
    "inpaint": "test_families.py",
    "hires": "test_families.py",
    "refine": "test_families.py",
    "negative_prompt": "test_families.py",
    "embedded_guidance": "test_families.py",
    "edit": "test_editing.py",
    "instruct": "test_editing.py",
    "clip_skip": "test_prompts.py",
    "cfg_rescale": "test_guidance.py",
    "tiling": "test_txt2img.py",
    "perturbed_attention": "test_branches.py",
    "skip_layers": "test_branches.py",
    "freeu": "test_inside.py",
    "fewer_tokens": "test_thinning.py",
    "deep_cache": "test_step_cache.py",
    "deep_shrink": "test_deep_shrink.py",
    "first_block_cache": "test_step_cache.py",
    "taylor_seer": "test_step_cache.py",
    "control": "test_control.py",
    "references": "test_references.py",
    "video": "test_films.py",
    "first_frame": "test_first_frames.py",
    "decoder_steps": "test_cascade.py",
    "areas": "test_families.py",
    "optional_t5": "../sd_models/test_loader.py",
}
"""Which file holds each word of a row to what it says."""
ALIKE = frozenset({"sd2-inpaint", "sdxl-inpaint", "sdxl-refiner", "flux-schnell", "qwen-image-edit-plus"})
"""Families that are drawn in the same way as others of the table, so that one test of theirs is enough."""
SINGULAR = [name for name in FAMILIES if name not in ALIKE]


def able(*words):
    """Families that can do all of that, one of each kind."""
    return [name for name in SINGULAR if FAMILIES[name].capabilities.issuperset(words)]


@pytest.fixture(scope="module")
def every_family(tmp_path_factory, request):
    """An engine with a tiny random model of every family that is tried in this run, named as the family is."""
    models = tmp_path_factory.mktemp("kinds")
    tried = (getattr(item, "callspec", None) for item in request.session.items)
    for name in sorted(
        {"flux", *(one.params["family"] for one in tried if one and one.params.get("family") in BUILDERS)}
    ):
        BUILDERS[name](models / "checkpoints" / name)
    bench = make_engine(tmp_path_factory.mktemp("kinds-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def bench(every_family):
    every_family.events.clear()
    return every_family


def request_for(family, **changes):
    """A request for the family's own sampler, with a picture for those that want one."""
    changes.setdefault("sampler", None)
    changes.setdefault("steps", 2)
    if "video" in FAMILIES[family].capabilities:
        changes.setdefault("film", FilmParams(frames=5))
    if "txt2img" not in FAMILIES[family].capabilities:
        changes.setdefault("image", ImageParams((encode(given()),), 0.9))
    return ask(model=family, **changes)


def given():
    return speckled().resize((8, 8)).resize((64, 64))


def disc(size=64):
    """A mask with a disc in the middle."""
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).ellipse((16, 16, size - 16, size - 16), fill=255)
    return mask


def test_every_family_of_the_table_has_a_model_here():
    assert set(BUILDERS) == set(FAMILIES)


def test_every_word_of_a_row_is_held_to_what_it_says():
    said = set().union(*(family.capabilities for family in FAMILIES.values()))
    assert said == set(TESTED_BY)
    here = Path(__file__).parent
    for word, name in TESTED_BY.items():
        assert (here / name).is_file(), word


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_found_by_its_weights(bench, family):
    entry = bench.engine._catalog.find_model(family)
    assert (entry.name, entry.family, entry.problem) == (family, family, None)


@pytest.mark.parametrize("family", able("txt2img"))
def test_a_picture_from_words_has_its_own_seed(bench, family):
    batch = bench.draw(request_for(family, batch=2, seed=4)).pictures
    alone = bench.draw(request_for(family, seed=5)).pictures[0]
    assert batch[0].image.size == (64, 64)
    assert abs(pixels(batch[1]) - pixels(alone)).max() <= 1
    assert (pixels(batch[0]) != pixels(batch[1])).any()


TOLD = {
    "flux-kontext": {"_auto_resize": False, "max_area": 64 * 64},
    "flux-fill": {"image": Image.new("RGB", (64, 64)), "mask_image": Image.new("L", (64, 64), 255)},
    "flux2": {"prompt": None, "prompt_embeds": torch.zeros(1, 4, 8)},
    "flux2-klein": {"prompt": None, "prompt_embeds": torch.zeros(1, 4, 8), "guidance_scale": 1.0},
    "sana": {"use_resolution_binning": False},
    "z-image": {"prompt": None, "prompt_embeds": [torch.zeros(4, 8)], "guidance_scale": 0.0},
}
"""What the libraries' pipelines have to be told besides: to draw that size, or instead of reading a prompt, which tiny
tokenizers do not know how to put into a conversation."""


class Laid(Exception):
    """Thrown by a pipeline's scheduler as soon as its levels stand."""


# What Sana's scheduler does with numpy.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("family", [name for name in able("txt2img") if FAMILIES[name].prediction == "flow"])
def test_steps_stand_where_the_familys_own_pipeline_puts_them(bench, family, monkeypatch):
    """The library's pipeline with the scheduler that its files name, asked for the same picture."""
    ours, theirs = [], []
    lay = denoise._lay_schedule
    monkeypatch.setattr(denoise, "_lay_schedule", lambda *given: ours.append(lay(*given)) or ours[-1])
    bench.draw(request_for(family, steps=4))

    pipeline = DiffusionPipeline.from_pretrained(bench.engine._catalog.find_model(family).path)
    pipeline.set_progress_bar_config(disable=True)
    set_timesteps = pipeline.scheduler.set_timesteps

    def caught(*given, **named):
        set_timesteps(*given, **named)
        theirs.extend(float(level) for level in pipeline.scheduler.sigmas)
        raise Laid

    monkeypatch.setattr(pipeline.scheduler, "set_timesteps", functools.wraps(set_timesteps)(caught))
    wanted = {"prompt": "a dot", "width": 64, "height": 64, "num_inference_steps": 4}
    if "video" in FAMILIES[family].capabilities:
        wanted["num_frames"] = 5
    with pytest.raises(Laid):
        pipeline(**wanted | TOLD.get(family, {}))
    # Schedulers of other kinds of models begin a thousandth below pure noise.
    assert ours[0].levels == pytest.approx(theirs, abs=1e-5 if theirs[0] == 1 else 1.1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_mode_of_a_row_draws(bench, family):
    """Whatever begins with a picture or goes through two passes, at once and in the same merged calls."""
    can, whole = FAMILIES[family].capabilities, speckled()
    inpaint = InpaintParams(encode(disc()), blur=2, only_masked=False)
    wishes = {
        "txt2img": {},
        "img2img": {"image": ImageParams((encode(given()),), 0.9)},
        "inpaint": {"image": ImageParams((encode(whole),), 0.8), "inpaint": inpaint},
        "hires": {"hires": HiresParams(True, 1.5, "Latent", 2, denoising_strength=0.6)},
    }
    asked = {mode: request_for(family, **wish) for mode, wish in wishes.items() if mode in can}
    results = in_threads([lambda r=request: bench.draw(r) for request in asked.values()])
    drawn = {mode: result.pictures[0] for mode, result in zip(asked, results, strict=True)}
    for mode, picture in drawn.items():
        assert picture.image.size == ((96, 96) if mode == "hires" else (64, 64))
        assert pixels(picture).std() > 0
    if "inpaint" in can:
        changed = (pixels(drawn["inpaint"]) != pixels(whole)).any(axis=2)
        assert changed[24:40, 24:40].mean() > 0.9
        assert not changed[:8].any()
        assert not changed[:, :8].any()


@pytest.mark.parametrize("family", SINGULAR)
def test_concurrent_jobs_are_merged_and_equal_those_alone(bench, family, exact):
    texts = ("a dot", "the cat, a green square on a white background", "two dogs")
    requests = [request_for(family, text=text, seed=seed, steps=1 + seed) for seed, text in enumerate(texts)]
    alone = [exact(bench.draw(request)) for request in requests]
    figures = bench.engine.multiplexer.figures
    figures.reset()
    with held_back(bench.engine.multiplexer, DENOISERS, len(requests)):
        together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)
    (merged,) = (row for name, row in figures.report()["targets"].items() if name in DENOISERS)
    assert merged["calls"] - merged["forwards"] >= len(requests) - 1


@pytest.mark.parametrize("family", able("negative_prompt"))
def test_prompts_have_areas_where_the_row_says_so_and_are_refused_before_the_start_elsewhere(bench, family, exact):
    """Two prompts that are one and the same for the left and the right are that prompt; others are not."""

    def ask_for(text, areas=""):
        return request_for(family, steps=1, cfg=3.0, prompt=PromptParams(text, "blurry", areas=areas))

    if "areas" not in FAMILIES[family].capabilities:
        with pytest.raises(UnsupportedFeature, match="cannot give areas"):
            bench.engine.resolve(ask_for("a dot AND two cats", "columns 1:1"))
        return
    plain, same = exact(bench.draw(ask_for("a dot"))), exact(bench.draw(ask_for("a dot AND a dot", "columns 1:1")))
    torch.testing.assert_close(same, plain, rtol=0, atol=CLOSE)
    assert float((exact(bench.draw(ask_for("a dot AND two cats", "columns 1:1"))) - plain).abs().max()) > CLOSE / 5


@pytest.mark.parametrize("family", able("img2img"))
def test_image_to_image_stays_nearer_with_less_strength(bench, family):
    drawn = [
        pixels(bench.draw(request_for(family, steps=6, image=ImageParams((encode(given()),), strength))).pictures[0])
        for strength in (0.0, 0.15, 0.9)
    ]
    near, far = (abs(picture - drawn[0]).mean() for picture in drawn[1:])
    assert 0 < near < far


@pytest.mark.parametrize("family", able("negative_prompt"))
def test_a_negative_prompt_counts(bench, family):
    prompts = (PromptParams("a red circle", text) for text in ("a blue dog", "the cat"))
    first, second = (bench.draw(request_for(family, prompt=prompt)).pictures[0] for prompt in prompts)
    assert (pixels(first) != pixels(second)).any()


@pytest.mark.parametrize("family", ["sd15", "sd3"])
def test_previews_are_shown_on_the_way(bench, family):
    from modules.contracts.events import Preview

    bench.draw(request_for(family, steps=3), previews=True)
    assert any(isinstance(event, Preview) for event in bench.events)


def test_what_a_family_cannot_do_is_said(bench):
    with pytest.raises(UnsupportedFeature, match="tiles"):
        bench.draw(request_for("flux", canvas=CanvasParams(64, 64, tiling=True)))
    prompt = PromptParams("a dot", "blurry", clip_skip=2)
    image = ImageParams((encode(given()),), 0.5, edit_scale=2.0)
    notes = bench.draw(request_for("flux", prompt=prompt, image=image)).notes
    for words in ("negative prompt", "clip skip", "image CFG scale"):
        assert any(words in note for note in notes)


@pytest.mark.parametrize("family", able("embedded_guidance"))
def test_the_guidance_of_a_distilled_model_is_its_cfg_scale(bench, family):
    low, high = (bench.draw(request_for(family, cfg=cfg)).pictures[0] for cfg in (1.5, 6.0))
    assert (pixels(low) != pixels(high)).any()


@pytest.mark.parametrize("family", [name for name in FAMILIES if "txt2img" not in FAMILIES[name].capabilities])
def test_models_that_want_a_picture_say_so(bench, family):
    """A refiner's size conditioning has a score for beauty, which a good picture gets and the negative side does not;
    an editing model has nothing to edit without."""
    assert bench.draw(request_for(family)).pictures[0].image.size == (64, 64)
    with pytest.raises(UnsupportedFeature, match="from a picture only"):
        bench.draw(request_for(family, image=None))


@pytest.mark.parametrize("family", able("inpaint"))
def test_a_detail_is_drawn_once_more_and_nothing_else_changes(bench, family):
    seed = {"seed": 6, "image": ImageParams((encode(given()),), 0.9)}
    plain = pixels(bench.draw(request_for(family, **seed)).pictures[0])
    detail = {
        "regions": RegionParams(detector="Mask", mask=encode(disc()), dilate=0),
        "detailer": DetailerParams(strength=0.4, blur=0, width=64, height=64),
    }
    detailed = pixels(bench.draw(request_for(family, **seed, **detail)).pictures[0])
    outside = np.asarray(disc()) == 0
    assert np.array_equal(detailed[outside], plain[outside])
    assert not np.array_equal(detailed, plain)


@pytest.mark.parametrize("family", able("txt2img"))
def test_a_canvas_can_be_drawn_by_tiles(bench, family):
    wide = {"seed": 6, "canvas": CanvasParams(128, 64)}
    whole = pixels(bench.draw(request_for(family, **wide)).pictures[0])
    one = pixels(bench.draw(request_for(family, **wide, tiles=TileParams(EVEN, 128, 64))).pictures[0])
    several = pixels(bench.draw(request_for(family, **wide, tiles=TileParams(EVEN, 64, 64, 32))).pictures[0])
    assert np.array_equal(one, whole)
    assert several.shape == whole.shape
    assert not np.array_equal(several, whole)
