"""The loop learns, stops, goes on as if it had not stopped, and does not let bad numbers into the weights."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from modules.training.journal import Average, Budget, load_checkpoint, save_checkpoint, warm_cosine
from modules.training.loop import Care, Diverged, Loop
from modules.training.muon import Optimiser, orthogonalise
from modules.training.precision import Scaler
from modules.training.sheets import Samples

TARGET = torch.linspace(-1, 1, 6).reshape(2, 3)


def make_loop(folder, *, care=None, samples=None):
    """A loop over one small layer."""
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    optimiser = Optimiser(module, muon_lr=0.05, adam_lr=0.05)
    loop = Loop("toy", folder, module, optimiser, Average(module, 0.9), care=care or Care(), samples=samples)
    loop.resume()
    return loop


def learn(loop, steps, *, bad=(), size=4, value=float("nan")):
    """Trains towards TARGET for so many steps; batches in `bad` have a loss that is `value`."""

    def loss_of(number):
        batch = torch.randn(size, 3)
        loss = (loop.module(batch) - batch @ TARGET.T).square().mean()
        return (loss * value if number in bad else loss), {"number": number}

    return loop.run(loss_of, Budget(5), 60, steps)


def weights(loop):
    return torch.cat([value.detach().flatten() for value in loop.module.parameters()])


def exact(**more):
    """Care under which the clock decides nothing."""
    return Care(total_steps=200, **more)


def test_it_learns_and_writes_down_how(tmp_path):
    loop = make_loop(tmp_path, care=exact())
    figures = learn(loop, 200)
    assert torch.allclose(loop.module.weight, TARGET, atol=0.2)
    rows = [json.loads(line) for line in (tmp_path / "toy.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(25, 201, 25))
    assert rows[-1]["loss_now"] < rows[0]["loss_now"] / 5
    assert {"step", "loss", "seconds", "number", "loss_now"} == set(rows[-1])
    assert figures["step"] == 200
    with Image.open(tmp_path / "toy.png") as curves:
        assert curves.width > 500


def test_a_training_of_so_many_steps_ends_by_itself(tmp_path):
    learn(make_loop(tmp_path, care=Care(total_steps=30)), 20)
    loop = make_loop(tmp_path, care=Care(total_steps=30))
    assert learn(loop, None)["step"] == loop.step == 30


def test_a_resumed_run_ends_in_the_same_weights_to_the_bit(tmp_path):
    whole = make_loop(tmp_path / "whole", care=exact())
    learn(whole, 60)
    for steps in (17, 1, 42):
        part = make_loop(tmp_path / "parts", care=exact())
        torch.randn(100)  # what happens between two runs must not matter
        learn(part, steps)
    assert part.step == 60
    assert torch.equal(weights(whole), weights(part))
    assert all(torch.equal(value, part.average.weights[name]) for name, value in whole.average.weights.items())
    assert part.smooth == whole.smooth


def test_a_checkpoint_brings_every_generator_back(tmp_path):
    import random

    loop = make_loop(tmp_path)
    random.seed(3)
    np.random.seed(4)
    loop.save(1.0)
    wanted = random.random(), np.random.random(), torch.rand(2)
    random.random(), np.random.random(), torch.rand(7)
    make_loop(tmp_path)
    got = random.random(), np.random.random(), torch.rand(2)
    assert got[:2] == wanted[:2]
    assert torch.equal(got[2], wanted[2])


def test_a_checkpoint_of_an_older_loop_still_loads(tmp_path):
    loop = make_loop(tmp_path)
    learn(loop, 3)
    state = load_checkpoint(tmp_path / "toy.pt")
    old = {name: state[name] for name in ("model", "optimiser", "average", "step", "seconds")}
    save_checkpoint(tmp_path / "toy.pt", old)
    again = make_loop(tmp_path)
    assert again.step == 3
    assert torch.equal(weights(again), weights(loop))
    assert learn(again, 2)["loss"] > 0


def test_a_spent_budget_changes_nothing_but_leaves_a_checkpoint(tmp_path):
    loop = make_loop(tmp_path)
    before = weights(loop)
    loop.run(lambda step: pytest.fail("no step was to be taken"), Budget(0), 60, None)
    assert torch.equal(weights(loop), before)
    assert load_checkpoint(tmp_path / "toy.pt")["step"] == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_whose_loss_is_not_finite_is_left_out_and_counted(tmp_path, value):
    loop = make_loop(tmp_path, care=exact())
    learn(loop, 5)
    before, average = weights(loop), loop.average.weights["weight"].clone()
    figures = learn(loop, 3, bad={5, 6, 7}, value=value)
    assert torch.equal(weights(loop), before)
    assert torch.equal(loop.average.weights["weight"], average)
    assert (loop.step, loop.skipped, figures["skipped"]) == (8, 3, 3)
    learn(loop, 1)
    assert not torch.equal(weights(loop), before)
    assert torch.isfinite(weights(loop)).all()
    assert make_loop(tmp_path).skipped == 3


def test_a_gradient_that_is_not_finite_is_left_out_too(tmp_path):
    loop = make_loop(tmp_path)
    before = weights(loop)

    def loss_of(number):
        return torch.sqrt(loop.module.weight.sum() * 0.0), {}  # 0, with a slope that has no bound

    loop.run(loss_of, Budget(5), 60, 2)
    assert torch.equal(weights(loop), before)
    assert loop.skipped == 2


def test_too_many_bad_steps_end_the_training_with_a_sentence_and_a_checkpoint(tmp_path):
    loop = make_loop(tmp_path, care=Care(patience=3))
    learn(loop, 2)
    before = weights(loop)
    with pytest.raises(Diverged, match=r"toy: 4 steps in a row up to step 6 .* 3 are allowed"):
        learn(loop, 50, bad=set(range(2, 60)))
    again = make_loop(tmp_path)
    assert again.step == 6
    assert torch.equal(weights(again), before)


def test_accumulated_batches_count_as_one_large_one(tmp_path):
    def losses(loop, rows):
        lot = torch.Generator().manual_seed(1)
        batches = torch.randn(12, 3, generator=lot)

        def loss_of(number):
            batch = batches[number * rows : (number + 1) * rows]
            return (loop.module(batch) - batch @ TARGET.T).square().mean(), {}

        loop.run(loss_of, Budget(5), 60, 3)

    large = make_loop(tmp_path / "large", care=exact())
    losses(large, 4)
    small = make_loop(tmp_path / "small", care=exact(accumulate=2))
    losses(small, 2)
    assert small.step == large.step == 3
    assert torch.allclose(weights(large), weights(small), atol=1e-6)


def test_long_gradients_are_shortened_to_the_limit(tmp_path):
    loop, seen = make_loop(tmp_path, care=Care(clip=0.5)), []
    plain = loop.optimiser.step

    def watch(rate):
        seen.append(loop.module.weight.grad.norm().item())
        plain(rate)

    loop.optimiser.step = watch
    loop.run(lambda step: (loop.module.weight.sum() * (100 if step else 1e-3), {}), Budget(5), 60, 2)
    assert seen[0] == pytest.approx(1e-3 * math.sqrt(6), rel=1e-4)
    assert seen[1] == pytest.approx(0.5, rel=1e-4)


def test_scaled_losses_give_the_same_weights_and_an_overflow_halves_the_scale(tmp_path):
    plain = make_loop(tmp_path / "plain", care=exact())
    learn(plain, 5)
    scaled = make_loop(tmp_path / "scaled", care=exact(scaler=Scaler(1024.0)))
    learn(scaled, 5)
    assert torch.allclose(weights(plain), weights(scaled), atol=1e-6)
    before = weights(scaled)
    learn(scaled, 1, bad={5}, value=1e36)  # finite as it is, not so once it is multiplied
    assert torch.equal(weights(scaled), before)
    assert scaled.care.scaler.factor == 512.0
    again = make_loop(tmp_path / "scaled", care=exact(scaler=Scaler()))
    assert again.care.scaler.factor == 512.0


def test_sample_sheets_change_nothing_in_the_training(tmp_path):
    def draw(step):
        torch.manual_seed(99)
        return (torch.rand(3, 4, 4, 3) * 255).byte().numpy()

    plain = make_loop(tmp_path / "plain", care=exact())
    learn(plain, 12)
    watched = make_loop(tmp_path / "watched", care=exact(), samples=Samples(draw, tmp_path / "s", every_s=0, share=1e9))
    learn(watched, 12)
    assert torch.equal(weights(plain), weights(watched))
    assert len(list((tmp_path / "s").glob("step-*.png"))) >= 10


def test_the_average_can_be_worn_for_a_while(tmp_path):
    loop = make_loop(tmp_path)
    learn(loop, 10)
    own = weights(loop)
    with loop.average.worn_by(loop.module):
        assert torch.equal(loop.module.weight, loop.average.weights["weight"])
        assert not torch.equal(weights(loop), own)
    assert torch.equal(weights(loop), own)


def test_the_learning_rate_rises_and_falls():
    rates = [warm_cosine(step, 100, 10) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.05


def test_orthogonalise_evens_out_the_singular_values():
    torch.manual_seed(0)
    for shape in ((2, 8, 72), (1, 72, 8), (1, 16, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), steps=5))
        assert values.min() > 0.4
        assert values.max() < 1.5


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(AttributeError):
        save_checkpoint(path, {"step": lambda: None})
    assert load_checkpoint(path) == {"step": 1}
    assert load_checkpoint(tmp_path / "none.pt") is None
