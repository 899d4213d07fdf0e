"""A tiny random Qwen-Image as a diffusers folder, and its autoencoder in the naming of Wan's code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import save
from tests.factories.words import save_qwen_tokenizer


def tiny_qwen_image(folder: Path, *, pipeline: str = "QwenImagePipeline") -> Path:
    """Qwen-Image: a language model that sees for the words, an autoencoder for films; `pipeline` tells Edit from it."""
    from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformer2DModel
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    pieces = save_qwen_tokenizer(folder / "tokenizer")
    with parts.seeded(12):
        components = {
            "text_encoder": seeing_reader(pieces),
            "tokenizer": ("transformers", "Qwen2Tokenizer"),
            "transformer": QwenImageTransformer2DModel(
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=32,
                axes_dims_rope=(2, 6, 8),
            ).eval(),
            "vae": film_vae(),
            "scheduler": FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02
            ),
        }
    return save(folder, pipeline, components, fp16=False, shard=None)


def seeing_reader(pieces: int) -> Any:
    """A Qwen2.5-VL of two layers with a vocabulary of that many tokens, the last of which stands for a picture."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": pieces,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 1024,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [0],
        },
        image_token_id=pieces - 1,
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def film_vae() -> Any:
    """An autoencoder for films with four levels and sixteen channels."""
    from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(base_dim=4, z_dim=16).eval()


LAYERS = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
PLAIN = {
    "quant_conv.": "conv1.",
    "post_quant_conv.": "conv2.",
    "encoder.conv_in.": "encoder.conv1.",
    "decoder.conv_in.": "decoder.conv1.",
    "norm_out.": "head.0.",
    "conv_out.": "head.2.",
    "mid_block.resnets.0.": "middle.0.",
    "mid_block.attentions.0.": "middle.1.",
    "mid_block.resnets.1.": "middle.2.",
    "encoder.down_blocks.": "encoder.downsamples.",
    "conv_shortcut.": "shortcut.",
}


def wan_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The autoencoder's weights as Wan's code names them: a level of its decoder is four entries of a list."""
    return {_wan_name(name): value for name, value in weights.items()}


def _wan_name(name: str) -> str:
    name = re.sub(r"(norm1|conv1|norm2|conv2)(?=\.(gamma|weight|bias)$)", lambda found: LAYERS[found[0]], name)
    if found := re.fullmatch(r"decoder\.up_blocks\.(\d)\.(resnets|upsamplers)\.(\d)\.(.+)", name):
        place = 4 * int(found[1]) + (3 if found[2] == "upsamplers" else int(found[3]))
        name = f"decoder.upsamples.{place}.{found[4]}"
    for ours, theirs in PLAIN.items():
        name = re.sub(rf"(^|\.){re.escape(ours)}", rf"\g<1>{theirs}", name)
    return name
