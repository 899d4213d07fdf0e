"""A tiny untrained model in the layout of Stable Diffusion 1.5, for the stages that build on one; and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.factories import parts
from tests.factories.words import save_clip_tokenizer

SIDE = 64
WIDTH = 32


def build_base(folder: Path, *, levels: tuple[str, ...] = ("CrossAttnDownBlock2D", "DownBlock2D")) -> Path:
    """Writes the model: 64 pixels, v-prediction, latents with a spread of one and a sharp posterior."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    from modules.pocket.stages.latents import whiten

    words = save_clip_tokenizer(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
    channels = (16, 24, 32)[: len(levels)]
    with parts.seeded(5):
        vae = parts.vae(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, mid_block_add_attention=False)
        unet = parts.unet(
            channels,
            WIDTH,
            sample_size=SIDE // 8,
            attention_head_dim=4,
            norm_num_groups=8,
            down_block_types=levels,
            up_block_types=tuple(name.replace("Down", "Up") for name in reversed(levels)),
        )
        text = parts.clip_text(words, WIDTH, activation="gelu")
        pictures = torch.from_numpy(np.stack([scene_sample(index, SIDE).picture for index in range(2)]))
        with torch.no_grad():
            whiten(vae, vae.encode(pictures.permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mean)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_schedule="linear",
            prediction_type="v_prediction",
            timestep_spacing="trailing",
            clip_sample=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(str(folder))
    return folder


def scene_sample(index: int, side: int) -> Any:
    """Two pictures in turn, with the same words: a red circle at the left, and a blue square at the right."""
    from modules.pocket.scenes.render import render
    from modules.pocket.scenes.scene import Ground, Scene, Thing
    from modules.pocket.stages.samples import Sample

    kind, colour, x = (("circle", "red", 0.3), ("square", "blue", 0.7))[index % 2]
    thing = Thing(kind, colour, x, 0.5, 0.22, 0.0, 1)
    scene = Scene((thing,), Ground("plain", ("white",), 0), "flat", "medium", "left" if x < 0.5 else "right")
    return Sample(render(scene, side), "a cat on the white background", scene)
