"""Networks beside a module row by row: against weights that were changed, and what is left afterwards."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modules.contracts.networks import NetworkEntry
from modules.networks.building import Reading, build_change
from modules.networks.loading import LoadedNetwork
from modules.networks.places import Place
from modules.networks.rows import ModuleShelf, RowNetworks, Share

PART = "encoder"


def lot(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


@pytest.fixture
def model():
    """A layer of every kind that networks change."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(8 * 16, 6)
    ).requires_grad_(False)


def network(model, seed, *, dense=False):
    """LoRA beside convolution and linear layer, or full differences of all."""
    layers = {"0": model[0], "3": model[3]}
    tensors = {
        "0": {"up": lot(8, 2, 1, 1, seed=seed), "down": lot(2, 3, 3, 3, seed=seed)},
        "3": {"up": lot(6, 2, seed=seed), "down": lot(2, 128, seed=seed)},
    }
    if dense:
        layers["1"] = model[1]
        tensors = {
            "0": {"diff": lot(8, 3, 3, 3, seed=seed), "diff_b": lot(8, seed=seed)},
            "1": {"w_norm": lot(8, seed=seed), "b_norm": lot(8, seed=seed)},
            "3": {"diff": lot(6, 128, seed=seed)},
        }
    changes = {path: build_change(tensors[path], layer, Place(PART, path), Reading()) for path, layer in layers.items()}
    return LoadedNetwork(NetworkEntry(f"n{seed}", "lora", Path("x"), "x"), {PART: changes}, identity=seed)


def with_weights(model, sample):
    """The model with the differences in its weights: the other way to the same end."""
    changed = copy.deepcopy(model)
    for share in sample:
        for path, change in share.network.changes[PART].items():
            layer = changed.get_submodule(path)
            weight, bias = change.difference(layer)
            layer.weight += share.weight * weight
            if bias is not None:
                layer.bias += share.weight * bias
    return changed


def hash_of(model):
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def test_every_row_has_its_own_networks_in_one_call(model):
    low, full = network(model, 1), network(model, 2, dense=True)
    samples = [(), (Share(low, 1.0),), (Share(full, 0.5), Share(low, -0.3)), (Share(low, 0.25),), ()]
    given = lot(5, 3, 4, 4)
    wanted = torch.cat([with_weights(model, sample)(given[row : row + 1]) for row, sample in enumerate(samples)])
    shelf = ModuleShelf(model, denoiser=False)
    patches = [RowNetworks(shelf, PART, lambda part=part: part) for part in (samples[:2], samples[2:])]
    with patches[0].gathered(patches, [2, 3]):
        together = model(given)
    torch.testing.assert_close(together, wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together, model(given), atol=1e-2)


def test_pictures_are_repeated_to_the_rows_of_a_guided_call(model):
    one = network(model, 1)
    patch = RowNetworks(ModuleShelf(model, denoiser=False), PART, lambda: [(), (Share(one, 1.0),)])
    assert [len(sample) for sample in patch.rows(4)] == [0, 1, 0, 1]
    assert [len(sample) for sample in patch.chosen([3, 3, 0]).rows(3)] == [1, 1, 0]
    given = lot(4, 3, 4, 4)
    with patch.chosen([0, 1, 2, 3]).gathered([patch], [4]):
        said = model(given)
    plain = model(given)
    assert torch.equal(said[0::2], plain[0::2])
    assert not torch.allclose(said[1::2], plain[1::2])


def test_rows_with_the_same_network_at_other_weights_share_its_arithmetic(model):
    one = network(model, 1)
    samples = [(Share(one, 1.0),), (Share(one, 0.5),)]
    given = lot(2, 3, 4, 4)
    wanted = torch.cat([with_weights(model, sample)(given[row : row + 1]) for row, sample in enumerate(samples)])
    patch = RowNetworks(ModuleShelf(model, denoiser=False), PART, lambda: samples)
    with patch.gathered([patch], [2]):
        torch.testing.assert_close(model(given), wanted, rtol=1e-4, atol=1e-4)


def test_nothing_is_done_for_a_weight_of_zero(model):
    patch = RowNetworks(ModuleShelf(model, denoiser=False), PART, lambda: [(Share(network(model, 1), 0.0),)])
    with patch.gathered([patch], [1]):
        assert not any(layer._forward_hooks for layer in model.modules())


def test_weights_and_hooks_are_what_they_were_after_twenty_random_networks(model):
    before, plain = hash_of(model), model(lot(3, 3, 4, 4))
    shelf, random = ModuleShelf(model, denoiser=False), np.random.default_rng(4)
    for turn in range(20):
        found = network(model, turn, dense=bool(random.integers(2)))
        samples = [(Share(found, float(random.normal())),) if random.integers(2) else () for _ in range(3)]
        patch = RowNetworks(shelf, PART, lambda samples=samples: samples)
        if turn % 5:
            with patch.gathered([patch], [3]):
                model(lot(3, 3, 4, 4))
        else:
            with pytest.raises(RuntimeError), patch.gathered([patch], [3]):
                model(lot(3, 5, 4, 4))  # a call that fails half-way
    assert hash_of(model) == before
    assert torch.equal(model(lot(3, 3, 4, 4)), plain)
    assert not any(layer._forward_hooks for layer in model.modules())


def test_seamless_tiles_hold_for_what_networks_add(model):
    convolution = model[0]
    change = network(model, 1).changes[PART]["0"]
    convolution.padding_mode = "circular"
    given = lot(1, 3, 4, 4)
    answer = change.answer(convolution, given, convolution(given))
    turned = change.answer(convolution, given.roll(2, -1), convolution(given))
    torch.testing.assert_close(answer.roll(2, -1), turned)
