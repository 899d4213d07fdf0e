"""Configs read off the shapes of weights, so that a single file of any width and depth loads without a config.

Shapes tell almost everything. What they cannot tell (how a width is cut into heads, activation functions, scaling
factors) is the family's own and stands in `configs/model-configs/`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
HEAD = 64
"""Width of one attention head in every family since SD 2, and in CLIP."""
SD1_HEADS = 8
"""SD 1.x has this many heads in every layer instead."""


def count(shapes: Shapes, pattern: str) -> int:
    """One more than the largest number that the group of `pattern` finds in the names; 0 when there is none."""
    found = [int(match.group(1)) for name in shapes if (match := re.match(pattern, name))]
    return max(found) + 1 if found else 0


def unet(shapes: Shapes) -> dict[str, Any]:
    """Config of a UNet in LDM naming, names relative to the denoiser."""
    levels: list[list[int]] = [[]]
    for index in range(1, count(shapes, r"input_blocks\.(\d+)\.")):
        if f"input_blocks.{index}.0.op.weight" in shapes:
            levels.append([])
        else:
            levels[-1].append(index)
    channels = [shapes[f"input_blocks.{level[-1]}.0.out_layers.3.weight"][0] for level in levels]
    depths = [count(shapes, rf"input_blocks\.{level[-1]}\.1\.transformer_blocks\.(\d+)\.") for level in levels]
    middle = count(shapes, r"middle_block\.1\.transformer_blocks\.(\d+)\.")
    return _unet_config(shapes, channels, depths, middle) | {
        "layers_per_block": len(levels[0]),
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        **_size_conditioning(shapes.get("label_emb.0.0.weight")),
    }


def unet_diffusers(shapes: Shapes) -> dict[str, Any]:
    """Config of a UNet in diffusers naming."""
    levels = range(count(shapes, r"down_blocks\.(\d+)\."))
    layers = count(shapes, r"down_blocks\.0\.resnets\.(\d+)\.")
    channels = [shapes[f"down_blocks.{level}.resnets.0.conv2.weight"][0] for level in levels]
    depths = [count(shapes, rf"down_blocks\.{level}\.attentions\.0\.transformer_blocks\.(\d+)\.") for level in levels]
    middle = count(shapes, r"mid_block\.attentions\.0\.transformer_blocks\.(\d+)\.")
    return _unet_config(shapes, channels, depths, middle) | {
        "layers_per_block": layers,
        "in_channels": shapes["conv_in.weight"][1],
        "out_channels": shapes["conv_out.weight"][0],
        **_size_conditioning(shapes.get("add_embedding.linear_1.weight")),
        **_narrowing(shapes.get("encoder_hid_proj.weight")),
        **_scale(shapes.get("time_embedding.cond_proj.weight")),
    }


def _scale(projection: tuple[int, ...] | None) -> dict[str, Any]:
    """For a UNet that embeds the CFG scale: how many numbers stand for it."""
    return {} if projection is None else {"time_cond_proj_dim": projection[1]}


def controlnet(shapes: Shapes) -> dict[str, Any]:
    """Config of a ControlNet in the naming of its authors, which is LDM's, names relative to it."""
    return _unet_half(unet, shapes, "input_blocks.0.0.weight", "label_emb.0.0.weight") | {
        "conditioning_channels": shapes["input_hint_block.0.weight"][1],
        "conditioning_embedding_out_channels": tuple(
            shapes[f"input_hint_block.{layer}.weight"][0] for layer in (0, 4, 8, 12)
        ),
    }


def controlnet_diffusers(shapes: Shapes) -> dict[str, Any]:
    """Config of a ControlNet, or of a union of them, in diffusers naming."""
    hint = "controlnet_cond_embedding"
    layers = count(shapes, rf"{hint}\.blocks\.(\d+)\.")
    widths = [shapes[f"{hint}.conv_in.weight"][0]]
    widths += [shapes[f"{hint}.blocks.{layer}.weight"][0] for layer in range(1, layers, 2)]
    config = _unet_half(unet_diffusers, shapes, "conv_in.weight", "add_embedding.linear_1.weight") | {
        "conditioning_channels": shapes[f"{hint}.conv_in.weight"][1],
        "conditioning_embedding_out_channels": tuple(widths),
    }
    if "task_embedding" in shapes:
        config |= {"num_control_type": shapes["task_embedding"][0], "num_trans_channel": shapes["task_embedding"][1]}
    return config


def _unet_half(whole: Any, shapes: Shapes, first: str, sizes: str) -> dict[str, Any]:
    """What a ControlNet's config has of that of the UNet it is half of, which has as many output channels."""
    channels = shapes[first][1]
    end = {"out.2.weight": (channels,), "conv_out.weight": (channels,)}
    config: dict[str, Any] = whole({**shapes, **end})
    del config["out_channels"], config["up_block_types"]
    return config


def t2i_adapter(shapes: Shapes) -> dict[str, Any]:
    """Config of a T2I-Adapter in diffusers naming; which kind it is, the pixels of one of its cells tell."""
    first = "body.0.resnets.0.block1.weight"
    levels = count(shapes, r"body\.(\d+)\.")
    channels = [shapes[first.replace("0", str(level), 1)][0] for level in range(levels)]
    inputs = shapes["conv_in.weight"][1]
    factor = 16 if inputs % 256 == 0 and inputs // 256 in (1, 3) else 8
    return {
        "adapter_type": "full_adapter_xl" if factor == 16 else "full_adapter",
        "in_channels": inputs // factor**2,
        "channels": channels,
        "num_res_blocks": count(shapes, r"body\.0\.resnets\.(\d+)\."),
        "downscale_factor": factor,
    }


def _unet_config(shapes: Shapes, channels: list[int], depths: list[int], middle: int) -> dict[str, Any]:
    """A level without attention gets the depth of the middle: diffusers builds that as deep as the last level."""
    context = next(shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight"))
    linear = len(next(shape for name, shape in shapes.items() if name.endswith(".proj_in.weight"))) == 2
    heads: int | tuple[int, ...] = SD1_HEADS
    if context != 768:
        heads = tuple(max(1, width // HEAD) for width in channels)
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths]
    up = ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)]
    return {
        "block_out_channels": tuple(channels),
        "transformer_layers_per_block": tuple(depth or middle or 1 for depth in depths),
        "cross_attention_dim": context,
        "attention_head_dim": heads,
        "use_linear_projection": linear,
        "down_block_types": tuple(down),
        "up_block_types": tuple(up),
    }


def _size_conditioning(shape: tuple[int, ...] | None) -> dict[str, Any]:
    if shape is None:
        return {}
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": shape[1],
    }


def _narrowing(shape: tuple[int, ...] | None) -> dict[str, Any]:
    """Of what reads the prompt, where that is wider than what the layers look at."""
    return {} if shape is None else {"encoder_hid_dim_type": "text_proj", "encoder_hid_dim": shape[1]}


def vae(shapes: Shapes) -> dict[str, Any]:
    """Config of an autoencoder, in LDM or diffusers naming."""
    if any(name.startswith("encoder.down_blocks.") for name in shapes):
        levels = range(count(shapes, r"encoder\.down_blocks\.(\d+)\."))
        layers = count(shapes, r"encoder\.down_blocks\.0\.resnets\.(\d+)\.")
        channels = [shapes[f"encoder.down_blocks.{level}.resnets.0.conv2.weight"][0] for level in levels]
        has_attention = any(name.startswith("decoder.mid_block.attentions.") for name in shapes)
    else:
        levels = range(count(shapes, r"encoder\.down\.(\d+)\."))
        layers = count(shapes, r"encoder\.down\.0\.block\.(\d+)\.")
        channels = [shapes[f"encoder.down.{level}.block.0.conv2.weight"][0] for level in levels]
        has_attention = any(name.startswith("decoder.mid.attn_1.") for name in shapes)
    return {
        "block_out_channels": tuple(channels),
        "layers_per_block": layers,
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "mid_block_add_attention": has_attention,
    }


def clip(shapes: Shapes) -> dict[str, Any]:
    """Config of a CLIP text encoder in the naming of transformers."""
    plain = {name.removeprefix("text_model."): shape for name, shape in shapes.items()}
    words, width = plain["embeddings.token_embedding.weight"]
    projection = plain.get("text_projection.weight", (width,))[0]
    return {
        **_clip_config(words, width, plain["embeddings.position_embedding.weight"][0], projection),
        "intermediate_size": plain["encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": count(plain, r"encoder\.layers\.(\d+)\."),
    }


def open_clip(shapes: Shapes) -> dict[str, Any]:
    """Config of a CLIP text encoder in OpenCLIP's naming; all layers of the file are counted."""
    words, width = shapes["token_embedding.weight"]
    projection = shapes.get("text_projection", (width, width))[1]
    return {
        **_clip_config(words, width, shapes["positional_embedding"][0], projection),
        "intermediate_size": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": count(shapes, r"transformer\.resblocks\.(\d+)\."),
    }


def _clip_config(words: int, width: int, positions: int, projection: int) -> dict[str, Any]:
    return {
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "num_attention_heads": max(1, width // HEAD),
        "projection_dim": projection,
    }


def t5(shapes: Shapes) -> dict[str, Any]:
    """Config of a T5 encoder in the naming of transformers."""
    name = "shared.weight" if "shared.weight" in shapes else "encoder.embed_tokens.weight"
    words, width = shapes[name]
    first = "encoder.block.0.layer.0.SelfAttention."
    buckets, heads = shapes[first + "relative_attention_bias.weight"]
    return {
        "vocab_size": words,
        "d_model": width,
        "num_heads": heads,
        "d_kv": shapes[first + "q.weight"][0] // heads,
        "d_ff": shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        "num_layers": count(shapes, r"encoder\.block\.(\d+)\."),
        "relative_attention_num_buckets": buckets,
    }


def sd3(shapes: Shapes) -> dict[str, Any]:
    """Config of SD 3's transformer in its original naming. Where queries are normalised, that tells the head width."""
    inner, channels, patch, _ = shapes["x_embedder.proj.weight"]
    normalised = shapes.get("joint_blocks.0.x_block.attn.ln_q.weight")
    head = normalised[0] if normalised else HEAD
    dual = sorted(int(name.split(".")[1]) for name in shapes if name.endswith("x_block.attn2.proj.weight"))
    return {
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "num_layers": count(shapes, r"joint_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": shapes["context_embedder.weight"][0],
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed"][1]),
        "dual_attention_layers": tuple(dual),
        "qk_norm": "rms_norm" if normalised else None,
    }


def flux(shapes: Shapes) -> dict[str, Any]:
    """Config of Flux's transformer in its original naming."""
    inner, channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.key_norm.scale"][0]
    time = head // 8
    return {
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0],
        "num_layers": count(shapes, r"double_blocks\.(\d+)\."),
        "num_single_layers": count(shapes, r"single_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": (time, (head - time) // 2, (head - time) // 2),
    }


def chroma(shapes: Shapes) -> dict[str, Any]:
    """Config of Chroma's transformer in its original naming."""
    inner, channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.key_norm.scale"][0]
    time = head // 8
    hidden, inputs = shapes["distilled_guidance_layer.in_proj.weight"]
    return {
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0],
        "num_layers": count(shapes, r"double_blocks\.(\d+)\."),
        "num_single_layers": count(shapes, r"single_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "axes_dims_rope": (time, (head - time) // 2, (head - time) // 2),
        "approximator_num_channels": inputs,
        "approximator_hidden_dim": hidden,
        "approximator_layers": count(shapes, r"distilled_guidance_layer\.layers\.(\d+)\."),
    }


PIXART_HEADS = 16
"""Every PixArt has as many heads."""


def pixart(shapes: Shapes) -> dict[str, Any]:
    """Config of PixArt's transformer in its original naming; its table of positions tells the native size."""
    inner, channels, patch, _ = shapes["x_embedder.proj.weight"]
    config = {
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "num_layers": count(shapes, r"blocks\.(\d+)\."),
        "num_attention_heads": PIXART_HEADS,
        "attention_head_dim": inner // PIXART_HEADS,
        "cross_attention_dim": inner,
        "caption_channels": shapes["y_embedder.y_proj.fc1.weight"][1],
    }
    if "pos_embed" in shapes:
        config["sample_size"] = math.isqrt(shapes["pos_embed"][1]) * patch
    return config


def z_image(shapes: Shapes) -> dict[str, Any]:
    """Config of Z-Image's transformer, in its original naming or in diffusers'."""
    first = "x_embedder.weight" if "x_embedder.weight" in shapes else "all_x_embedder.2-1.weight"
    norms = ("layers.0.attention.q_norm.weight", "layers.0.attention.norm_q.weight")
    inner, inputs = shapes[first]
    head = next(shapes[name][0] for name in norms if name in shapes)
    time = head // 4
    return {
        "in_channels": inputs // 4,
        "dim": inner,
        "n_layers": count(shapes, r"layers\.(\d+)\."),
        "n_refiner_layers": count(shapes, r"noise_refiner\.(\d+)\."),
        "n_heads": inner // head,
        "n_kv_heads": inner // head,
        "cap_feat_dim": shapes["cap_embedder.0.weight"][0],
        "axes_dims": [time, (head - time) // 2, (head - time) // 2],
    }


def qwen3(shapes: Shapes) -> dict[str, Any]:
    """Config of a Qwen3 language model in the naming of transformers."""
    words, width = shapes["embed_tokens.weight"]
    head = shapes["layers.0.self_attn.q_norm.weight"][0]
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": shapes["layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": count(shapes, r"layers\.(\d+)\."),
        "head_dim": head,
        "num_attention_heads": shapes["layers.0.self_attn.q_proj.weight"][0] // head,
        "num_key_value_heads": shapes["layers.0.self_attn.k_proj.weight"][0] // head,
    }


def lumina2(shapes: Shapes) -> dict[str, Any]:
    """Config of Lumina 2's transformer in its original naming."""
    inner, inputs = shapes["x_embedder.weight"]
    head = shapes["layers.0.attention.q_norm.weight"][0]
    return {
        "in_channels": inputs // 4,
        "hidden_size": inner,
        "num_layers": count(shapes, r"layers\.(\d+)\."),
        "num_refiner_layers": count(shapes, r"noise_refiner\.(\d+)\."),
        "num_attention_heads": inner // head,
        "num_kv_heads": (shapes["layers.0.attention.qkv.weight"][0] - inner) // 2 // head,
        "axes_dim_rope": (head // 3,) * 3,
        "cap_feat_dim": shapes["cap_embedder.0.weight"][0],
    }


GEMMA_HEAD = 256
"""Width of one attention head in every Gemma 2."""


def gemma2(shapes: Shapes) -> dict[str, Any]:
    """Config of a Gemma 2 language model in the naming of transformers."""
    return language_model(shapes, GEMMA_HEAD)


def language_model(shapes: Shapes, head: int) -> dict[str, Any]:
    """Config of a language model laid out as Llama's, with attention heads of that width."""
    words, width = shapes["embed_tokens.weight"]
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": shapes["layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": count(shapes, r"layers\.(\d+)\."),
        "num_attention_heads": shapes["layers.0.self_attn.q_proj.weight"][0] // head,
        "num_key_value_heads": shapes["layers.0.self_attn.k_proj.weight"][0] // head,
    }
