"""Tiny random models of films as diffusers folders, and their transformers in the naming of the original code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import T5_TOKENIZER, save
from tests.factories.words import save_t5_tokenizer


def tiny_wan(folder: Path) -> Path:
    """Wan: a UMT5, two blocks, an autoencoder that joins four frames."""
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    pieces = save_t5_tokenizer(folder / "tokenizer")
    with parts.seeded(21):
        components = {
            "text_encoder": umt5(pieces),
            "tokenizer": T5_TOKENIZER,
            "transformer": wan_transformer(),
            "vae": wan_vae(),
            "scheduler": UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
        }
    return save(folder, "WanPipeline", components, fp16=False, shard=None)


def tiny_wan_ti2v(folder: Path) -> Path:
    """Wan 2.2 TI2V: the same with 48 channels and an autoencoder that joins 16 by 16 pixels."""
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    pieces = save_t5_tokenizer(folder / "tokenizer")
    with parts.seeded(25):
        components = {
            "text_encoder": umt5(pieces),
            "tokenizer": T5_TOKENIZER,
            "transformer": wan_transformer(in_channels=48, out_channels=48),
            "vae": wan_vae_2(),
            "scheduler": UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
            ),
        }
    made = save(folder, "WanPipeline", components, fp16=False, shard=None)
    index = made / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text("utf-8")), "expand_timesteps": True}), "utf-8")
    return made


def tiny_wan_i2v(folder: Path) -> Path:
    """Wan 2.1 I2V: a denoiser with twenty channels more, which asks a small CLIP what it sees."""
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    pieces = save_t5_tokenizer(folder / "tokenizer")
    eyes = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=16
    )
    with parts.seeded(26):
        components = {
            "text_encoder": umt5(pieces),
            "tokenizer": T5_TOKENIZER,
            "image_encoder": CLIPVisionModel(eyes).eval(),
            "image_processor": ("transformers", "CLIPImageProcessor"),
            "transformer": wan_transformer(in_channels=36, image_dim=32, added_kv_proj_dim=128),
            "vae": wan_vae(),
            "scheduler": UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
        }
    side = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**side).save_pretrained(folder / "image_processor")
    return save(folder, "WanImageToVideoPipeline", components, fp16=False, shard=None)


def wan_vae_2() -> Any:
    """Wan 2.2's autoencoder with narrow levels."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    shape: dict[str, Any] = {"base_dim": 4, "decoder_base_dim": 4, "z_dim": 48, "in_channels": 12, "out_channels": 12}
    statistics = {"latents_mean": [0.01 * n for n in range(48)], "latents_std": [0.5 + 0.02 * n for n in range(48)]}
    folds = {"is_residual": True, "patch_size": 2, "scale_factor_spatial": 16}
    return AutoencoderKLWan(**shape, **statistics, **folds, temperal_downsample=[False, True, True]).eval()


def umt5(pieces: int) -> Any:
    """A UMT5 of two layers with a vocabulary of that many tokens."""
    from transformers import UMT5Config, UMT5EncoderModel

    shape = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}
    return UMT5EncoderModel(UMT5Config(vocab_size=pieces, is_encoder_decoder=False, **shape)).eval()


def wan_transformer(**changes: Any) -> Any:
    """Wan's transformer with two blocks of one head each."""
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    shape = {"num_attention_heads": 1, "attention_head_dim": 128, "text_dim": 32, "freq_dim": 32, "ffn_dim": 48}
    return WanTransformer3DModel(**(shape | {"num_layers": 2} | changes)).eval()


def wan_vae() -> Any:
    """Its autoencoder with four levels and sixteen channels."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    return AutoencoderKLWan(base_dim=4, z_dim=16).eval()


WAN = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
    "attn1.": "self_attn.",
    "attn2.": "cross_attn.",
    ".to_out.0.": ".o.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".add_k_proj.": ".k_img.",
    ".add_v_proj.": ".v_img.",
    ".norm_added_k.": ".norm_k_img.",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}
SWAPPED = {"norm2": "norm3", "norm3": "norm2"}


def wan(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer's weights as Wan's code names them."""
    return {_wan_name(name): value for name, value in weights.items()}


def _wan_name(name: str) -> str:
    if name == "scale_shift_table":
        return "head.modulation"
    name = name.replace("scale_shift_table", "modulation")
    name = re.sub(r"\b(norm2|norm3)\b", lambda found: SWAPPED[found[0]], name) if "blocks." in name else name
    for ours, theirs in WAN.items():
        name = name.replace(ours, theirs)
    return name
