"""A text encoder of its own in place of the model's: it is heard, by its job alone, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import weakref
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from modules.contracts.errors import BrokenModel, InvalidRequest, UnknownModel
from modules.contracts.infotext_format import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import GenerationRequest, ModelParams
from tests.processing_diffusers.conftest import (
    CLOSE,
    apart,
    ask,
    held_back,
    in_threads,
    link_models,
    make_engine,
    remember_numbers,
)

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def bench(tmp_path_factory, request):
    """An engine with SD 1.5 and SDXL, and text encoders in files of their own."""
    folder = link_models(tmp_path_factory.mktemp("readers"), request, ["sd15", "sdxl"])
    shared = folder / "text-encoders"
    shared.mkdir()
    own = load_file(request.getfixturevalue("tiny_sd15_folder") / "text_encoder" / WEIGHTS)
    save_file(own, shared / "same.safetensors")
    other = {name: -tensor if name.endswith("fc1.weight") else tensor for name, tensor in own.items()}
    save_file(
        {f"text_model.{name.removeprefix('text_model.')}": one for name, one in other.items()},
        shared / "other.safetensors",
    )
    large = request.getfixturevalue("tiny_sdxl_folder") / "text_encoder_2"
    second = load_file(large / WEIGHTS)
    changed = {name: -tensor if name.endswith("fc1.weight") else tensor for name, tensor in second.items()}
    save_file({name: one for name, one in changed.items() if "projection" not in name}, shared / "second.safetensors")
    cut = {name: one for name, one in own.items() if "layers.1." not in name}
    save_file(cut, shared / "cut.safetensors")
    save_file({"x.weight": own[next(iter(own))]}, shared / "nothing.safetensors")
    made = make_engine(tmp_path_factory.mktemp("readers-engine"), folder)
    yield made
    made.engine.close()


@pytest.fixture
def draw(bench, monkeypatch):
    remember_numbers(monkeypatch)

    def draw(reader=None, model="tiny-sd15", **more):
        request = replace(ask(steps=2, **more), model=ModelParams(model, None, reader))
        return bench.draw(request)

    return draw


def numbers(result):
    return result.pictures[0].image.exact


def weights_hash(bench, name):
    plan = bench.engine.resolve(ask(model=name))
    with bench.engine.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
        digest = hashlib.sha256()
        for key in model.text_encoders:
            module = model.loaded.components[key]
            assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
            for tensor in module.state_dict().values():
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def test_a_file_reads_in_place_of_the_models_own_encoder(bench, draw):
    plain, before = numbers(draw()), weights_hash(bench, "tiny-sd15")
    assert apart(numbers(draw("same")), plain) == 0
    result = draw("other")
    assert apart(numbers(result), plain) > 100 * CLOSE
    recipe = result.pictures[0].recipe["text_encoder"]
    file = bench.paths.models_of("text-encoders") / "other.safetensors"
    assert recipe == {"name": "other", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert apart(numbers(draw()), plain) == 0
    assert weights_hash(bench, "tiny-sd15") == before


def test_infotext_tells_of_it_and_asks_for_it_again(draw):
    result = draw("other")
    told = parse(result.pictures[0].infotext)
    assert told["Text encoder"] == "other"
    request, unknown = to_request(told, GenerationRequest())
    assert (request.model.text_encoder, unknown) == ("other", ())
    assert "Text encoder" not in parse(draw().pictures[0].infotext)


def test_jobs_with_different_encoders_draw_together_and_read_apart(bench, draw):
    readers = (None, "other", "same")
    texts = [f"a word of {reader}" for reader in readers]
    alone = [numbers(draw(reader, text=text)) for reader, text in zip(readers, texts, strict=True)]
    bench.engine.storehouse.empty()
    with held_back(bench.engine.multiplexer, {"unet"}, 3):
        found = in_threads([lambda r=r, t=t: draw(r, text=t) for r, t in zip(readers, texts, strict=True)])
    assert all(apart(numbers(one), wanted) <= CLOSE for one, wanted in zip(found, alone, strict=True))


def test_it_stands_for_the_encoder_that_it_is_like(bench, draw):
    plain = numbers(draw(model="tiny-sdxl"))
    assert apart(numbers(draw("second", model="tiny-sdxl")), plain) > 100 * CLOSE
    plan = bench.engine.resolve(ask(model="tiny-sdxl"))
    entry = next(one for one in bench.engine._catalog.text_encoders() if one.name == "second")
    with bench.engine.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
        own = model.loaded.components
        with bench.engine.storehouse.lease_reader(entry, model) as view:
            mine = view.loaded.components
            assert mine["text_encoder"] is own["text_encoder"]
            assert mine["text_encoder_2"] is not own["text_encoder_2"]
            # A file without a projection takes the model's.
            assert (mine["text_encoder_2"].text_projection.weight == own["text_encoder_2"].text_projection.weight).all()
            assert view.denoiser is model.denoiser


def reader_of(bench, name, model):
    """That encoder as it is in memory for that model, without holding it."""
    plan = bench.engine.resolve(ask(model=model))
    entry = next(one for one in bench.engine._catalog.text_encoders() if one.name == name)
    store = bench.engine.storehouse
    with store.lease(plan.model, plan.family, lambda *_: None) as leased, store.lease_reader(entry, leased) as view:
        return weakref.ref(next(view.loaded.components[part] for part in view.text_encoders))


def test_nothing_of_it_is_left_when_its_model_goes(bench, draw):
    bench.engine.storehouse.empty()
    draw("other")
    mine, pool = reader_of(bench, "other", "tiny-sd15"), bench.engine.storehouse._readers
    draw("second", model="tiny-sdxl")
    assert mine() is not None
    assert len(pool.resident()) == 2
    bench.settings.update({"sd_checkpoints_limit": 1})
    try:
        draw(model="tiny-sdxl")
    finally:
        bench.settings.update({"sd_checkpoints_limit": 32})
    assert bench.engine.storehouse.resident() == (str(bench.paths.models_of("checkpoints") / "tiny-sdxl"),)
    assert mine() is None
    (kept,) = pool.resident()
    assert str(kept.key[0]).endswith("second.safetensors")


@pytest.mark.parametrize(
    ("name", "model", "error", "words"),
    [
        ("second", "tiny-sd15", InvalidRequest, "stands for none of this model's: text_encoder has"),
        ("cut", "tiny-sd15", BrokenModel, "weights are missing"),
        ("nothing", "tiny-sd15", BrokenModel, "is no text encoder"),
        ("nowhere", "tiny-sd15", UnknownModel, "known are"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(draw, name, model, error, words):
    with pytest.raises(error, match=words):
        draw(name, model=model)
