"""Tiny random AuraFlow and Sana as diffusers folders, and their transformers in the naming of the original code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import save
from tests.factories.words import save_gemma_tokenizer


def tiny_auraflow(folder: Path) -> Path:
    """AuraFlow: a UMT5, one block of two streams and one of one."""
    from diffusers.models.transformers.auraflow_transformer_2d import AuraFlowTransformer2DModel
    from transformers import UMT5Config, UMT5EncoderModel

    pieces = save_llama_tokenizer(folder / "tokenizer")
    reader = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}
    with parts.seeded(13):
        components = {
            "text_encoder": UMT5EncoderModel(UMT5Config(vocab_size=pieces, is_encoder_decoder=False, **reader)).eval(),
            "tokenizer": ("transformers", "LlamaTokenizerFast"),
            "transformer": AuraFlowTransformer2DModel(
                sample_size=8,
                num_mmdit_layers=1,
                num_single_dit_layers=1,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=32,
                caption_projection_dim=32,
                pos_embed_max_size=256,
            ).eval(),
            "vae": parts.vae(scale=0.13025),
            "scheduler": parts.flow_scheduler(1.73),
        }
    return save(folder, "AuraFlowPipeline", components, fp16=False, shard=None)


def save_llama_tokenizer(folder: Path) -> int:
    """Write a tokenizer of letters in Llama's manner; returns the size of its vocabulary."""
    from transformers import LlamaTokenizer

    letters = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-"
    pieces = ("<unk>", "<s>", "</s>", *letters)
    tokenizer = LlamaTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, pad_token="</s>")
    tokenizer.save_pretrained(folder)
    return len(pieces)


def tiny_sana(folder: Path) -> Path:
    """Sana: Gemma for the words, linear attention, an autoencoder whose cells are of 32 pixels."""
    from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
    from transformers import Gemma2Config, Gemma2Model

    pieces = save_gemma_tokenizer(folder / "tokenizer")
    reader = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    with parts.seeded(14):
        config = Gemma2Config(
            vocab_size=pieces, num_key_value_heads=1, head_dim=16, max_position_embeddings=2048, **reader
        )
        components = {
            "text_encoder": Gemma2Model(config).eval(),
            "tokenizer": ("transformers", "GemmaTokenizer"),
            "transformer": SanaTransformer2DModel(
                num_attention_heads=4,
                attention_head_dim=8,
                num_layers=2,
                num_cross_attention_heads=2,
                cross_attention_head_dim=16,
                cross_attention_dim=32,
                caption_channels=32,
                sample_size=2,
            ).eval(),
            "vae": deep_vae(),
            "scheduler": DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
        }
    return save(folder, "SanaPipeline", components, fp16=False, shard=None)


def deep_vae() -> Any:
    """An autoencoder of six levels and 32 channels."""
    from diffusers.models.autoencoders.autoencoder_dc import AutoencoderDC

    widths = (8, 8, 8, 16, 16, 32)
    return AutoencoderDC(
        attention_head_dim=8,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        encoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",),
        decoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",),
        encoder_qkv_multiscales=((),) * 5 + ((5,),),
        decoder_qkv_multiscales=((),) * 5 + ((5,),),
        upsample_block_type="interpolate",
        downsample_block_type="conv",
        scaling_factor=0.41407,
    ).eval()


AURA = {
    "time_step_proj.linear_1": "t_embedder.mlp.0",
    "time_step_proj.linear_2": "t_embedder.mlp.2",
    "context_embedder": "cond_seq_linear",
    "pos_embed.proj": "init_x_linear",
    "pos_embed.pos_embed": "positional_encoding",
    "proj_out": "final_linear",
    "joint_transformer_blocks": "double_layers",
    "single_transformer_blocks": "single_layers",
    "ff_context.": "mlpC.",
    "norm1_context.linear": "modC.1",
    "linear_1": "c_fc1",
    "linear_2": "c_fc2",
    "out_projection": "c_proj",
}
AURA_BLOCK = {
    "double_layers": {"ff.": "mlpX.", "norm1.linear": "modX.1", "to_out.0": "w2o"},
    "single_layers": {"ff.": "mlp.", "norm1.linear": "modCX.1", "to_out.0": "w1o"},
}


def auraflow(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of AuraFlow."""
    import torch

    named: dict[str, Any] = {}
    for name, value in weights.items():
        if name == "norm_out.linear.weight":
            scale, shift = value.chunk(2)
            named["modF.1.weight"] = torch.cat([shift, scale])
            continue
        for ours, theirs in AURA.items():
            name = name.replace(ours, theirs)
        for kind, layers in AURA_BLOCK.items():
            for ours, theirs in layers.items() if name.startswith(kind) else ():
                name = name.replace(f".{ours}", f".{theirs}")
        first = "w1" if name.startswith("single") else "w2"
        name = re.sub(r"\.to_([qkv])\.", rf".{first}\1.", name)
        name = re.sub(r"\.add_([qkv])_proj\.", r".w1\1.", name).replace(".to_add_out.", ".w1o.")
        named[name] = value
    return named


SANA = {
    "patch_embed.proj": "x_embedder.proj",
    "caption_projection.linear_": "y_embedder.y_proj.fc",
    "caption_norm": "attention_y_norm",
    "time_embed.emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_embed.emb.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_embed.linear": "t_block.1",
    "proj_out": "final_layer.linear",
    "transformer_blocks": "blocks",
    "attn1.to_out.0": "attn.proj",
    "attn1.norm_q": "attn.q_norm",
    "attn1.norm_k": "attn.k_norm",
    "attn2.to_q": "cross_attn.q_linear",
    "attn2.to_out.0": "cross_attn.proj",
    "attn2.norm_q": "cross_attn.q_norm",
    "attn2.norm_k": "cross_attn.k_norm",
    "ff.conv_inverted": "mlp.inverted_conv.conv",
    "ff.conv_depth": "mlp.depth_conv.conv",
    "ff.conv_point": "mlp.point_conv.conv",
}


def sana(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of Sana."""
    import torch

    named: dict[str, Any] = {}
    for name, value in weights.items():
        if found := re.fullmatch(r"transformer_blocks\.(\d+)\.attn1\.to_q\.weight", name):
            three = [weights[name.replace("to_q", f"to_{letter}")] for letter in "qkv"]
            named[f"blocks.{found[1]}.attn.qkv.weight"] = torch.cat(three)
        elif found := re.fullmatch(r"transformer_blocks\.(\d+)\.attn2\.to_k\.(weight|bias)", name):
            two = [value, weights[name.replace("to_k", "to_v")]]
            named[f"blocks.{found[1]}.cross_attn.kv_linear.{found[2]}"] = torch.cat(two)
        elif name == "scale_shift_table":
            named["final_layer.scale_shift_table"] = value
        elif not re.search(r"attn[12]\.to_[kv]\.", name):
            for ours, theirs in SANA.items():
                name = name.replace(ours, theirs)
            named[name] = value
    return named
