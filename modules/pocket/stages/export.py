"""Stage "export": puts the trained parts together as a diffusers folder in the layout of Stable Diffusion 1.5."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.render import render
from modules.pocket.stages.folders import replace_folder, size_of
from modules.pocket.stages.latents import whitened_vae
from modules.pocket.stages.pictures import SEED, SIDE
from modules.pocket.stages.text import load_text
from modules.pocket.stages.unet import BETAS, STEPS, build_unet, load_unet
from modules.pocket.stages.vae import psnr
from modules.training.journal import load_checkpoint

DEFAULTS = {
    "sampler": "Euler a",
    "scheduler": "Automatic",
    "steps": 20,
    "cfg_scale": 4.0,
    "deep_shrink": {"level": 1, "end": 0.85},
}
"""What the studio and the evaluation draw this model with where a person says nothing."""
SIZE_LIMIT = 24 * 2**20
"""Bytes that the exported folder may have in all."""


def build_scheduler() -> Any:
    """DDIM (arXiv:2010.02502) as the default sampler, with the noise schedule that every other sampler takes over.

    Its configuration names what others only assume: no clipping of latents and no forced signal at the end.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=STEPS,
        beta_start=BETAS[0],
        beta_end=BETAS[1],
        beta_schedule="linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )


def assemble_vae(folder: Path) -> Any:
    """The autoencoder with whitened latents and, where that stage has been run, the refined decoder."""
    vae = whitened_vae(folder)
    if refined := load_checkpoint(folder / "decoder.pt"):
        vae.load_state_dict(refined["average"])
    return vae


def round_trip(folder: Path, count: int = 64) -> float:
    """PSNR in decibels of `count` scenes that no stage has trained on, through encoder and decoder."""
    scenes = [render(draw_scene(SEED + 1, index), SIDE) for index in range(count)]
    return round(psnr(assemble_vae(folder), np.stack(scenes)), 2)


def assemble(folder: Path) -> Any:
    """The pipeline of the trained parts in float32; an untrained image network where there is no checkpoint of one."""
    from diffusers import StableDiffusionPipeline

    vae = assemble_vae(folder)
    tokenizer, encoder = load_text(folder)
    try:
        unet = load_unet(folder)
    except FileNotFoundError:
        torch.manual_seed(0)
        unet = build_unet()
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def export(folder: Path, target: Path) -> int:
    """Writes the pipeline as float16 safetensors into `target`; returns its size in bytes.

    What else lies there stays: the card, and parts of the family that other stages have trained. The new folder is
    finished beside the old one and then takes its place.
    Raises ValueError where it is larger than SIZE_LIMIT; `target` is then left as it was.
    """

    def write(place: Path) -> None:
        assemble(folder).to(torch.float16).save_pretrained(str(place), safe_serialization=True)
        for name in ("vocab.json", "merges.txt"):
            shutil.copyfile(folder / "tokenizer" / name, place / "tokenizer" / name)
        _note_precision(place / "text_encoder" / "config.json")
        (place / "defaults.json").write_text(json.dumps(DEFAULTS, indent=2) + "\n", encoding="utf-8")
        if (size := size_of(place)) > SIZE_LIMIT:
            raise ValueError(f"{size} bytes are more than {SIZE_LIMIT}")

    return replace_folder(target, write, alone=False)


def _note_precision(config: Path) -> None:
    """Notes the text encoder as float32.

    transformers opens a model in the type noted, diffusers in float32 where nobody says otherwise, and the two have to
    agree in one pipeline.
    """
    content = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**content, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
