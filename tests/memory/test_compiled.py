"""Compiled blocks say what plain ones say, let networks come and go without compiling anew, and leave no trace."""

from __future__ import annotations

import hashlib
import logging

import pytest
import torch

from modules.contracts.networks import NetworkEntry
from modules.contracts.plan import MemoryPlan
from modules.memory import compiled
from modules.memory.measures import applied, names_of
from modules.networks.building import Reading, build_change
from modules.networks.loading import LoadedNetwork
from modules.networks.places import Place
from modules.networks.rows import ModuleShelf, RowNetworks, Share
from tests.factories import parts
from tests.memory.devices import RecordingHandler
from tests.memory.test_measures import state_of

CLOSE = 1e-5
SIZE = (6, 4)
"""Cells of the latents; no number of tokens is a width, or torch would take the two for one."""


@pytest.fixture(autouse=True)
def by_torch(monkeypatch):
    """What torch traces is run as it was traced: inductor takes a C++ compiler, and minutes."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")


@pytest.fixture(scope="module")
def unet():
    """A denoiser whose blocks are of one width."""
    with parts.seeded(4):
        return parts.unet((32, 64), 48, sample_size=8).requires_grad_(False)


@pytest.fixture(scope="module")
def shelf(unet):
    return ModuleShelf(unet, denoiser=True)


def network(unet, seed, rank):
    """A LoRA of that rank beside all linear layers with attention's names, and beside one convolution."""
    layers = {path: layer for path, layer in unet.named_modules() if path.endswith(("to_k", "to_out.0", "conv_in"))}
    generator, changes = torch.Generator().manual_seed(seed), {}
    for path, layer in layers.items():
        out, inside, *kernel = layer.weight.shape
        tensors = {
            "up": torch.randn(out, rank, *[1] * len(kernel), generator=generator) / 3,
            "down": torch.randn(rank, inside, *kernel, generator=generator) / 3,
        }
        changes[path] = build_change(tensors, layer, Place("unet", path), Reading())
    return LoadedNetwork(NetworkEntry(f"n{seed}", "lora", None, "x"), {"unet": changes}, identity=seed)


def draw(unet, rows=2, size=SIZE):
    """What the denoiser says of some latents; always the same."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(rows, 4, *size, generator=generator)
    words = torch.randn(rows, 7, 48, generator=generator)
    with torch.no_grad():
        return unet(latents, torch.arange(rows) * 100, encoder_hidden_states=words).sample


def with_networks(unet, shelf, *samples):
    patch = RowNetworks(shelf, "unet", lambda: samples)
    with patch.gathered([patch], [len(samples)]):
        return draw(unet, len(samples))


def graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def hash_of(module):
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in module.state_dict().values())).hexdigest()


def measured(unet):
    plan = MemoryPlan(compiled=True)
    return applied(names_of(plan), {"unet": unet}, RecordingHandler())


def test_networks_are_swapped_without_compiling_anew(unet, shelf):
    one, two, three = (network(unet, seed, rank) for seed, rank in ((1, 2), (2, 5), (3, 9)))
    samples = [
        ((Share(one, 1.0),), (Share(one, 1.0),)),
        ((Share(two, 0.4), Share(one, -0.3)), ()),
        ((Share(three, 0.7),), (Share(two, 0.2),)),
        ((Share(three, 0.1, parts=(("mid", 0.0),)),), (Share(two, 0.2),)),
    ]
    plain, wanted = draw(unet), [with_networks(unet, shelf, *each) for each in samples]
    assert all(float((one - plain).abs().max()) > 0.01 for one in wanted)
    before, weights = state_of({"unet": unet}), hash_of(unet)
    with measured(unet):
        begun = graphs()
        assert float((draw(unet) - plain).abs().max()) < CLOSE
        assert graphs() > begun, "nothing was compiled"
        assert float((with_networks(unet, shelf, *samples[0]) - wanted[0]).abs().max()) < CLOSE
        with torch.compiler.set_stance("fail_on_recompile"):
            for each, expected in zip(samples[1:], wanted[1:], strict=True):
                assert float((with_networks(unet, shelf, *each) - expected).abs().max()) < CLOSE
            assert float((draw(unet) - plain).abs().max()) < CLOSE
            for rows, size in ((3, SIZE), (4, (10, 6))):  # numbers of samples and cells may change as well
                draw(unet, rows, size)
    assert state_of({"unet": unet}) == before
    assert hash_of(unet) == weights
    with measured(unet), torch.compiler.set_stance("fail_on_recompile"):  # the next job
        draw(unet)
    assert torch.equal(draw(unet), plain)


def test_what_stands_inside_a_block_acts_all_the_same(unet):
    layer = next(part for path, part in unet.named_modules() if path.endswith("attn1.to_q"))

    def twice(_layer, _given, output):
        return output * 2

    handle = layer.register_forward_hook(twice)
    wanted = draw(unet)
    handle.remove()
    with measured(unet):
        plain = draw(unet)
        begun = graphs()
        handle = layer.register_forward_hook(twice)
        assert torch.equal(draw(unet), wanted)
        handle.remove()
        assert float((draw(unet) - plain).abs().max()) < CLOSE
        assert graphs() == begun
    assert not torch.equal(plain, wanted)


def test_a_compiler_that_fails_is_told_and_the_denoiser_computes_plainly(monkeypatch, caplog):
    def broken(graph, examples):
        raise OSError("no room")

    monkeypatch.setattr(compiled, "BACKEND", broken)
    with parts.seeded(4):
        other = parts.unet((32, 64), 48, sample_size=8).requires_grad_(False)
    assert compiled.why_not(other, "cpu") == ""
    plain = draw(other)
    with caplog.at_level(logging.WARNING), measured(other):
        assert torch.equal(draw(other), plain)
        assert torch.equal(draw(other), plain)
    assert sum("compiling failed" in record.message for record in caplog.records) == 1
    assert "no room" in compiled.why_not(other, "cpu")


def test_a_lacking_compiler_is_named(unet, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    monkeypatch.setattr(compiled, "_has_compiler", lambda device: False)
    assert compiled.why_not(unet, "cpu") == "There is no C++ compiler here, so UNet2DConditionModel was not compiled."
    assert "no repeated blocks" in compiled.why_not(torch.nn.Linear(1, 1), "cpu")
