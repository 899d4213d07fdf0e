"""Every way of attention computes the same, is really taken, and is taken back without a trace."""

from __future__ import annotations

import sys

import pytest
import torch

from modules.bootstrap.options import ATTENTION_ALIASES, ATTENTION_FLAGS, ATTENTIONS, parse_attention
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import MemoryPlan
from modules.device.attention import AUTOMATIC, WAYS, available_attentions, check_attention
from modules.device.cpu import CpuHandler
from modules.device.cuda import CudaHandler
from modules.memory.attention import measure_of
from modules.memory.measures import MEASURES, applied, names_of
from modules.memory.planner import next_plan
from tests.device.fakes import LINUX_CUDA, machine
from tests.factories import parts
from tests.memory.test_measures import state_of

UNET_WAYS = {
    "sdp": "AttnProcessor2_0",
    "sdp-math": "AttnProcessor2_0",
    "sliced": "SlicedAttnProcessor",
    "plain": "AttnProcessor",
}
"""What a CPU offers, with the processor class that shows it."""


@pytest.fixture(scope="module")
def components():
    """A denoiser and an autoencoder with attention, in fp32."""
    with parts.seeded(4):
        return {"unet": parts.unet((32, 32), 32, sample_size=8), "vae": parts.vae()}


@pytest.fixture(scope="module")
def transformers():
    """A denoiser with diffusers' dispatcher (Flux) and one without (SD 3)."""
    from diffusers import FluxTransformer2DModel, SD3Transformer2DModel

    with parts.seeded(4):
        flux = FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=(2, 2, 4),
        )
        sd3 = SD3Transformer2DModel(
            sample_size=8,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=16,
            pooled_projection_dim=16,
            out_channels=4,
            pos_embed_max_size=8,
        )
    return {"flux": flux.eval(), "sd3": sd3.eval()}


def draw(components):
    """The denoiser's and both of the autoencoder's answers."""
    generator = torch.Generator().manual_seed(1)
    latents, words = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 5, 32, generator=generator)
    with torch.no_grad():
        noise = components["unet"](latents, torch.tensor([3, 500]), encoder_hidden_states=words).sample
        picture = components["vae"].decode(latents).sample
        return noise, picture, components["vae"].encode(picture).latent_dist.mean


def processors(part):
    """Names of the processor classes of a part."""
    return {type(layer.processor).__name__ for layer in part.modules() if hasattr(layer, "processor")}


@pytest.mark.parametrize("name", UNET_WAYS)
def test_a_way_computes_the_same_with_its_own_processors_and_leaves_no_trace(name, components):
    before, expected = state_of(components), draw(components)
    with applied([measure_of(name)], components, CpuHandler()):
        assert processors(components["unet"]) == processors(components["vae"]) == {UNET_WAYS[name]}
        found = draw(components)
    for got, wanted in zip(found, expected, strict=True):
        assert float((got - wanted).abs().max()) < 1e-4
    assert state_of(components) == before


def test_the_kernels_of_torch_are_chosen_for_the_call_only(components, monkeypatch):
    seen = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watch(*args, **kwargs):
        flags = torch.backends.cuda
        seen.append((flags.math_sdp_enabled(), flags.flash_sdp_enabled(), flags.mem_efficient_sdp_enabled()))
        return plain(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watch)
    for name, expected in (
        ("sdp", (True, True, True)),
        ("sdp-math", (True, False, False)),
        ("sdp-flash", (True, True, False)),
        ("sdp-efficient", (True, False, True)),
    ):
        with applied([measure_of(name)], components, CpuHandler()):
            draw(components)
        assert set(seen) == {expected}
        seen.clear()
    assert torch.backends.cuda.flash_sdp_enabled()


def test_slicing_to_save_memory_goes_on_top_and_comes_off_first(components):
    before = state_of(components)
    plan = MemoryPlan(("attention_slicing",), attention="plain")
    with applied(names_of(plan), components, CpuHandler()):
        assert processors(components["unet"]) == {"SlicedAttnProcessor"}
    assert state_of(components) == before


def test_a_dispatched_transformer_gets_its_backend_and_loses_it_again(transformers):
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

    layers = [layer for layer in transformers["flux"].modules() if hasattr(layer, "processor")]
    active = _AttentionBackendRegistry.get_active_backend()
    with applied([measure_of("sdp")], {"transformer": transformers["flux"]}, CpuHandler()):
        assert {layer.processor._attention_backend for layer in layers} == {AttentionBackendName.NATIVE}
        assert _AttentionBackendRegistry.get_active_backend() == active
    assert {layer.processor._attention_backend for layer in layers} == {None}
    assert all("_attention_backend" not in vars(layer.processor) for layer in layers)


@pytest.mark.parametrize("name", ["sdp", "sdp-math", "plain"])
def test_torchs_own_ways_fit_a_transformer_without_a_dispatcher(name, transformers):
    inputs = {
        "hidden_states": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)),
        "encoder_hidden_states": torch.ones(1, 3, 16),
        "pooled_projections": torch.ones(1, 16),
        "timestep": torch.tensor([5]),
    }
    with torch.no_grad():
        expected = transformers["sd3"](**inputs).sample
        with applied([measure_of(name)], {"transformer": transformers["sd3"]}, CpuHandler()):
            found = transformers["sd3"](**inputs).sample
    assert float((found - expected).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("name", "part"), [("sliced", "flux"), ("sliced", "sd3"), ("xformers", "sd3"), ("flash", "sd3"), ("sage", "unet")]
)
def test_a_way_without_a_form_for_the_model_is_refused_with_those_that_have_one(name, part, transformers, components):
    denoiser = transformers.get(part) or components["unet"]
    with (
        pytest.raises(
            UnsupportedFeature, match=rf"'{name}' has no form for {type(denoiser).__name__}.*sdp-math.*plain"
        ),
        applied([measure_of(name)], {"transformer": denoiser}, CpuHandler()),
    ):
        pass


@pytest.mark.skipif("flash_attn" in sys.modules, reason="needs a machine without flash-attn")
def test_a_package_that_cannot_be_used_is_refused_and_nothing_is_changed(transformers):
    before = state_of(transformers)
    with (
        pytest.raises(UnsupportedFeature, match="'flash' cannot be used.*flash-attn"),
        applied([measure_of("flash")], {"transformer": transformers["flux"]}, CpuHandler()),
    ):
        pass
    assert state_of(transformers) == before


def test_a_device_offers_what_it_has_and_names_it_when_asked_for_more():
    assert available_attentions(CpuHandler()) == ("sdp", "sdp-math", "sliced", "plain")
    cuda = CudaHandler(host=machine(torch=LINUX_CUDA, packages=("xformers", "sageattention")))
    assert set(ATTENTIONS) - set(available_attentions(cuda)) == {"flash"}
    assert check_attention("xformers", cuda) == "xformers"
    assert check_attention(AUTOMATIC, cuda) == AUTOMATIC
    with pytest.raises(
        UnsupportedFeature, match="'xformers' is not available on CPU; available are Automatic, sdp, sdp-math"
    ):
        check_attention("xformers", CpuHandler())


def test_every_name_flag_and_alias_leads_to_a_measure():
    assert set(WAYS) == set(ATTENTIONS)
    assert {*ATTENTION_ALIASES.values(), *ATTENTION_FLAGS.values()} <= set(ATTENTIONS)
    for name in ATTENTIONS:
        assert MEASURES[measure_of(name)]
    assert parse_attention("sdp-no-mem - scaled dot product without memory efficient attention") == "sdp-flash"
    assert parse_attention("Doggettx") == "sliced"
    assert parse_attention("Automatic") is None


def test_a_cheaper_plan_keeps_the_way():
    plan = MemoryPlan((), 1, 8, "sdp-math")
    cheaper = next_plan(plan)
    assert cheaper.attention == "sdp-math"
    assert names_of(cheaper) == ("sdp_math_attention", "vae_slicing")
    assert names_of(MemoryPlan(("vae_tiling",))) == ("vae_tiling",)
