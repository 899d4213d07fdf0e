"""Caches over steps: what they leave out, what they leave alone, and that nobody else notices."""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.contracts.attention import AttentionParams
from modules.contracts.cache import ABILITIES, AUTOMATIC, DEEP, FIRST_BLOCK, FORECAST, NO_CACHE
from modules.contracts.errors import InvalidRequest
from modules.contracts.features import FeatureParams
from modules.contracts.infotext import parse, to_request
from modules.contracts.request import CacheParams, GenerationRequest, ImageParams, SamplingParams
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.block_cache import FirstBlock, TaylorSeer, find_blocks
from modules.processing_diffusers.inside.deep_cache import DeepCache, find_skipped
from modules.processing_diffusers.inside.step_cache import StepCache
from modules.processing_diffusers.networks_part import Clock
from modules.sd_models.families import load_families
from modules.support.paths import ROOT
from tests.factories.families import BUILDERS
from tests.processing_diffusers.conftest import CLOSE, apart, ask, encode, in_threads, make_engine, speckled

FAMILIES = {family.id: family for family in load_families(ROOT / "configs" / "families.json")}
UNETS = ("sd15", "sdxl", "kolors")
ALIKE = frozenset({"flux-schnell", "qwen-image-edit-plus"})
TRANSFORMERS = tuple(
    sorted(name for name, row in FAMILIES.items() if "taylor_seer" in row.capabilities and name not in ALIKE)
)
SEEN = 1e-6


def cached(method, **values):
    """A cache that acts from the first step on."""
    return CacheParams(method, **{"start": 0.0, **values})


def wish(model, method=None, *, steps=4, **groups):
    """A request of some steps, with that cache or none."""
    cache = CacheParams() if method is None else method
    if "txt2img" not in FAMILIES[model].capabilities:
        groups.setdefault("image", ImageParams((encode(speckled()),), 0.9))
    return ask(model=model, sampler=None, steps=steps, cache=cache, **groups)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """An engine with a tiny random model of each kind, named as its family is."""
    models = tmp_path_factory.mktemp("cache-models")
    for name in (*UNETS, *TRANSFORMERS):
        BUILDERS[name](models / "checkpoints" / name)
    bench = make_engine(tmp_path_factory.mktemp("cache-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


@pytest.fixture
def blocks(monkeypatch):
    """How many forwards of blocks were computed, by their class, since it was cleared."""
    from diffusers.models.attention import BasicTransformerBlock, JointTransformerBlock
    from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock, FluxTransformerBlock

    seen = Counter()
    for kind in (BasicTransformerBlock, JointTransformerBlock, FluxTransformerBlock, FluxSingleTransformerBlock):

        def count(self, *given, kind=kind, plain=kind.forward, **named):
            seen[kind.__name__] += 1
            return plain(self, *given, **named)

        count.__signature__ = inspect.signature(kind.forward)
        monkeypatch.setattr(kind, "forward", count)
    return seen


def test_each_family_can_have_the_cache_for_its_kind_or_none():
    held = [family for family in FAMILIES.values() if set(ABILITIES.values()) & family.capabilities]
    assert {family.id for family in held} >= {"sd15", "sdxl", "sd3", "flux", "chroma", "pixart", "z-image", "lumina2"}
    for family in held:
        unet = family.denoiser == "unet"
        wanted = {ABILITIES[DEEP]} if unet else {ABILITIES[FIRST_BLOCK], ABILITIES[FORECAST]}
        assert set(ABILITIES.values()) & family.capabilities == wanted, family.id
        assert CacheParams(AUTOMATIC).chosen(family.capabilities) == (DEEP if unet else FIRST_BLOCK)


@pytest.mark.parametrize("idle", [
    cached(DEEP, interval=1), cached(FORECAST, interval=1), cached(FIRST_BLOCK, threshold=0.0),
    CacheParams(DEEP, start=0.5, end=0.5), CacheParams(NO_CACHE, interval=9),
])  # fmt: skip
def test_what_takes_nothing_over_is_no_cache(idle):
    assert idle.chosen(ABILITIES.values()) == NO_CACHE


@pytest.mark.parametrize("family", [*UNETS, *TRANSFORMERS])
def test_a_cache_that_never_acts_changes_no_bit_and_one_that_acts_changes_some(draw, family):
    base = draw(wish(family))
    methods = (DEEP,) if family in UNETS else (FIRST_BLOCK, FORECAST)
    for method in methods:
        late = CacheParams(method, start=0.95, threshold=1.0)
        assert torch.equal(draw(wish(family, late)), base), method
        found = draw(wish(family, cached(method, threshold=1.0)))
        assert SEEN < apart(found, base) < 0.5, method
    assert torch.equal(draw(wish(family, cached(methods[0], interval=1, threshold=0.0))), base)


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_rows_decide_for_themselves_so_company_in_a_batch_changes_nothing(draw, studio, exact, family):
    for method in (cached(FIRST_BLOCK, threshold=0.02), cached(FORECAST)):
        pictures = studio.draw(wish(family, method, batch=2)).pictures
        for place, picture in enumerate(pictures):
            alone = draw(wish(family, method, seed=1 + place))
            torch.testing.assert_close(picture.image.exact, alone, rtol=0, atol=CLOSE)


def test_a_unet_computes_its_end_alone_in_the_calls_between(studio, blocks):
    plain = (studio.draw(wish("sd15", steps=6)), dict(blocks))[1]["BasicTransformerBlock"]
    blocks.clear()
    studio.draw(wish("sd15", cached(DEEP, interval=3), steps=6))
    assert blocks["BasicTransformerBlock"] < 0.75 * plain
    blocks.clear()
    studio.draw(wish("sd15", cached(DEEP, interval=3, depth=3), steps=6))
    assert plain / 3 < blocks["BasicTransformerBlock"] < plain


def test_a_transformer_computes_one_block_or_none(studio, blocks):
    studio.draw(wish("sd3", steps=6))
    plain = blocks.pop("JointTransformerBlock")
    studio.draw(wish("sd3", cached(FIRST_BLOCK, threshold=1.0), steps=6))
    asked = blocks.pop("JointTransformerBlock")
    studio.draw(wish("sd3", cached(FORECAST, interval=3), steps=6))
    layers = plain // 6
    assert asked == layers + 5  # one whole call, then the first block alone
    assert blocks["JointTransformerBlock"] == plain // 3


def unet_of(studio, name="sd15"):
    with studio.engine.storehouse.lease(
        studio.engine._catalog.find_model(name), FAMILIES[name], lambda share, part: None
    ) as model:
        return model.loaded.components["unet"]


def cells_of(unet, seed, time=500.0):
    chance = torch.Generator().manual_seed(seed)
    cells = torch.randn(2, 4, 16, 16, generator=chance, dtype=torch.float64)
    words = torch.randn(2, 7, unet.config.cross_attention_dim, generator=chance, dtype=torch.float64)
    return {"sample": cells, "timestep": torch.full((2,), time), "encoder_hidden_states": words, "return_dict": False}


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_is_taken_over_is_what_was_computed(studio, depth):
    unet, method = unet_of(studio), DeepCache(3, depth)
    first, second = cells_of(unet, 1), cells_of(unet, 2, 480.0)
    known = method.begin()
    with torch.no_grad():
        plain = unet(**first)[0]
        with method.standing(unet, known, whole=True):
            assert torch.equal(unet(**first)[0], plain)
        with method.standing(unet, known, whole=False):
            assert torch.equal(unet(**first)[0], plain)
            quick = unet(**second)[0]
        _, kept = find_skipped(unet, depth)
        handle = kept.register_forward_hook(lambda module, given, output: known[max(known)])
        wanted = unet(**second)[0]  # all is computed, and then what lies below is put in its place
        handle.remove()
    torch.testing.assert_close(quick, wanted, rtol=0, atol=1e-12)


def test_a_series_of_that_order_is_exact():
    class Block(torch.nn.Module):
        def forward(self, hidden_states, time):
            return hidden_states * 0 + 3.0 + 2.0 * time + 0.5 * time * time * self.bend

    class Model(torch.nn.Module):
        def __init__(self, bend):
            super().__init__()
            self.layers = torch.nn.ModuleList([Block(), Block()])
            for block in self.layers:
                block.bend = bend

        def forward(self, hidden_states, time):
            for block in self.layers:
                hidden_states = block(hidden_states, time)
            return hidden_states

    model, method = Model(0.0), TaylorSeer(3, 1)
    known, start = method.begin(), torch.zeros(2, 4)
    for time in range(9):
        with method.standing(model, known, whole=time % 3 == 0):
            found = model(start, float(time))
        if time >= 3:
            torch.testing.assert_close(found, torch.full((2, 4), 3.0 + 2.0 * time))
    assert not any("forward" in vars(part) for part in model.modules())


def test_leaving_gives_every_module_its_forward_back_even_after_a_failure(studio):
    unet = unet_of(studio)
    before = {name: vars(part).get("forward") for name, part in unet.named_modules()}
    weights = [tensor.clone() for tensor in unet.state_dict().values()]
    cache = StepCache(ModuleShelf(unet, denoiser=False), cached(DEEP), DeepCache(3), Clock(4))
    with torch.no_grad(), cache.gathered([cache], [2]):
        unet(**cells_of(unet, 1))
    with pytest.raises(RuntimeError, match="broken"), cache.gathered([cache], [2]):
        raise RuntimeError("broken")
    assert {name: vars(part).get("forward") for name, part in unet.named_modules()} == before
    assert all(map(torch.equal, unet.state_dict().values(), weights))


@pytest.mark.parametrize(("family", "method"), [("sd15", DEEP), ("sd3", FIRST_BLOCK), ("sd3", FORECAST)])
def test_a_job_with_a_cache_neither_changes_its_neighbours_nor_is_changed(studio, exact, family, method):
    cache = cached(method, threshold=0.05)
    requests = [
        wish(family, cache),
        wish(family, seed=2),
        wish(family, cache, seed=3),
        wish(family, seed=4),
        wish(family, replace(cache, interval=2), seed=5),
    ]
    alone = [exact(studio.draw(request)) for request in requests]
    together = in_threads([lambda one=request: studio.draw(one) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)


def test_calls_for_other_rows_are_remembered_by_themselves(draw):
    sparing = SamplingParams(steps=6, sampler="Euler", cfg_scale=5.0, s_min_uncond=1e3)
    branches = {"attention": AttentionParams(pag_scale=2.0), "features": FeatureParams(freeu_b1=1.3)}
    for groups in ({"sampling": sparing}, branches):
        base = ask(model="sd15", steps=6, **groups)
        found = draw(replace(base, cache=cached(DEEP)))
        assert SEEN < apart(found, draw(base)) < 0.5


def test_samplers_of_two_calls_a_step_can_have_a_cache(draw):
    base = ask(model="sd15", steps=4, sampler="Heun")
    assert SEEN < apart(draw(replace(base, cache=cached(DEEP, interval=2))), draw(base)) < 0.5


def test_a_model_that_cannot_have_it_says_so(studio):
    plan = studio.engine.resolve(wish("sd15", cached(FORECAST)))
    assert any("TaylorSeer" in note for note in plan.notes)
    assert not any("cache" in note.casefold() for note in studio.engine.resolve(wish("sd15", cached(AUTOMATIC))).notes)
    for wrong in ({"interval": 0}, {"threshold": 2.0}, {"order": 9}, {"depth": 0}):
        with pytest.raises(InvalidRequest):
            studio.engine.resolve(wish("sd15", CacheParams(DEEP, **wrong)))


def test_infotext_says_which_cache_it_was(studio):
    asked = wish("sd15", cached(AUTOMATIC, interval=2), steps=2)
    said = parse(studio.draw(asked).pictures[0].infotext)
    assert (said["Step cache"], said["Step cache interval"]) == (DEEP, "2")
    again, unknown = to_request(said, GenerationRequest())
    assert again.cache == replace(asked.cache, method=DEEP)
    assert unknown == ()
    assert (
        "Step cache" not in studio.draw(wish("sd15", CacheParams(NO_CACHE, interval=7), steps=1)).pictures[0].infotext
    )


def test_find_blocks_knows_what_transformers_call_their_blocks(studio):
    for name in TRANSFORMERS:
        entry = studio.engine._catalog.find_model(name)
        with studio.engine.storehouse.lease(entry, FAMILIES[name], lambda share, part: None) as model:
            assert len(find_blocks(model.loaded.components["transformer"])) >= 2, name


def test_the_first_block_is_asked_row_by_row():
    class Block(torch.nn.Module):
        def __init__(self, gain):
            super().__init__()
            self.gain, self.rows = gain, []

        def forward(self, hidden_states):
            self.rows.append(len(hidden_states))
            return hidden_states * self.gain

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([Block(2.0), Block(3.0), Block(0.5)])

        def forward(self, hidden_states):
            for block in self.layers:
                hidden_states = block(hidden_states)
            return hidden_states

    model, method = Model(), FirstBlock(0.1)
    known, given = method.begin(), torch.ones(3, 4)
    with method.standing(model, known, whole=True):
        model(given)
    moved = given * torch.tensor([1.0, 1.05, 2.0])[:, None]
    with method.standing(model, known, whole=False):
        found = model(moved)
    assert [block.rows for block in model.layers] == [[3, 3], [3, 1], [3, 1]]
    # The first two rows: what the first block says now, and what the others added then; the third one in full.
    assert np.allclose(found[:, 0], [3.0, 2.1 + 1.0, 6.0])
