"""Models that the device cannot hold rest in main memory and are drawn with all the same.

The device is the card of tests/factories/card.py: it has a memory of its own, and an allocation beyond it fails.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
from dataclasses import dataclass, replace

import pytest
import torch

from modules.bootstrap.options import DeviceOptions, Options
from modules.contracts.catalog import ModelEntry
from modules.contracts.plan import Placement
from modules.contracts.request import CanvasParams, PromptParams
from modules.memory.measures import applied
from modules.processing_diffusers.multiplexer.core import Multiplexer
from modules.processing_diffusers.multiplexer.stand_in import target_of
from modules.processing_diffusers.storehouse import _expected_bytes
from tests.factories import models
from tests.factories.card import LEDGER, CardHandler
from tests.processing_diffusers.conftest import CLOSE, ask, in_threads, make_engine

ROOMY = 1 << 30
WORDS = 1 << 20
"""What encoded prompts, which are kept for later jobs, may take on the card."""
OFFLOADS = {"model_offload", "sequential_offload"}


@dataclass
class Sizes:
    """Bytes of a model in the precision that is computed, and of its largest part."""

    total: int
    part: int


@pytest.fixture(scope="module")
def two_models(tmp_path_factory, tiny_sd15_folder):
    """A folder with two models of one size."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "tiny-sd15").symlink_to(tiny_sd15_folder)
    models.tiny_sd15(folder / "checkpoints" / "other", seed=99)
    return folder


@pytest.fixture(scope="module")
def sizes(shared_bench):
    """How large the model is."""
    plan = shared_bench.engine.resolve(ask())
    with shared_bench.engine.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
        found = model.bytes
    return Sizes(found.total, max(found.denoiser, found.vae, found.text_encoder))


@pytest.fixture
def engine_on(tmp_path, two_models):
    """Makes an engine on a card of that many bytes."""
    benches = []

    def make(capacity, vram="normal", said=None, **settings):
        gc.collect()
        options = Options(device=DeviceOptions(no_half=True, vram=vram))
        handler = CardHandler(LEDGER.used + capacity, said)
        benches.append(make_engine(tmp_path, two_models, handler=handler, options=options, **settings))
        return benches[-1]

    yield make
    for bench in benches:
        bench.engine.close()
    LEDGER.capacity = None


def small(**named):
    """A request whose activations are small beside the weights."""
    return ask(canvas=CanvasParams(32, 32, 1), **named)


def digest(bench, name=None):
    """What all weights of the resident model are, and the devices that they are on."""
    plan = bench.engine.resolve(small(model=name))
    told = hashlib.sha256()
    places = set()
    with bench.engine.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
        for part in ("unet", "vae", "text_encoder"):
            for tensor in model.loaded.components[part].state_dict().values():
                places.add(str(tensor.device))
                told.update(tensor.to("cpu").contiguous().numpy().tobytes())
    return told.hexdigest(), places


def near(found, wanted):
    """Whether two decoded pictures are the same as far as the engine promises."""
    return float((found - wanted).abs().max()) <= CLOSE


CASES = {
    "fits": ("normal", lambda sizes: ROOMY, None),
    "does not fit": ("normal", lambda sizes: sizes.total - 1, None),
    "is larger than it seemed": ("normal", lambda sizes: sizes.total - 1, ROOMY),
    "medvram": ("medvram", lambda sizes: sizes.total - 1, None),
    "lowvram": ("lowvram", lambda sizes: sizes.part - 1, None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_is_drawn_with_whatever_the_card_holds(case, shared_bench, engine_on, sizes, exact, caplog):
    vram, capacity, said = CASES[case]
    wanted = exact(shared_bench.draw(small()))
    caplog.set_level(logging.INFO)
    before = LEDGER.used
    card = engine_on(capacity(sizes), vram, said)
    results = [card.draw(small()) for _ in range(2)]
    assert all(near(exact(result), wanted) for result in results)
    recipe = results[0].pictures[0].recipe
    assert recipe["device"] == "card:0"
    rests = case != "fits"
    assert bool(OFFLOADS & set(recipe["memory"]["measures"])) is rests
    assert LEDGER.peak - before <= capacity(sizes)
    if rests:
        assert LEDGER.used - before < WORDS < sizes.total // 20
        said_so = [note for note in results[1].notes if "rests in main memory" in note]
        assert len(said_so) == (1 if vram == "normal" else 0)
        assert any("rests in main memory" in record.getMessage() for record in caplog.records)
    else:
        assert LEDGER.used - before >= sizes.total
    values, places = digest(card)
    assert values == digest(shared_bench)[0]
    assert places == ({"cpu"} if rests else {"card:0"})


@pytest.mark.parametrize("vram", ["medvram", "lowvram"])
def test_several_lanes_share_what_is_offloaded(vram, shared_bench, engine_on, sizes, exact):
    asked = [
        small(seed=seed, steps=steps, prompt=PromptParams(f"a {word} circle", "blurry"))
        for seed, steps, word in ((1, 3, "red"), (2, 5, "blue"), (3, 2, "green"), (4, 4, "red"))
    ]
    asked[2] = replace(asked[2], prompt=replace(asked[2].prompt, clip_skip=2))
    asked[3] = replace(asked[3], canvas=replace(asked[3].canvas, tiling=True))
    alone = [exact(shared_bench.draw(request)) for request in asked]
    card = engine_on(sizes.total - 1 if vram == "medvram" else sizes.part, vram)
    together = in_threads([lambda r=request: card.draw(r) for request in asked])
    assert all(near(exact(result), wanted) for result, wanted in zip(together, alone, strict=True))
    assert digest(card)[0] == digest(shared_bench)[0]
    assert card.engine.multiplexer.stats()["targets"]["unet"]["mean_lanes"] > 1


def test_models_that_rest_are_switched_and_let_go(engine_on, sizes, exact):
    before = LEDGER.used
    card = engine_on(sizes.total - 1, "medvram", sd_checkpoints_limit=1)
    first, other, again = (exact(card.draw(small(model=name))) for name in ("tiny-sd15", "other", "tiny-sd15"))
    assert not near(first, other)
    assert near(first, again)
    assert len(card.engine.storehouse.resident()) == 1
    assert LEDGER.used - before < WORDS


def test_an_idle_model_leaves_the_card_before_another_one_has_to_rest(engine_on, sizes):
    card = engine_on(int(sizes.total * 1.8), sd_checkpoints_limit=4, model_memory_share=1.0)
    for name in ("tiny-sd15", "other"):
        result = card.draw(small(model=name))
        assert not [note for note in result.notes if "rests" in note]
        assert digest(card, name)[1] == {"card:0"}
    assert len(card.engine.storehouse.resident()) == 1


def test_a_part_that_was_sent_to_the_cpu_stays_there(shared_bench, engine_on, sizes, exact):
    wanted = exact(shared_bench.draw(small()))
    card = engine_on(sizes.total - 1, "lowvram")
    card.engine._choice.placements["text_encoder"] = Placement("cpu", "float64")
    result = card.draw(small())
    assert near(exact(result), wanted)
    assert result.pictures[0].recipe["placement"]["text_encoder"]["device"] == "cpu"
    plan = card.engine.resolve(small())
    with card.engine.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
        assert set(model.away_from_cpu(model.loaded.components, card.engine._choice)) == {"unet", "vae"}


class Doubling:
    """A patch that changes weights for one call, in the manner of adapters."""

    signature = "double"

    @contextlib.contextmanager
    def applied(self, module):
        kept = module.weight.data.clone()
        module.weight.data *= 2
        yield
        module.weight.data.copy_(kept)


def test_a_patch_of_weights_holds_for_its_call_only_while_parts_travel():
    parts = {"unet": torch.nn.Linear(4, 4, bias=False), "vae": torch.nn.Linear(4, 4)}
    for part in parts.values():
        part.requires_grad_(False)
    weight, ones = parts["unet"].weight, torch.ones(1, 4)
    before, wanted = weight.clone(), parts["unet"](ones)
    target, other = target_of(parts["unet"], "unet"), target_of(parts["vae"], "vae")
    multiplexer = Multiplexer()
    try:
        with applied(["model_offload"], parts, CardHandler()), multiplexer.lane() as lane:
            for patches, factor in (((Doubling(),), 2), ((), 1), ((Doubling(),), 2)):
                multiplexer.call(lane, other, {"input": ones})
                found = multiplexer.call(lane, target, {"input": ones}, patches=patches)
                assert torch.equal(found.to("cpu"), wanted * factor)
    finally:
        multiplexer.close()
    assert parts["unet"].weight is weight
    assert torch.equal(weight, before)


def test_models_are_unloaded_from_the_card_and_loaded_again(engine_on, sizes):
    before = LEDGER.used
    card = engine_on(ROOMY)
    card.engine.warm_up()
    assert LEDGER.used - before >= sizes.total
    card.engine.unload()
    assert LEDGER.used == before
    assert card.engine.storehouse.resident() == ()
    card.engine.warm_up()
    assert LEDGER.used - before >= sizes.total


@pytest.mark.parametrize(
    ("stored", "computed", "bytes_"), [("F32", "float16", 50), ("F16", "float32", 200), ("I8", "float16", 100)]
)
def test_the_size_is_judged_in_the_precision_that_is_computed(tmp_path, stored, computed, bytes_):
    entry = ModelEntry("x", tmp_path, "diffusers", "sd15", 512, size_bytes=100, details={"dtype": stored})
    assert _expected_bytes(entry, {"denoiser": Placement("cuda:0", computed)}) == bytes_
