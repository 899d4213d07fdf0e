"""A tiny random Kandinsky 5 for pictures as a diffusers folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import CLIP_TOKENIZER, save
from tests.factories.qwen import seeing_reader
from tests.factories.words import save_clip_tokenizer, save_qwen_processor


def tiny_kandinsky5(folder: Path) -> Path:
    """Kandinsky 5: a language model that sees and a CLIP for the words, and Flux's autoencoder with its shift."""
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    pieces = save_qwen_processor(folder / "tokenizer")
    words = save_clip_tokenizer(folder / "tokenizer_2")
    with parts.seeded(20):
        components = {
            "text_encoder": seeing_reader(pieces),
            "tokenizer": ("transformers", "Qwen2VLProcessor"),
            "text_encoder_2": parts.clip_text(words, 48, activation="quick_gelu"),
            "tokenizer_2": CLIP_TOKENIZER,
            "transformer": denoiser(),
            "vae": parts.vae(latent_channels=16, scale=0.3611, shift=0.1159),
            "scheduler": FlowMatchEulerDiscreteScheduler(shift=5.0),
        }
    return save(folder, "Kandinsky5T2IPipeline", components, fp16=False, shard=None)


def denoiser() -> Any:
    """Two blocks; the class itself begins with modulations that let nothing through."""
    import torch
    from diffusers.models.transformers.transformer_kandinsky import Kandinsky5Transformer3DModel

    model = Kandinsky5Transformer3DModel(
        in_visual_dim=16,
        out_visual_dim=16,
        in_text_dim=32,
        in_text_dim2=48,
        time_dim=32,
        model_dim=32,
        ff_dim=48,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(4, 6, 6),
    )
    for name, weight in model.named_parameters():
        if "modulation" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model.eval()
