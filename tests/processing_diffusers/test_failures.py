"""What goes wrong is unwound, said, and does not spoil the next job."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.errors import InvalidRequest, OutOfMemory, StudioError, UnknownModel
from modules.contracts.plan import MemoryPlan
from modules.contracts.request import CanvasParams, HiresParams, ModelParams
from tests.processing_diffusers.conftest import ask, in_threads, pixels


@pytest.fixture
def parts(bench):
    """The resident model's components; whatever a test replaces is put back."""
    bench.draw(ask(steps=1))
    plan = bench.engine.resolve(ask())
    with bench.engine.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
        components = model.loaded.components
        before = {name: dict(vars(part)) for name, part in components.items() if isinstance(part, torch.nn.Module)}
        yield components
        for name, attributes in before.items():
            vars(components[name]).clear()
            vars(components[name]).update(attributes)


def break_forward(module, fault):
    """Let `fault(samples)` decide whether a forward of that many rows raises."""
    plain = module.forward

    def forward(sample, *given, **named):
        fault(sample.shape[0])
        return plain(sample, *given, **named)

    module.forward = forward


def test_a_merged_call_that_does_not_fit_is_split(bench, parts):
    requests = [ask(seed=seed, steps=4) for seed in range(4)]
    alone = [pixels(bench.draw(request).pictures[0]) for request in requests]
    sizes = []

    def fault(rows):
        sizes.append(rows)
        if rows > 2:
            raise MemoryError("more than two rows")

    break_forward(parts["unet"], fault)
    together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    assert max(sizes) > 2
    for lonely, result in zip(alone, together, strict=True):
        assert abs(pixels(result.pictures[0]) - lonely).max() <= 1


def test_a_job_that_does_not_fit_is_tried_once_more_with_a_cheaper_plan(bench, parts):
    plain = pixels(bench.draw(ask()).pictures[0])
    failures = [True]

    def fault(rows):
        if failures:
            failures.pop()
            raise MemoryError("once")

    break_forward(parts["unet"], fault)
    result = bench.draw(ask())
    assert abs(pixels(result.pictures[0]) - plain).max() <= 1
    assert any("tried again" in note for note in result.notes)


def test_the_second_try_saves_more_than_the_first(bench, parts, monkeypatch):
    """The first try plans anew once the model is there, and the cheaper plan starts from that one."""
    tight = MemoryPlan(("attention_slicing", "vae_slicing"), 1, 4)
    monkeypatch.setattr(bench.engine, "_plan_memory", lambda plan, model, beside: tight)
    failures = [True]

    def fault(rows):
        if failures:
            failures.pop()
            raise MemoryError("once")

    break_forward(parts["unet"], fault)
    memory = bench.draw(ask()).pictures[0].recipe["memory"]
    assert set(tight.measures) < set(memory["measures"])
    assert memory["max_batch"] == 2


def test_finished_batches_are_not_drawn_again_by_the_second_try(bench, parts):
    calls = []

    def fault(rows):
        calls.append(rows)
        if len(calls) == 5:
            raise MemoryError("in the second batch")

    break_forward(parts["unet"], fault)
    result = bench.draw(ask(steps=3, batch=8, count=2))  # so large that one batch fills a merged call
    assert [picture.index for picture in result.pictures] == list(range(16))
    assert len(calls) == 3 + 2 + 3


def test_a_job_that_never_fits_fails_with_advice_and_the_next_works(bench, parts):
    def fault(rows):
        raise MemoryError("never")

    plain = parts["unet"].forward
    break_forward(parts["unet"], fault)
    with pytest.raises(OutOfMemory, match="smaller"):
        bench.draw(ask())
    parts["unet"].forward = plain
    assert bench.draw(ask()).pictures


def test_any_other_failure_is_a_studio_error_and_the_next_works(bench, parts):
    def fault(rows):
        raise ZeroDivisionError("by nothing")

    plain = parts["unet"].forward
    break_forward(parts["unet"], fault)
    with pytest.raises(StudioError, match="ZeroDivisionError"):
        bench.draw(ask())
    parts["unet"].forward = plain
    assert bench.draw(ask()).pictures


def test_a_decoder_that_gives_nan_is_an_error_with_words(bench, parts):
    plain = parts["vae"].decode
    parts["vae"].decode = lambda tensor, return_dict: (plain(tensor, return_dict=False)[0] * float("nan"),)
    bench.settings.update({"upcast_vae_on_nan": False})
    try:
        with pytest.raises(StudioError, match="NaN or infinity"):
            bench.draw(ask())
    finally:
        bench.settings.update({"upcast_vae_on_nan": True})


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (ask(sampler="Magic"), InvalidRequest, "Magic"),
        (ask(canvas=CanvasParams(8192, 8192)), InvalidRequest, "megapixels"),
        (ask(hires=HiresParams(True, 8.0), canvas=CanvasParams(2048, 2048)), InvalidRequest, "hires"),
        (
            ask(canvas=CanvasParams(8192, 64), hires=HiresParams(True, resize_width=64, resize_height=8192)),
            InvalidRequest,
            "1048576x8192",
        ),
        (ask(canvas=CanvasParams(100000, 64)), InvalidRequest, "100000"),
        (ask(steps=-1), InvalidRequest, "Steps"),
        (ask(model="nowhere"), UnknownModel, "nowhere"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_loaded(bench, request_, error, words):
    with pytest.raises(error, match=words):
        bench.engine.resolve(request_)


def test_an_unknown_vae_is_named(bench):
    from dataclasses import replace

    with pytest.raises(UnknownModel, match="kl-f8"):
        bench.engine.resolve(replace(ask(), model=ModelParams(vae="kl-f8")))


def test_foreign_words_reach_clients_without_the_places_they_name(bench, parts):
    def fault(rows):
        raise RuntimeError("kernel cache /home/anna/.cache/kernels is stale")

    break_forward(parts["unet"], fault)
    with pytest.raises(StudioError, match=r"^Drawing failed with RuntimeError: kernel cache kernels is stale\.$"):
        bench.draw(ask(steps=1))
