"""Measures compute the same, do what they promise, and can be taken back without a trace."""

from __future__ import annotations

import threading

import pytest
import torch

from modules.memory.measures import MEASURES, SharedMeasures, applied
from modules.support.registry import RegistryError
from tests.factories import parts
from tests.memory.devices import RecordingHandler

WORDS = {f"word{number}": number for number in range(40)} | {"<|startoftext|>": 40, "<|endoftext|>": 41}
ALL = ("attention_slicing", "vae_slicing", "vae_tiling", "model_offload", "sequential_offload", "text_encoder_cpu")


@pytest.fixture(scope="module")
def components():
    """A small model of three parts."""
    with parts.seeded(4):
        return {
            "text_encoder": parts.clip_text(WORDS, 32, activation="gelu"),
            "tokenizer": object(),
            "unet": parts.unet((32, 32), 32, sample_size=8),
            "vae": parts.vae(),
            "safety_checker": None,
        }


def draw(components):
    """A call of every part: text, denoiser, encoder and decoder."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    tokens = torch.tensor([[40, 1, 2, 41]] * 2)
    with torch.no_grad():
        words = components["text_encoder"](tokens).last_hidden_state
        noise = components["unet"](latents, torch.tensor([3, 500]), encoder_hidden_states=words).sample
        picture = components["vae"].decode(noise).sample
        return words, noise, picture, components["vae"].encode(picture).latent_dist.mean


def state_of(components):
    """Everything a measure could leave behind: attributes, hooks, processors, parameter objects and their values."""
    found = {}
    for name, part in components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        for path, module in part.named_modules():
            key = f"{name}.{path}"
            found[key] = {
                "attributes": {
                    field: id(value) if callable(value) else repr(value)
                    for field, value in vars(module).items()
                    if field not in ("_parameters", "_buffers", "_modules")
                },
                "hooks": (len(module._forward_hooks), len(module._forward_pre_hooks)),
                "parameters": {field: id(value) for field, value in module._parameters.items()},
                "buffers": {field: id(value) for field, value in module._buffers.items()},
            }
        found[f"{name} values"] = {
            field: (tensor.dtype, tensor.device, tensor.numpy().tobytes() if tensor.device.type == "cpu" else b"")
            for field, tensor in part.state_dict().items()
        }
    return found


@pytest.mark.parametrize("name", ALL)
def test_a_measure_draws_the_same_and_leaves_no_trace(name, components):
    before, expected = state_of(components), draw(components)
    with applied([name], components, RecordingHandler()):
        assert state_of(components) != before
        found = draw(components)
    for got, wanted in zip(found, expected, strict=True):
        assert torch.allclose(got, wanted, atol=2e-5)
    assert state_of(components) == before


@pytest.mark.parametrize("name", ALL)
def test_a_measure_is_taken_back_when_the_work_fails(name, components):
    before = state_of(components)
    with pytest.raises(ZeroDivisionError), applied([name], components, RecordingHandler()):
        draw(components)
        raise ZeroDivisionError
    assert state_of(components) == before


@pytest.mark.parametrize("name", ["model_offload", "sequential_offload", "text_encoder_cpu"])
def test_a_call_that_fails_blocks_nobody_after_it(name, components):
    with applied([name], components, RecordingHandler()):
        with pytest.raises((RuntimeError, TypeError, ValueError, IndexError)):
            components["text_encoder"](torch.tensor([[10_000]]))
        done = []
        thread = threading.Thread(target=lambda: done.append(draw(components)))
        thread.start()
        thread.join(60)
        assert done


def test_all_that_go_together_leave_no_trace_either(components):
    before, expected = state_of(components), draw(components)
    with applied(("model_offload", "attention_slicing", "vae_slicing", "vae_tiling"), components, RecordingHandler()):
        found = draw(components)
    assert torch.allclose(found[2], expected[2], atol=2e-5)
    assert state_of(components) == before


def test_one_measure_that_fails_takes_back_those_before_it(components):
    before = state_of(components)
    registry = MEASURES.copy()

    def broken(components, handler):
        raise RuntimeError("no")

    registry.add("broken", broken)
    with (
        pytest.raises(RuntimeError, match="no"),
        applied(["vae_slicing", "broken"], components, RecordingHandler(), registry),
    ):
        pass
    assert state_of(components) == before


def test_an_unknown_measure_is_an_error_that_lists_the_known_ones(components):
    before = state_of(components)
    with pytest.raises(KeyError, match="vae_tiling"), applied(["vae_slicing", "magic"], components, RecordingHandler()):
        pass
    assert state_of(components) == before


def test_a_measure_cannot_be_registered_twice():
    with pytest.raises(RegistryError):
        MEASURES.copy().add("vae_tiling", MEASURES["vae_tiling"])


def test_an_offloaded_part_tells_a_pipeline_where_it_computes(components):
    with applied(["model_offload"], components, RecordingHandler()):
        assert components["unet"]._hf_hook.execution_device == torch.device("cpu")


def test_an_fp16_text_encoder_is_widened_for_the_call_only():
    seen = []

    class Encoder(torch.nn.Linear):
        def forward(self, x):
            seen.append(self.weight.dtype)
            return {"embeds": super().forward(x.to(self.weight.dtype)), "mask": torch.ones(1, dtype=torch.long)}

    encoder = Encoder(4, 4).half()
    values = encoder.weight.clone()
    with applied(["text_encoder_cpu"], {"text_encoder_2": encoder}, RecordingHandler()):
        out = encoder(torch.ones(1, 4))
        assert encoder.weight.dtype == torch.float16
    assert seen == [torch.float32]
    assert out["embeds"].dtype == torch.float16
    assert out["mask"].dtype == torch.long
    assert torch.equal(encoder.weight, values)


def test_a_processor_that_does_more_than_attention_is_left_alone(components):
    class Adapter:
        def __call__(self, *args, **kwargs):
            raise AssertionError

    layers = [
        layer
        for layer in components["unet"].modules()
        if hasattr(layer, "set_attention_slice") and hasattr(layer, "processor")
    ]
    before, special = layers[0].processor, Adapter()
    layers[0].processor = special
    try:
        with applied(["attention_slicing"], components, RecordingHandler()):
            assert layers[0].processor is special
            assert type(layers[1].processor).__name__ == "SlicedAttnProcessor"
    finally:
        layers[0].processor = before


def test_a_tiny_autoencoder_of_sixteen_channels_is_not_tiled():
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    for channels, tiled in ((4, True), (16, False)):
        vae = AutoencoderTiny(
            latent_channels=channels, encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4
        )
        with applied(["vae_tiling"], {"vae": vae}, RecordingHandler()):
            assert vae.use_tiling is tiled


def test_a_patch_left_on_an_offloaded_part_is_noticed():
    components = {"unet": torch.nn.Linear(2, 2)}
    with pytest.raises(RuntimeError, match="not put back"), applied(["model_offload"], components, RecordingHandler()):
        components["unet"].forward = lambda x: x


def test_lanes_share_the_same_measures_until_the_last_one_leaves(components):
    before, shared, handler = state_of(components), SharedMeasures(), RecordingHandler()
    first = shared.applied(["vae_slicing"], components, handler)
    second = shared.applied(["vae_slicing"], components, handler)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert components["vae"].use_slicing
    second.__exit__(None, None, None)
    assert state_of(components) == before


def test_a_lane_with_other_measures_waits_for_the_first(components):
    shared, handler = SharedMeasures(), RecordingHandler()
    entered, seen = threading.Event(), []

    def other():
        with shared.applied(["vae_tiling"], components, handler):
            seen.append((components["vae"].use_slicing, components["vae"].use_tiling))
            entered.set()

    with shared.applied(["vae_slicing"], components, handler):
        thread = threading.Thread(target=other)
        thread.start()
        assert not entered.wait(0.1)
        assert not components["vae"].use_tiling
    thread.join(10)
    assert seen == [(False, True)]


def test_lanes_without_measures_never_wait_for_one_another(components):
    shared, handler = SharedMeasures(), RecordingHandler()
    other = {**components, "vae": parts.vae()}
    with shared.applied([], components, handler), shared.applied([], other, handler):
        assert len(draw(components)) == len(draw(other))  # both are in at once


def test_lanes_with_the_same_measures_but_another_vae_take_turns(components):
    shared, handler = SharedMeasures(), RecordingHandler()
    other = {**components, "vae": parts.vae()}
    done = threading.Event()

    def second():
        with shared.applied(["model_offload"], other, handler):
            draw(other)
        done.set()

    with shared.applied(["model_offload"], components, handler):
        thread = threading.Thread(target=second)
        thread.start()
        draw(components)
        assert not done.is_set()
    thread.join(60)
    assert done.is_set()


def test_models_that_share_nothing_do_not_wait(components):
    shared, handler, apart = SharedMeasures(), RecordingHandler(), {"vae": parts.vae()}
    with (
        shared.applied(["vae_slicing"], components, handler),
        shared.applied(["vae_tiling"], apart, handler),
    ):
        assert (components["vae"].use_slicing, components["vae"].use_tiling) == (True, False)
        assert (apart["vae"].use_slicing, apart["vae"].use_tiling) == (False, True)


def test_a_lane_that_waits_is_not_overtaken_by_those_that_come_later(components):
    shared, handler, order = SharedMeasures(), RecordingHandler(), []

    def lane(measures, name):
        with shared.applied(measures, components, handler):
            order.append(name)

    def start(measures, name, waiting):
        thread = threading.Thread(target=lane, args=(measures, name))
        thread.start()
        for _ in range(1000):
            if len(shared._waiting) == waiting:
                return thread
            threading.Event().wait(0.005)
        raise AssertionError("the lane did not wait")

    with shared.applied([], components, handler):
        threads = [start(["vae_tiling"], "tiled", 1), start([], "plain", 2)]
    for thread in threads:
        thread.join(10)
    assert order == ["tiled", "plain"]


def test_a_shared_measure_that_fails_to_start_holds_nothing(components):
    shared = SharedMeasures()
    with pytest.raises(KeyError), shared.applied(["magic"], components, RecordingHandler()):
        pass
    with shared.applied(["vae_slicing"], components, RecordingHandler()):
        assert components["vae"].use_slicing
