"""Tiny random Flux.2 dev and Klein as diffusers folders, and their transformer in the naming of the original code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import save
from tests.factories.words import save_mistral_processor, save_qwen_tokenizer


def tiny_flux2(folder: Path) -> Path:
    """Flux.2 dev: three layers of Mistral, whose eyes are there, too, and guidance as an input."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    pieces = save_mistral_processor(folder / "tokenizer")
    with parts.seeded(18):
        config = Mistral3Config(
            text_config={
                **LANGUAGE,
                "model_type": "mistral",
                "vocab_size": pieces,
                "head_dim": 128,
                "rms_norm_eps": 1e-5,
                "sliding_window": None,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1000000000.0},
            },
            vision_config={
                "model_type": "pixtral",
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "head_dim": 8,
                "image_size": 32,
                "patch_size": 8,
            },
            image_token_index=pieces - 1,
        )
        components = {
            "text_encoder": Mistral3ForConditionalGeneration(config).eval(),
            "tokenizer": ("transformers", "PixtralProcessor"),
            **_drawing_parts(guidance=True),
        }
    return save(folder, "Flux2Pipeline", components, fp16=False, shard=None)


def tiny_flux2_klein(folder: Path) -> Path:
    """Flux.2 Klein: three layers of Qwen3."""
    from transformers import Qwen3Config, Qwen3Model

    pieces = save_qwen_tokenizer(folder / "tokenizer")
    with parts.seeded(17):
        components = {
            "text_encoder": Qwen3Model(Qwen3Config(**LANGUAGE, vocab_size=pieces)).eval(),
            "tokenizer": ("transformers", "Qwen2TokenizerFast"),
            **_drawing_parts(guidance=False),
            "is_distilled": True,
        }
    return save(folder, "Flux2KleinPipeline", components, fp16=False, shard=None)


LANGUAGE = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 1024,
}
"""Sizes of the tiny language models."""


def _drawing_parts(*, guidance: bool) -> dict[str, Any]:
    from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel

    return {
        "transformer": Flux2Transformer2DModel(
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=48,
            axes_dims_rope=(2, 2, 2, 2),
            timestep_guidance_channels=32,
            guidance_embeds=guidance,
        ).eval(),
        "vae": even_vae(),
        "scheduler": parts.flow_scheduler(3.0, dynamic=True),
    }


def even_vae() -> Any:
    """An autoencoder of four levels and 32 channels with statistics of its latents."""
    from diffusers.models.autoencoders.autoencoder_kl_flux2 import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2(block_out_channels=(32,) * 4, layers_per_block=1, sample_size=64)
    vae.bn.running_mean.normal_(std=0.1)
    vae.bn.running_var.uniform_(0.5, 2.0)
    return vae.eval()


FLUX2 = {
    "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_guidance_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_guidance_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "modulation_img.linear": "modulation_img.lin",
    "modulation_txt.linear": "modulation_txt.lin",
    "modulation.linear": "modulation.lin",
    "single_transformer_blocks": "single_blocks",
    "transformer_blocks": "double_blocks",
    "attn.to_qkv_mlp_proj": "linear1",
    "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
    "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff_context.linear_in": "txt_mlp.0",
    "ff_context.linear_out": "txt_mlp.2",
    "ff.linear_in": "img_mlp.0",
    "ff.linear_out": "img_mlp.2",
    "attn.to_out": "linear2",
}
STREAMS = {"img": ("to_q", "to_k", "to_v"), "txt": ("add_q_proj", "add_k_proj", "add_v_proj")}


def flux2(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of Flux.2."""
    import torch

    named: dict[str, Any] = {}
    for name, value in weights.items():
        if name == "norm_out.linear.weight":
            scale, shift = value.chunk(2)
            named["final_layer.adaLN_modulation.1.weight"] = torch.cat([shift, scale])
        elif name == "proj_out.weight":
            named["final_layer.linear.weight"] = value
        elif found := re.fullmatch(r"transformer_blocks\.(\d+)\.attn\.(to_q|add_q_proj)\.weight", name):
            stream = "img" if found[2] == "to_q" else "txt"
            three = [weights[name.replace(found[2], layer)] for layer in STREAMS[stream]]
            named[f"double_blocks.{found[1]}.{stream}_attn.qkv.weight"] = torch.cat(three)
        elif not re.search(r"\.(to_[kv]|add_[kv]_proj)\.weight$", name):
            single = name.startswith("single")
            for ours, theirs in FLUX2.items():
                name = name.replace(ours, theirs)
            norms = "norm" if single else "img_attn.norm"
            name = name.replace("attn.norm_q.weight", f"{norms}.query_norm.scale")
            named[name.replace("attn.norm_k.weight", f"{norms}.key_norm.scale")] = value
    return named
