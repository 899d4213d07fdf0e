"""A network on a tiny model of every kind, in names of the original code, on denoiser and text encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.processing_diffusers.conftest import ask, in_threads, link_models, make_engine

QUERY = "transformer_blocks.0.attn1.to_q"
LAYERS = {
    "sdxl": (f"lora_unet_middle_block_1_{QUERY.replace('.', '_')}", f"mid_block.attentions.0.{QUERY}"),
    "sd3": ("lora_unet_joint_blocks_0_x_block_mlp_fc1", "transformer_blocks.0.ff.net.0.proj"),
    "flux": ("lora_unet_double_blocks_0_img_mlp_0", "transformer_blocks.0.ff.net.0.proj"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory, request):
    """An engine with a model of each kind and a network for each."""
    folder = link_models(tmp_path_factory.mktemp("models"), request, tuple(LAYERS))
    made = make_engine(tmp_path_factory.mktemp("engine"), folder)
    (folder / "lora").mkdir()
    engine = made.engine
    for kind, (name, path) in LAYERS.items():
        entry = engine._catalog.find_model(f"tiny-{kind}")
        with engine.storehouse.lease(entry, engine._catalog.family(kind), lambda share, part: None) as model:
            parts = model.fittings.parts
            weight = parts[model.family.denoiser].get_submodule(path).weight
            words = next(
                layer for place, layer in parts["text_encoder"].named_modules() if place.endswith("layers.0.mlp.fc1")
            )
        save_file(
            {**pair(name, weight), **pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", words.weight)},
            str(folder / "lora" / f"{kind}.safetensors"),
        )
    engine.networks.networks.refresh()
    yield made
    engine.close()


def pair(name, weight):
    random = torch.Generator().manual_seed(1)
    outputs, inputs = weight.shape
    return {
        f"{name}.lora_up.weight": torch.randn(outputs, 2, generator=random),
        f"{name}.lora_down.weight": torch.randn(2, inputs, generator=random),
    }


def draw(bench, kind, tag):
    result = bench.draw(ask(f"a red circle{tag}", model=f"tiny-{kind}", steps=2))
    return np.asarray(result.pictures[0].image, np.int16)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_network_changes_denoiser_and_words_apart_and_leaves_nothing(bench, kind):
    plain = draw(bench, kind, "")
    both, drawn, read = (draw(bench, kind, f"<lora:{kind}:{weights}>") for weights in ("1", "0:1", "1:0"))
    assert not np.array_equal(drawn, plain)
    assert not np.array_equal(read, plain)
    assert not np.array_equal(both, drawn)
    beside = in_threads([lambda tag=tag: draw(bench, kind, tag) for tag in ("", f"<lora:{kind}:1>")])
    assert np.abs(beside[0] - plain).max() <= 1
    assert np.abs(beside[1] - both).max() <= 1
    assert np.array_equal(draw(bench, kind, f"<lora:{kind}:0>"), plain)
