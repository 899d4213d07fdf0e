"""Offloading on a device with a memory of its own: what is there when, and what comes back."""

from __future__ import annotations

import gc

import pytest
import torch

from modules.memory.cost import ModelBytes, tensor_bytes
from modules.memory.entry import summon
from modules.memory.measures import applied
from modules.memory.traveller import Traveller
from tests.factories import parts
from tests.factories.card import LEDGER, CardHandler

CARD, HOME = "card:0", "cpu"


@pytest.fixture
def handler():
    """A card with room for everything."""
    gc.collect()
    yield CardHandler()
    LEDGER.capacity = None


class Layer(torch.nn.Module):
    """A layer of 4000 bytes that notes where its weight is when it is called."""

    def __init__(self, seen):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1000), requires_grad=False)
        self.seen = seen

    def forward(self, x):
        self.seen.append(str(self.weight.device))
        return x * self.weight

    def decode(self, x):
        return self(x)


@pytest.fixture
def model():
    """Three parts, the denoiser of two layers."""
    seen = []
    unet = torch.nn.Sequential(Layer(seen), Layer(seen))
    return {"text_encoder": Layer(seen), "unet": unet, "vae": Layer(seen)}, seen


def where(components):
    """Parts of which something is on the card."""
    return [name for name, part in components.items() if any(str(one.device) == CARD for one in part.parameters())]


@pytest.mark.parametrize("measure", ["model_offload", "sequential_offload"])
@pytest.mark.parametrize("start", [HOME, CARD], ids=["resting in main memory", "living on the card"])
def test_weights_are_on_the_card_while_they_compute_and_come_back_as_they_were(measure, start, model, handler):
    components, seen = model
    for part in components.values():
        part.to(start)
    before = {name: [one.to(HOME).clone() for one in part.parameters()] for name, part in components.items()}
    objects = [one for part in components.values() for one in part.parameters()]
    with applied([measure], components, handler):
        assert where(components) == []
        LEDGER.begin()
        used = LEDGER.used
        for call in (components["text_encoder"], components["unet"], components["vae"].decode):
            assert str(call(torch.ones(1000)).device) == CARD
        assert seen == [CARD] * 4
        assert where(components) == (["vae"] if measure == "model_offload" else [])
        # One part (the denoiser's weights are 8000 bytes) or one layer, beside what comes in and goes out of a layer.
        weights = 8000 if measure == "model_offload" else 4000
        assert LEDGER.peak - used <= weights + 3 * 4000
    assert where(components) == ([] if start == HOME else list(components))
    for name, part in components.items():
        assert all(torch.equal(one.to(HOME), was) for one, was in zip(part.parameters(), before[name], strict=True))
    if start == HOME:
        assert all(
            a is b for a, b in zip(objects, (o for p in components.values() for o in p.parameters()), strict=True)
        )


@pytest.mark.parametrize("measure", ["model_offload", "sequential_offload"])
def test_a_journey_that_runs_out_of_memory_leaves_everything_at_home(measure, model, handler):
    components, seen = model
    with applied([measure], components, handler):
        LEDGER.capacity = LEDGER.used + 5000
        with pytest.raises(RuntimeError, match="out of memory"):
            components["unet"](torch.ones(1000))
        assert where(components) == []
        LEDGER.capacity = None
        components["unet"](torch.ones(1000))
    assert seen[-2:] == [CARD, CARD]


def test_tied_weights_travel_once_and_stay_tied(handler):
    tied = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    weight = tied[0].weight
    for measure in ("model_offload", "sequential_offload"):
        with applied([measure], {"unet": tied}, handler):
            tied(torch.zeros(1, 4))
            if measure == "model_offload":
                assert tied[1].weight is tied[0].weight
        assert tied[1].weight is tied[0].weight is weight


def test_a_change_made_on_the_card_is_brought_home_and_a_replacement_stays():
    layer = torch.nn.Linear(2, 2)
    layer.requires_grad_(False)
    CardHandler()
    weight, bias = layer.weight, layer.bias
    traveller = Traveller(layer, CARD)
    traveller.go()
    layer.weight.add_(1)
    layer.bias = torch.nn.Parameter(torch.ones(2).to(CARD), requires_grad=False)
    expected = layer.weight.to(HOME)
    traveller.come_home()
    assert layer.weight is weight
    assert torch.equal(weight, expected)
    assert layer.bias is not bias
    assert layer.bias.device.type == HOME
    assert layer.bias.tolist() == [1, 1]


def test_journeys_may_be_nested():
    layer = torch.nn.Linear(2, 2)
    CardHandler()
    traveller = Traveller(layer, CARD)
    traveller.go()
    traveller.go()
    traveller.come_home()
    assert str(layer.weight.device) == CARD
    traveller.come_home()
    assert layer.weight.device.type == HOME


def test_a_change_of_one_call_made_after_the_summons_leaves_no_trace(model, handler):
    components, _ = model
    layer = components["vae"]
    with applied(["model_offload"], components, handler):
        components["text_encoder"](torch.ones(1000))
        summon(layer)
        assert where(components) == ["vae"]
        kept = layer.weight.data.clone()
        layer.weight.data += 1
        changed = layer(torch.ones(1000)).to(HOME)
        layer.weight.data = kept
        components["unet"](torch.ones(1000))
        plain = layer(torch.ones(1000)).to(HOME)
    assert changed.tolist() == [2.0] * 1000
    assert plain.tolist() == [1.0] * 1000
    assert layer.weight.tolist() == [1.0] * 1000


def test_text_encoders_on_the_cpu_answer_where_they_lived(model, handler):
    components, seen = model
    encoder = components["text_encoder"].to(CARD)
    with applied(["text_encoder_cpu"], components, handler):
        assert str(encoder(torch.ones(1000).to(CARD)).device) == CARD
    assert seen == [HOME]
    assert str(encoder.weight.device) == CARD


def test_the_largest_layer_is_what_a_layer_holds_by_itself():
    with parts.seeded(1):
        unet = parts.unet((32, 32), 32, sample_size=8)
    found = ModelBytes.of({"unet": unet, "tokenizer": object()})
    assert found.layer == max(tensor_bytes(part, recurse=False) for part in unet.modules())
    assert 0 < found.layer < found.denoiser / 4
