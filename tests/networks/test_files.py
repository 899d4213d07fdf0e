"""Which layer a name in a file means, and what a header tells, without a weight being looked at."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from modules.networks.header import alias_of, base_of, base_of_vectors, facts_of, words_of
from modules.networks.parameters import group_by_layer, split_key
from modules.networks.places import LayerIndex
from modules.networks.vector_files import bundles_of, fits, is_embedding, word_of


@pytest.mark.parametrize(
    ("key", "layer", "meaning"),
    [
        ("lora_unet_conv_in.lora_down.weight", "lora_unet_conv_in", "down"),
        ("lora_unet_conv_in.alpha", "lora_unet_conv_in", "alpha"),
        ("unet.mid.to_q.lora_A.weight", "unet.mid.to_q", "down"),
        ("base_model.model.fc.lora_B.default.weight", "base_model.model.fc", "up"),
        ("unet.a.attn1.processor.to_out_lora.up.weight", "unet.a.attn1.to_out.0", "up"),
        ("text_encoder.x.q_proj.lora_linear_layer.down.weight", "text_encoder.x.q_proj", "down"),
        ("t.fc.lora_magnitude_vector", "t.fc", "dora_scale"),
        ("lycoris_x.hada_w1_a", "lycoris_x", "hada_w1_a"),
        ("x.lokr_w2", "x", "lokr_w2"),
        ("x.oft_R.weight", "x", "oft_r"),
        ("x.diff_b", "x", "diff_b"),
        ("base_model.model.fc.boft_R", "base_model.model.fc", "boft_R"),
        ("lycoris_x.a1.weight", "lycoris_x", "a1"),
        ("lycoris_x.bm.weight", "lycoris_x", "bm"),
    ],
)
def test_every_way_of_naming_is_read(key, layer, meaning):
    assert split_key(key) == (layer, meaning)


def test_a_bare_weight_belongs_to_ia3_only():
    layers, strange = group_by_layer({"a.weight": 1, "a.on_input": 2, "b.weight": 3, "c": 4})
    assert layers == {"a": {"weight": 1, "on_input": 2}}
    assert sorted(strange) == ["b.weight", "c"]


def unet(**config):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(
            block_out_channels=(8, 16, 16),
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=12,
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            **config,
        )


def encoder(**config):
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        return CLIPTextModel(
            CLIPTextConfig(hidden_size=12, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, **config)
        )


@pytest.fixture(scope="module")
def sdxl():
    """The index of a model shaped like SDXL: attention in the second and third level, two text encoders."""
    return LayerIndex("unet", {"unet": unet(), "text_encoder": encoder(), "text_encoder_2": encoder()})


ATTENTION = "transformer_blocks.0.attn2.to_k"
FLAT = ATTENTION.replace(".", "_")


@pytest.mark.parametrize(
    ("name", "part", "path"),
    [
        (f"lora_unet_down_blocks_1_attentions_0_{FLAT}", "unet", f"down_blocks.1.attentions.0.{ATTENTION}"),
        (f"lora_unet_input_blocks_4_1_{FLAT}", "unet", f"down_blocks.1.attentions.0.{ATTENTION}"),
        (f"lora_unet_input_blocks_8_1_{FLAT}", "unet", f"down_blocks.2.attentions.1.{ATTENTION}"),
        (f"lycoris_output_blocks_2_1_{FLAT}", "unet", f"up_blocks.0.attentions.2.{ATTENTION}"),
        (f"lora_unet_middle_block_1_{FLAT}", "unet", f"mid_block.attentions.0.{ATTENTION}"),
        ("lora_unet_input_blocks_1_0_in_layers_2", "unet", "down_blocks.0.resnets.0.conv1"),
        ("lora_unet_output_blocks_0_0_skip_connection", "unet", "up_blocks.0.resnets.0.conv_shortcut"),
        ("lora_unet_output_blocks_2_2_conv", "unet", "up_blocks.0.upsamplers.0.conv"),
        ("lora_unet_input_blocks_3_0_op", "unet", "down_blocks.0.downsamplers.0.conv"),
        ("lora_unet_middle_block_2_emb_layers_1", "unet", "mid_block.resnets.1.time_emb_proj"),
        ("lora_unet_time_embed_0", "unet", "time_embedding.linear_1"),
        ("lora_unet_out_2", "unet", "conv_out"),
        (f"unet.down_blocks.1.attentions.0.{ATTENTION}", "unet", f"down_blocks.1.attentions.0.{ATTENTION}"),
        (f"base_model.model.mid_block.attentions.0.{ATTENTION}", "unet", f"mid_block.attentions.0.{ATTENTION}"),
        (f"diffusion_model.input_blocks.4.1.{ATTENTION}", "unet", f"down_blocks.1.attentions.0.{ATTENTION}"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "text_encoder", "encoder.layers.0.mlp.fc1"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", "text_encoder_2", "encoder.layers.0.mlp.fc1"),
        ("lora_te_text_model_encoder_layers_0_self_attn_q_proj", "text_encoder", "encoder.layers.0.self_attn.q_proj"),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc2", "text_encoder_2", "encoder.layers.0.mlp.fc2"),
    ],
)  # fmt: skip
def test_names_for_a_unet_and_its_encoders(sdxl, name, part, path):
    (place,) = sdxl.find(name)
    assert (place.part, place.path.removeprefix("text_model."), place.outputs) == (part, path, None)


@pytest.mark.parametrize("name", ["lora_unet_input_blocks_40_1_proj_in", "lora_te3_encoder_x", "nothing.of.it"])
def test_names_of_other_models_are_found_nowhere(sdxl, name):
    assert sdxl.find(name) == ()


def test_the_flux_names_of_the_original_are_cut_in_pieces():
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        flux = FluxTransformer2DModel(
            num_layers=2, num_single_layers=2, attention_head_dim=4, num_attention_heads=2, joint_attention_dim=8,
            pooled_projection_dim=8, in_channels=4, axes_dims_rope=(2, 2, 0),
        )  # fmt: skip
    index = LayerIndex("transformer", {"transformer": flux})
    qkv = index.find("lora_unet_double_blocks_1_img_attn_qkv")
    assert [place.path for place in qkv] == [f"transformer_blocks.1.attn.to_{letter}" for letter in "qkv"]
    assert [place.outputs for place in qkv] == [(0, 8), (8, 16), (16, 24)]
    whole = index.find("diffusion_model.single_blocks.0.linear1")
    assert whole[-1].path == "single_transformer_blocks.0.proj_mlp"
    assert whole[-1].outputs == (24, 56)
    (out,) = index.find("transformer.single_transformer_blocks.1.proj_out")
    assert out.path == "single_transformer_blocks.1.proj_out"
    (last,) = index.find("lora_unet_final_layer_adaLN_modulation_1")
    assert last.swapped


def test_the_sd3_names_of_the_original():
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        sd3 = SD3Transformer2DModel(
            sample_size=8, num_layers=2, attention_head_dim=4, num_attention_heads=2, joint_attention_dim=8,
            caption_projection_dim=8, pooled_projection_dim=8, in_channels=4, dual_attention_layers=(0,),
        )  # fmt: skip
    index = LayerIndex("transformer", {"transformer": sd3})
    assert [one.path for one in index.find("lora_unet_joint_blocks_0_x_block_attn2_qkv")] == [
        f"transformer_blocks.0.attn2.to_{letter}" for letter in "qkv"
    ]
    assert (
        index.find("lora_unet_joint_blocks_1_context_block_attn_qkv")[1].path == "transformer_blocks.1.attn.add_k_proj"
    )
    assert index.find("lora_unet_joint_blocks_1_x_block_mlp_fc1")[0].path == "transformer_blocks.1.ff.net.0.proj"


def test_t5_is_the_third_encoder_for_trainers_wherever_it_stands():
    t5 = nn.Module()
    t5.encoder, t5.shared = nn.Module(), nn.Embedding(2, 2)
    t5.encoder.wo = nn.Linear(2, 2)
    clip = nn.Module()
    clip.fc = nn.Linear(2, 2)
    denoiser = nn.Module()
    index = LayerIndex("transformer", {"transformer": denoiser, "text_encoder": clip, "text_encoder_2": t5})
    assert index.find("lora_te3_encoder_wo")[0].part == "text_encoder_2"
    assert index.find("text_encoders.t5xxl.transformer.encoder.wo")[0].part == "text_encoder_2"
    assert index.find("lora_te1_fc")[0].part == "text_encoder"


def test_a_header_tells_method_rank_words_and_alias():
    frequency = {"10_a": {"cat": 3, "a hat": 9}, "2_b": {"cat": 8, "broken": "x"}}
    metadata = {"ss_tag_frequency": json.dumps(frequency), "ss_output_name": "Cats", "long": "x" * 5000}
    shapes = {
        "lora_unet_x_attn2_to_k.lora_down.weight": (8, 768),
        "lora_unet_x_attn2_to_k.lora_up.weight": (320, 8),
        "lora_unet_x_attn2_to_k.dora_scale": (320, 1),
    }
    facts = facts_of("lora", shapes, metadata)
    assert facts.methods == ("LoRA", "DoRA")
    assert (facts.size, facts.base) == (8, "sd15")
    assert facts.words == (("cat", 11), ("a hat", 9))
    assert "long" not in facts.metadata
    assert alias_of("file", metadata) == "Cats"
    assert alias_of("file", {}) == "file"
    assert words_of({"ss_tag_frequency": "{broken", "modelspec.trigger_phrase": "one, two"}) == (("one", 1), ("two", 1))


@pytest.mark.parametrize(
    ("shapes", "metadata", "base"),
    [
        ({}, {"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ({}, {"modelspec.architecture": "flux-1-dev/lora"}, "flux"),
        ({"lora_te2_x.lora_down.weight": (4, 1280)}, {}, "sdxl"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)}, {}, "flux"),
        ({"lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight": (4, 1536)}, {}, "sd3"),
        ({"lora_unet_down_attn2_to_k.lora_down.weight": (4, 1024)}, {}, "sd2"),
        ({"x.lora_down.weight": (4, 7)}, {}, None),
    ],
)
def test_the_base_model_is_told_by_words_or_widths(shapes, metadata, base):
    assert base_of(shapes, metadata) == base


def test_layouts_of_embeddings():
    assert is_embedding({"emb_params": (3, 768)})
    assert word_of({"<cat>": (768,)}) == "<cat>"
    assert word_of({"emb_params": (3, 768)}) is None
    assert is_embedding({"clip_l": (2, 768), "clip_g": (2, 1280)})
    assert not is_embedding({"a": (2, 768), "b": (2, 768)})
    assert not is_embedding({"lora_unet_x.lora_down.weight": (2, 768)})
    assert base_of_vectors({"clip_l": (2, 768), "clip_g": (2, 1280)}) == "sdxl"
    pair = {"text_encoder": 768, "text_encoder_2": 1280}
    assert fits({"clip_l": (2, 768), "clip_g": (2, 1280)}, pair)
    assert not fits({"emb_params": (2, 768)}, pair)
    assert fits({"emb_params": (2, 768)}, {"text_encoder": 768})


def test_a_header_tells_butterflies_and_generalised_pairs_and_what_comes_along():
    shapes = {
        "lycoris_x.oft_blocks": (2, 4, 8, 8),
        "lycoris_y.a1.weight": (32, 6),
        "bundle_emb.v1.5 cat.string_to_param.*": (2, 768),
    }
    facts = facts_of("lora", shapes, {"modelspec.trigger_phrase": "dog"})
    assert facts.methods == ("BOFT", "GLoRA", "Textual inversion")
    assert (facts.size, facts.words) == (6, (("v1.5 cat", 0), ("dog", 1)))
    assert facts_of("lora", {"x.oft_blocks": (4, 8, 8)}, {}).methods == ("OFT",)


def test_bundled_embeddings_are_told_apart_by_word():
    given = {
        "bundle_emb.a.b.string_to_param.*": 1,
        "bundle_emb.a.b.string_to_token.*": 2,
        "bundle_emb.c.clip_l": 3,
        "bundle_emb.c.clip_g": 4,
        "bundle_emb.d.emb_params": 5,
        "bundle_emb. .emb_params": 6,
        "bundle_emb.e.step": 7,
        "lora_unet_x.alpha": 8,
    }
    assert bundles_of(given) == {"a.b": {"emb_params": 1}, "c": {"clip_l": 3, "clip_g": 4}, "d": {"emb_params": 5}}
