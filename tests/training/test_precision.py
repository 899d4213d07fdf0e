"""Precision is chosen for the device, and scaling keeps what float16 would lose."""

from __future__ import annotations

import pytest
import torch

from modules.training.precision import GROWTH_STEPS, Precision, Scaler, best_kind


def test_the_forward_pass_runs_in_the_precision_asked_for():
    layer, batch = torch.nn.Linear(4, 4), torch.randn(2, 4)
    for kind in ("bfloat16", "float32"):
        with Precision("cpu", kind).autocast():
            assert layer(batch).dtype == getattr(torch, kind)


def test_only_float16_is_scaled():
    assert Precision("cpu", "float16").scaler is not None
    assert Precision("cpu", "bfloat16").scaler is None
    assert Precision("cpu").kind == best_kind("cpu")


@pytest.mark.parametrize(("modern", "kind"), [(True, "bfloat16"), (False, "float16")])
def test_cards_without_bfloat16_take_float16(monkeypatch, modern, kind):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: modern)
    assert best_kind("cuda:0") == kind


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="float8"):
        Precision("cpu", "float8")


def test_scaling_saves_gradients_that_float16_cannot_hold():
    def slope(scaler):
        weight = torch.ones(1, dtype=torch.float32, requires_grad=True)
        loss = (weight.half() * 1e-5).float().sum() * 1e-3  # its gradient of 1e-8 lies below float16's smallest number
        (scaler.enlarge(loss) if scaler else loss).backward()
        if scaler:
            scaler.reduce([weight.grad])
        return weight.grad.item()

    assert slope(None) == 0
    assert slope(Scaler()) == pytest.approx(1e-8, rel=0.01)


def test_the_scale_grows_after_many_good_steps_and_halves_after_a_bad_one():
    scaler = Scaler(8.0)
    for _ in range(GROWTH_STEPS):
        scaler.learn(overflowed=False)
    assert scaler.factor == 16.0
    scaler.learn(overflowed=True)
    assert scaler.factor == 8.0
    other = Scaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
