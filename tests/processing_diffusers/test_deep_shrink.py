"""Deep shrink: what the deeper levels see and when, what it leaves alone, and that large pictures show one thing."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.contracts.cache import DEEP
from modules.contracts.errors import InvalidRequest
from modules.contracts.features import FeatureParams, Shrink
from modules.contracts.infotext import parse, to_request
from modules.contracts.request import (
    CacheParams,
    CanvasParams,
    GenerationRequest,
    HiresParams,
    ImageParams,
    SamplingParams,
    TileParams,
)
from modules.pocket.evaluation.judge import judge
from modules.pocket.evaluation.questions import ask_grounds
from modules.processing_diffusers.inside.deep_shrink import DeepShrink, resized
from tests.factories.pocket import make_pocket_engine
from tests.processing_diffusers.conftest import ask, draw_together, encode, speckled

SIDE = 128


@pytest.fixture(scope="module")
def unet(tiny_sd15_folder):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(tiny_sd15_folder / "unet").double().eval()


def noise(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def speak(unet, cells, **named):
    with torch.no_grad():
        words = noise(len(cells), 7, unet.config.cross_attention_dim)
        return unet(cells, timestep=500.0, encoder_hidden_states=words, return_dict=False, **named)[0]


@contextlib.contextmanager
def watched(module):
    """Sizes of what comes into a module."""
    seen = []
    handle = module.register_forward_hook(lambda part, given, output: seen.append(tuple(output.shape[-2:])))
    yield seen
    handle.remove()


def shrunk(unet, factor=2.0, level=1):
    return DeepShrink(Shrink(factor, level), lambda: True).applied(unet)


@pytest.mark.parametrize(("size", "factor"), [((16, 16), 2.0), ((24, 32), 1.5), ((20, 12), 3.0)])
@pytest.mark.parametrize("level", [0, 1, 3])
def test_deeper_levels_see_less_and_the_answer_has_its_size(unet, size, factor, level):
    cells, last = noise(2, 4, *size), len(unet.down_blocks) - 1
    with watched(unet.mid_block) as seen, watched(unet.down_blocks[0].resnets[0]) as first:
        plain = speak(unet, cells)
        with shrunk(unet, factor, level):
            found = speak(unet, cells)
    assert found.shape == plain.shape
    assert float((found - plain).abs().max()) > 1e-6
    assert seen[1][0] < seen[0][0]
    whole, less = first
    assert whole == size
    assert less == (tuple(round(side / factor) for side in size) if min(level, last) == 0 else size)


def test_each_row_is_scaled_by_itself(unet):
    cells = noise(3, 4, 16, 16)
    with shrunk(unet):
        together, alone = speak(unet, cells), speak(unet, cells[:1])
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-9)


def added(unet, side=16):
    """What a ControlNet and what an adapter add to a call for `side` × `side` cells, made by their own shapes."""
    shapes = []

    def note(block, given, named):
        shapes[:0] = [tuple(one.shape[1:]) for one in named["res_hidden_states_tuple"]]

    handles = [block.register_forward_pre_hook(note, with_kwargs=True) for block in unet.up_blocks]
    with watched(unet.mid_block) as middle:
        speak(unet, noise(1, 4, side, side))
    for handle in handles:
        handle.remove()
    control = {
        "down_block_additional_residuals": [noise(1, *shape, seed=n) for n, shape in enumerate(shapes)],
        "mid_block_additional_residual": noise(1, unet.config.block_out_channels[-1], *middle[0], seed=99),
    }
    inside, place = [], 1
    for block in unet.down_blocks:
        count = len(block.resnets) + len(block.downsamplers or ())
        looks = getattr(block, "has_cross_attention", False)
        inside.append(shapes[place + (len(block.resnets) if looks else count) - 1])
        place += count
    return control, lambda: {
        "down_intrablock_additional_residuals": [noise(1, *shape, seed=7 + n) for n, shape in enumerate(inside)]
    }


def test_what_controls_add_is_added_where_it_was_and_fits_what_is_smaller(unet):
    cells = noise(1, 4, 16, 16)
    control, adapter = added(unet)
    for more in (lambda: control, adapter, lambda: {**control, **adapter()}):
        plain = speak(unet, cells, **more())
        with shrunk(unet, 1.0):  # everything goes its other way, and nothing changes its size
            torch.testing.assert_close(speak(unet, cells, **more()), plain, rtol=0, atol=1e-12)
        with shrunk(unet, 2.0):
            smaller = speak(unet, cells, **more())
            assert float((smaller - speak(unet, cells)).abs().max()) > 1e-3


def test_features_keep_their_mean_and_their_size():
    features = torch.full((1, 2, 9, 7), 3.0)
    assert resized(features, (9, 7)) is features
    torch.testing.assert_close(resized(features, (4, 3)), torch.full((1, 2, 4, 3), 3.0))
    assert resized(features.bfloat16(), (18, 14)).dtype == torch.bfloat16


def wish(factor=2.0, **values):
    return FeatureParams(shrink=factor, **{"shrink_level": 1, "shrink_end": 0.5, **values})


@pytest.fixture
def middle(bench):
    """Heights of what went through the middle of the engine's UNet."""
    engine = bench.engine
    entry = engine._catalog.find_model(None)
    with (
        engine.storehouse.lease(entry, engine._catalog.family(entry.family), lambda share, part: None) as model,
        watched(model.loaded.components["unet"].mid_block) as seen,
    ):
        yield lambda: [height for height, _ in seen]


def test_it_acts_in_the_first_part_of_the_schedule_alone(bench, middle):
    bench.draw(ask(size=SIDE, steps=4, features=wish()))
    heights = middle()
    assert len(heights) == 4
    assert heights[0] == heights[1] < heights[2] == heights[3]
    # What begins late in a schedule begins beyond the end, or nearer to it.
    for strength, steps in ((0.25, 0), (0.75, 3)):
        begun, source = len(middle()), ImageParams((encode(speckled(SIDE, SIDE)),), strength)
        request = ask(size=SIDE, steps=8, features=wish(), image=source)
        bench.draw(request)
        whole = bench.engine.resolve(request).first.steps
        assert middle()[begun:] == [heights[0]] * steps + [heights[2]] * (whole - steps)


def test_the_second_pass_sees_all(bench, middle):
    for features in (FeatureParams(), wish(shrink_end=1.0)):
        bench.draw(ask(size=SIDE, steps=1, features=features, hires=HiresParams(True, 1.5, steps=1)))
    whole, after, less, again = middle()
    assert less < whole
    assert again == after


def test_jobs_with_and_without_are_those_drawn_alone(bench, exact):
    wishes = [FeatureParams(), wish(), wish(1.5), wish(), wish(shrink_level=0, shrink_end=1.0)]
    draw_together(bench, exact, [ask(size=SIDE, seed=7, features=one) for one in wishes])


def test_a_cache_over_steps_begins_anew_where_all_is_seen_again(bench, exact):
    base = ask(size=SIDE, steps=6, features=wish())
    cached = replace(base, cache=CacheParams(DEEP, interval=3, start=0.0))
    assert 1e-6 < float((exact(bench.draw(cached)) - exact(bench.draw(base))).abs().max()) < 0.5


def test_infotext_tells_what_was_used_and_asks_for_the_same(bench):
    picture = bench.draw(ask(size=SIDE, features=wish(1.5))).pictures[0]
    said = parse(picture.infotext)
    assert (said["Deep shrink"], said["Deep shrink level"], said["Deep shrink end"]) == ("1.5", "1", "0.5")
    again, unknown = to_request(said, GenerationRequest())
    assert again.features == wish(1.5)
    assert unknown == ()
    assert picture.recipe["first"]["shrink"] == {"factor": 1.5, "level": 1, "end": 0.5}
    assert "Deep shrink" not in bench.draw(ask()).pictures[0].infotext
    late = ask(size=SIDE, steps=8, features=wish(1.5), image=ImageParams((encode(speckled(SIDE, SIDE)),), 0.25))
    result = bench.draw(late)
    assert "Deep shrink" not in result.pictures[0].infotext
    assert "shrink" not in result.pictures[0].recipe["first"]
    assert any("before this pass begins" in note for note in result.notes)


def test_other_families(all_families):
    model = {"size": SIDE, "steps": 2, "features": wish()}
    plain = np.asarray(all_families.draw(ask(model="tiny-sdxl", size=SIDE, steps=2)).pictures[0].image, np.int16)
    found = all_families.draw(ask(model="tiny-sdxl", **model))
    assert found.notes == ()
    assert abs(np.asarray(found.pictures[0].image, np.int16) - plain).max() > 0
    other = all_families.draw(ask(model="tiny-sd3", **model))
    assert any("deep shrink" in note for note in other.notes)
    assert "Deep shrink" not in other.pictures[0].infotext


@pytest.mark.parametrize("values", [{"factor": 0.5}, {"factor": 9}, {"shrink_level": 4}, {"shrink_end": 1.5}])
def test_bounds(bench, values):
    with pytest.raises(InvalidRequest):
        bench.engine.resolve(ask(features=wish(**values)))


@pytest.fixture(scope="module")
def pocket(tmp_path_factory):
    """The engine over the model that ships, whose defaults have it."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket-shrink"))
    yield made
    made.close()


def test_the_models_own_defaults_have_it_above_the_native_size(pocket):
    def first(size, **groups):
        return pocket.resolve(ask(canvas=CanvasParams(*size), **groups)).shrink

    assert first((256, 256)) is first((320, 320)) is None
    assert first((512, 512)) == Shrink(2.0, 1, 0.85)
    assert first((384, 384)) == Shrink(1.5, 1, 0.85)
    assert first((512, 256)) == Shrink(1.41, 1, 0.85)
    assert first((512, 512), features=FeatureParams(shrink=1.0)) is None
    assert first((512, 512), features=FeatureParams(shrink_end=0.4)) == Shrink(2.0, 1, 0.4)
    assert first((512, 512), image=ImageParams((encode(speckled(512, 512)),))) is None
    assert first((512, 512), tiles=TileParams("MultiDiffusion")) is None
    asked = ask(size=512, tiles=TileParams("MultiDiffusion"), features=wish())
    assert any("deep shrink" in note for note in pocket.resolve(asked).notes)


def test_large_pictures_show_the_one_thing_that_was_asked_for(pocket):
    from modules.contracts.run import RunContext

    def draw(asked, seed, **groups):
        sampling = SamplingParams(10, "Euler a", cfg_scale=4.0)
        request = ask(asked.prompt, seed=seed, size=512, sampling=sampling, **groups)
        picture = pocket.generate(request, RunContext("job", lambda event: None)).pictures[0]
        return picture.infotext, judge(np.asarray(picture.image.convert("RGB")))

    seen = []
    for seed, asked in enumerate(ask_grounds(2), 1000):
        infotext, found = draw(asked, seed)
        assert "Deep shrink: 2, Deep shrink level: 1, Deep shrink end: 0.85" in infotext
        assert (found.colour, found.ground) == (asked.colour, asked.ground)
        seen.append(found.count)
    assert seen == [1, 1]
    infotext, without = draw(ask_grounds(1)[0], 1000, features=FeatureParams(shrink=1.0))
    assert without.count > 1
    assert "Deep shrink: 1, " in infotext
