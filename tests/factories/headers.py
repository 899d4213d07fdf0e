"""Safetensors files with names and shapes but no weights: sparse files that take no room on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I64": 8}


def header_of(shapes: Mapping[str, tuple[int, ...]], dtype: str = "F16") -> dict[str, Any]:
    """The header's JSON for tensors that lie one after the other."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    return header


def write_raw(path: Path, header: bytes, data: int) -> Path:
    """A file with exactly this header and that many zero bytes of data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + data)
    return path


def write_weightless(
    path: Path, shapes: Mapping[str, tuple[int, ...]], *, dtype: str = "F16", metadata: dict[str, str] | None = None
) -> Path:
    """A sound file of the given names and shapes; all weights are zero."""
    header = header_of(shapes, dtype)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if metadata is not None:
        header["__metadata__"] = metadata
    return write_raw(path, json.dumps(header).encode(), end)


def ldm_unet(context: int, channels: int = 4) -> dict[str, tuple[int, ...]]:
    """The telling weights of a UNet in LDM naming."""
    return {
        "model.diffusion_model.input_blocks.0.0.weight": (320, channels, 3, 3),
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, context),
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, context),
        "model.diffusion_model.out.2.weight": (4, 320, 3, 3),
    }


def ldm_xl(context: int, label: int, channels: int = 4) -> dict[str, tuple[int, ...]]:
    """The telling weights of an SDXL-like UNet in LDM naming."""
    return {**ldm_unet(context, channels), "model.diffusion_model.label_emb.0.0.weight": (1280, label)}


def diffusers_unet(context: int, channels: int = 4, prefix: str = "unet.") -> dict[str, tuple[int, ...]]:
    """The telling weights of a UNet in diffusers naming."""
    return {
        f"{prefix}conv_in.weight": (320, channels, 3, 3),
        f"{prefix}mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": (1280, context),
        f"{prefix}conv_out.weight": (4, 320, 3, 3),
    }


LDM_VAE = {"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3), "first_stage_model.decoder.up.0.x": (1,)}
LDM_CLIP = {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768)}
SD3 = {
    "model.diffusion_model.x_embedder.proj.weight": (1536, 16, 2, 2),
    "model.diffusion_model.context_embedder.weight": (1536, 4096),
    "model.diffusion_model.pos_embed": (1, 36864, 1536),
    "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (4608, 1536),
    "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.weight": (9216, 1536),
}
FLUX = {
    "img_in.weight": (3072, 64),
    "txt_in.weight": (3072, 4096),
    "vector_in.in_layer.weight": (3072, 768),
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    "single_blocks.0.linear1.weight": (21504, 3072),
}
FLUX_GUIDANCE = {"guidance_in.in_layer.weight": (3072, 256)}
FLUX_DIFFUSERS = {
    "x_embedder.weight": (3072, 64),
    "transformer_blocks.0.attn.add_q_proj.weight": (3072, 3072),
    "single_transformer_blocks.0.proj_mlp.weight": (12288, 3072),
    "time_text_embed.text_embedder.linear_1.weight": (3072, 768),
}
SD3_DIFFUSERS = {
    "pos_embed.proj.weight": (1536, 16, 2, 2),
    "context_embedder.weight": (1536, 4096),
    "transformer_blocks.0.attn.add_q_proj.weight": (1536, 1536),
    "time_text_embed.text_embedder.linear_1.weight": (1536, 2048),
}
CHROMA = {
    **{name: shape for name, shape in FLUX.items() if not name.startswith("vector_in")},
    "distilled_guidance_layer.in_proj.weight": (5120, 64),
}
CHROMA_DIFFUSERS = {
    **{name: shape for name, shape in FLUX_DIFFUSERS.items() if not name.startswith("time_text_embed")},
    "distilled_guidance_layer.in_proj.weight": (5120, 64),
}
PIXART = {
    "x_embedder.proj.weight": (1152, 4, 2, 2),
    "y_embedder.y_proj.fc1.weight": (1152, 4096),
    "t_block.1.weight": (6912, 1152),
    "blocks.0.cross_attn.kv_linear.weight": (2304, 1152),
    "final_layer.scale_shift_table": (2, 1152),
}
PIXART_DIFFUSERS = {
    "pos_embed.proj.weight": (1152, 4, 2, 2),
    "adaln_single.linear.weight": (6912, 1152),
    "caption_projection.linear_1.weight": (1152, 4096),
    "transformer_blocks.0.attn2.to_k.weight": (1152, 1152),
    "scale_shift_table": (2, 1152),
}
Z_IMAGE = {
    "x_embedder.weight": (3840, 64),
    "cap_embedder.1.weight": (3840, 2560),
    "x_pad_token": (1, 3840),
    "cap_pad_token": (1, 3840),
    "layers.0.attention.qkv.weight": (11520, 3840),
}
Z_IMAGE_DIFFUSERS = {
    "all_x_embedder.2-1.weight": (3840, 64),
    "cap_embedder.1.weight": (3840, 2560),
    "x_pad_token": (1, 3840),
    "cap_pad_token": (1, 3840),
    "layers.0.attention.to_q.weight": (3840, 3840),
}
HUNYUAN_DIT = {
    "text_embedding_padding": (333, 1024),
    "mlp_t5.0.weight": (8192, 2048),
    "x_embedder.proj.weight": (1408, 4, 2, 2),
    "blocks.0.attn1.Wqkv.weight": (4224, 1408),
    "pooler.positional_embedding": (257, 2048),
}
HUNYUAN_DIT_DIFFUSERS = {
    "text_embedding_padding": (333, 1024),
    "pos_embed.proj.weight": (1408, 4, 2, 2),
    "text_embedder.linear_1.weight": (8192, 2048),
    "blocks.0.attn1.to_q.weight": (1408, 1408),
    "time_extra_emb.pooler.positional_embedding": (257, 2048),
}
KANDINSKY5 = {
    "visual_embeddings.in_layer.weight": (2560, 64),
    "pooled_text_embeddings.in_layer.weight": (512, 768),
    "text_transformer_blocks.0.text_modulation.out_layer.weight": (15360, 512),
    "visual_transformer_blocks.0.cross_attention.key_norm.weight": (128,),
    "out_layer.out_layer.weight": (64, 2560),
}
CASCADE = {
    "embedding.1.weight": (2048, 16, 1, 1),
    "clip_txt_mapper.weight": (2048, 1280),
    "clip_txt_pooled_mapper.weight": (8192, 1280),
    "clip_img_mapper.weight": (8192, 768),
    "down_blocks.0.0.depthwise.weight": (2048, 1, 3, 3),
    "down_blocks.0.2.attention.attn.in_proj_weight": (6144, 2048),
}
CASCADE_DIFFUSERS = {
    **{name: shape for name, shape in CASCADE.items() if "in_proj" not in name},
    "down_blocks.0.2.attention.to_q.weight": (2048, 2048),
}
KOLORS_DIFFUSERS = {
    "conv_in.weight": (320, 4, 3, 3),
    "encoder_hid_proj.weight": (2048, 4096),
    "add_embedding.linear_1.weight": (1280, 5632),
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": (1280, 2048),
}
FLUX2 = {
    "img_in.weight": (6144, 128),
    "txt_in.weight": (6144, 15360),
    "guidance_in.in_layer.weight": (6144, 256),
    "double_stream_modulation_img.lin.weight": (36864, 6144),
    "single_stream_modulation.lin.weight": (18432, 6144),
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
}
FLUX2_DIFFUSERS = {
    "x_embedder.weight": (6144, 128),
    "context_embedder.weight": (6144, 15360),
    "time_guidance_embed.guidance_embedder.linear_1.weight": (6144, 256),
    "double_stream_modulation_img.linear.weight": (36864, 6144),
    "single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight": (55296, 6144),
}
FLUX2_KLEIN = {
    "img_in.weight": (3072, 128),
    "txt_in.weight": (3072, 7680),
    "double_stream_modulation_img.lin.weight": (18432, 3072),
    "single_stream_modulation.lin.weight": (9216, 3072),
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
}
FLUX2_KLEIN_DIFFUSERS = {
    "x_embedder.weight": (3072, 128),
    "context_embedder.weight": (3072, 7680),
    "double_stream_modulation_img.linear.weight": (18432, 3072),
    "single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight": (27648, 3072),
}
AURAFLOW = {
    "register_tokens": (1, 8, 3072),
    "init_x_linear.weight": (3072, 16),
    "cond_seq_linear.weight": (3072, 2048),
    "double_layers.0.attn.w2q.weight": (3072, 3072),
    "single_layers.0.attn.w1q.weight": (3072, 3072),
}
AURAFLOW_DIFFUSERS = {
    "register_tokens": (1, 8, 3072),
    "pos_embed.proj.weight": (3072, 16),
    "context_embedder.weight": (3072, 2048),
    "joint_transformer_blocks.0.attn.add_q_proj.weight": (3072, 3072),
}
SANA = {
    "x_embedder.proj.weight": (2240, 32, 1, 1),
    "y_embedder.y_proj.fc1.weight": (2240, 2304),
    "attention_y_norm.weight": (2240,),
    "t_block.1.weight": (13440, 2240),
    "blocks.0.cross_attn.kv_linear.weight": (4480, 2240),
    "blocks.0.mlp.inverted_conv.conv.weight": (11200, 2240, 1, 1),
    "final_layer.scale_shift_table": (2, 2240),
}
SANA_DIFFUSERS = {
    "patch_embed.proj.weight": (2240, 32, 1, 1),
    "caption_norm.weight": (2240,),
    "time_embed.linear.weight": (13440, 2240),
    "transformer_blocks.0.ff.conv_inverted.weight": (11200, 2240, 1, 1),
    "scale_shift_table": (2, 2240),
}
QWEN_IMAGE = {
    "img_in.weight": (3072, 64),
    "txt_in.weight": (3072, 3584),
    "txt_norm.weight": (3584,),
    "transformer_blocks.0.img_mod.1.weight": (18432, 3072),
    "transformer_blocks.0.attn.add_q_proj.weight": (3072, 3072),
}
WAN = {
    "patch_embedding.weight": (5120, 16, 1, 2, 2),
    "text_embedding.0.weight": (5120, 4096),
    "time_projection.1.weight": (30720, 5120),
    "blocks.0.cross_attn.norm_k.weight": (5120,),
    "head.modulation": (1, 2, 5120),
    "head.head.weight": (64, 5120),
}
LTX = {
    "patchify_proj.weight": (2048, 128),
    "adaln_single.linear.weight": (12288, 2048),
    "caption_projection.linear_1.weight": (2048, 4096),
    "transformer_blocks.0.attn1.q_norm.weight": (2048,),
    "transformer_blocks.0.attn2.to_k.weight": (2048, 2048),
    "scale_shift_table": (2, 2048),
}
LTX_DIFFUSERS = {
    "proj_in.weight": (2048, 128),
    "time_embed.linear.weight": (12288, 2048),
    "caption_projection.linear_1.weight": (2048, 4096),
    "transformer_blocks.0.attn1.norm_q.weight": (2048,),
    "scale_shift_table": (2, 2048),
}
LUMINA2 = {
    "x_embedder.weight": (2304, 64),
    "cap_embedder.1.weight": (2304, 2304),
    "noise_refiner.0.attention.qkv.weight": (3840, 2304),
    "layers.0.attention.qkv.weight": (3840, 2304),
}
LUMINA2_DIFFUSERS = {
    "x_embedder.weight": (2304, 64),
    "time_caption_embed.caption_embedder.1.weight": (2304, 2304),
    "noise_refiner.0.norm1.linear.weight": (9216, 1024),
    "layers.0.attn.to_q.weight": (2304, 2304),
}
