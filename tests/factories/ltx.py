"""A tiny random LTX-Video as a diffusers folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import T5_TOKENIZER, save
from tests.factories.words import save_t5_tokenizer

CHANNELS = 128
"""Of the latents of every LTX-Video."""
SHIFTING = {"base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024, "max_image_seq_len": 4096}


def tiny_ltx(folder: Path, *, pipeline: str = "LTXPipeline") -> Path:
    """LTX-Video: a T5, two blocks, an autoencoder that joins eight frames and 32 by 32 pixels."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    pieces = save_t5_tokenizer(folder / "tokenizer")
    with parts.seeded(23):
        components = {
            "text_encoder": parts.t5_encoder(pieces, 32),
            "tokenizer": T5_TOKENIZER,
            "transformer": ltx_transformer(),
            "vae": ltx_vae(),
            "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1, **SHIFTING),
        }
    return save(folder, pipeline, components, fp16=False, shard=None)


def ltx_transformer() -> Any:
    """LTX-Video's transformer with two blocks of narrow heads."""
    from diffusers.models.transformers.transformer_ltx import LTXVideoTransformer3DModel

    shape = {"num_attention_heads": 32, "attention_head_dim": 2, "cross_attention_dim": 64, "caption_channels": 32}
    return LTXVideoTransformer3DModel(in_channels=CHANNELS, out_channels=CHANNELS, num_layers=2, **shape).eval()


def ltx_vae(*, told: bool = False) -> Any:
    """Its autoencoder with one layer a level, whose latents have means and spreads of their own.

    The decoder of one that is `told` how much noise is left adds some, as that of 0.9.1 does.
    """
    import torch
    from diffusers.models.autoencoders.autoencoder_kl_ltx import AutoencoderKLLTXVideo

    later: dict[str, Any] = {
        "decoder_block_out_channels": (8, 16, 32),
        "decoder_layers_per_block": (1, 1, 1, 1),
        "decoder_spatio_temporal_scaling": (True, True, True),
        "decoder_inject_noise": (True, True, True, False),
        "upsample_residual": (True, True, True),
        "upsample_factor": (2, 2, 2),
        "timestep_conditioning": True,
    }
    plain: dict[str, Any] = {"decoder_block_out_channels": (4, 8, 16, 16), "decoder_layers_per_block": (1, 1, 1, 1, 1)}
    found = AutoencoderKLLTXVideo(
        latent_channels=CHANNELS,
        block_out_channels=(4, 8, 16, 16),
        layers_per_block=(1, 1, 1, 1, 1),
        **(later if told else plain),
    )
    found.latents_mean.normal_(std=0.2)
    found.latents_std.uniform_(0.5, 1.5)
    for name, value in found.named_parameters():
        if "per_channel_scale" in name:
            torch.nn.init.ones_(value)
    return found.eval()


def original(transformer: Mapping[str, Any], vae: Mapping[str, Any]) -> dict[str, Any]:
    """Transformer and autoencoder in one file, as LTX-Video is published."""
    names = {
        "proj_in.": "patchify_proj.",
        "time_embed.": "adaln_single.",
        ".norm_q.": ".q_norm.",
        ".norm_k.": ".k_norm.",
    }
    found = {f"model.diffusion_model.{_renamed(name, names)}": value for name, value in transformer.items()}
    return found | {f"vae.{name}": value for name, value in vae_original(vae).items()}


def vae_original(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The autoencoder's weights as its authors name them: blocks, what folds them and what widens them in one list."""
    folded = any(".downsamplers.0.conv.conv." in name for name in weights)
    told = "decoder.scale_shift_table" in weights
    names = {"conv_shortcut.conv.": "conv_shortcut.", "resnets.": "res_blocks.", ".norm3.": ".norm3.norm."}
    found = {}
    for name, value in weights.items():
        if name in ("latents_mean", "latents_std"):
            found[f"per_channel_statistics.{name[8:]}-of-means"] = value
            continue
        name = _placed(name, folded=folded, told=told)
        if name.startswith(("decoder.time_embedder.", "decoder.scale_shift_table")):
            name = name.replace("decoder.", "decoder.last_")
        found[_renamed(name, names)] = value
    return found | {"per_channel_statistics.channel": found["per_channel_statistics.mean-of-means"].clone()}


def _placed(name: str, *, folded: bool, told: bool) -> str:
    """The name with the number that its block has in the file."""
    blocks = {"decoder.mid_block.": "decoder.up_blocks.0."}
    for level in range(4):
        up, down = f"decoder.up_blocks.{level}.", f"encoder.down_blocks.{level}."
        if told:
            blocks |= {f"{up}upsamplers.0.": f"decoder.up_blocks.{2 * level + 1}."}
            blocks |= {up: f"decoder.up_blocks.{2 * level + 2}."}
        else:
            # The first level neither widens nor folds, the second only folds.
            first = (1, 2, 4, 7)[level]
            blocks |= {f"{up}conv_in.": f"decoder.up_blocks.{first}."}
            blocks |= {f"{up}upsamplers.0.": f"decoder.up_blocks.{first + (level > 1)}."}
            blocks |= {up: f"decoder.up_blocks.{(1, 3, 6, 9)[level]}."}
        step = 2 if folded else 3
        place = step * level if folded or level < 3 else 8
        blocks |= {f"{down}downsamplers.0.": f"encoder.down_blocks.{step * level + 1}."}
        blocks |= {
            f"{down}conv_out.": f"encoder.down_blocks.{step * level + 2}.",
            down: f"encoder.down_blocks.{place}.",
        }
    blocks |= {"encoder.mid_block.": f"encoder.down_blocks.{8 if folded else 9}."}
    return next((new + name[len(old) :] for old, new in blocks.items() if name.startswith(old)), name)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for ours, theirs in names.items():
        name = re.sub(re.escape(ours), theirs, name)
    return name
