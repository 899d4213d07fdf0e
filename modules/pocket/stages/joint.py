"""Writes a trained network in SD 3's layout as a whole model folder, with its encoders, autoencoder and scheduler."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modules.pocket.stages.export import assemble_vae
from modules.pocket.stages.folders import replace_folder, size_of, write_card
from modules.pocket.stages.silent import build_counter, build_silence
from modules.pocket.stages.text import load_text
from modules.pocket.stages.words import with_projection
from modules.training.journal import load_checkpoint

NETWORK_LIMIT = 12 * 10**6
"""Bytes that the network itself may have."""
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
TOKENIZERS = ("tokenizer", "tokenizer_2")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a model is called and how it is best drawn with."""

    title: str
    about: str
    scheduler: Mapping[str, float]
    """Settings of FlowMatchEulerDiscreteScheduler."""
    steps: int
    guidance: float

    @property
    def defaults(self) -> dict[str, Any]:
        """The content of defaults.json, which the studio reads."""
        return {"sampler": "Euler", "scheduler": "Automatic", "steps": self.steps, "cfg_scale": self.guidance}


def build_scheduler(settings: Mapping[str, float]) -> Any:
    """The scheduler of the exported model."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**settings)


def assemble(folder: Path, network: Any, scheduler: Any) -> Any:
    """The pipeline in float32 of the parts trained in `folder`. Raises FileNotFoundError where one is missing."""
    from diffusers import StableDiffusion3Pipeline

    tokenizer, encoder = load_text(folder)
    vae = assemble_vae(folder)
    vae.register_to_config(shift_factor=0.0)  # the pipeline adds it, so it has to be a number
    words = with_projection(encoder)
    counter = build_counter(tokenizer.get_vocab(), tokenizer.model_max_length)
    return StableDiffusion3Pipeline(
        transformer=network,
        scheduler=scheduler,
        vae=vae,
        text_encoder=words,
        tokenizer=tokenizer,
        text_encoder_2=words,
        tokenizer_2=tokenizer,
        text_encoder_3=build_silence(len(counter), network.config.joint_attention_dim),
        tokenizer_3=counter,
    )


def write_joint(folder: Path, target: Path, stage: str, network: Any, drawn: Drawn) -> int:
    """Writes the whole model of `stage` into `target`; returns its size in bytes.

    Raises ValueError where the network is larger than NETWORK_LIMIT; `target` is then left as it was.
    """
    pipeline = assemble(folder, network, build_scheduler(drawn.scheduler)).to(torch.float16)
    state = load_checkpoint(folder / f"{stage}.pt") or {}

    def write(place: Path) -> None:
        pipeline.save_pretrained(str(place), safe_serialization=True)
        size = size_of(place / "transformer")
        if size > NETWORK_LIMIT:
            raise ValueError(f"The network has {size} bytes; {NETWORK_LIMIT} are allowed.")
        for name in TOKENIZERS:
            for file in ("vocab.json", "merges.txt"):
                shutil.copyfile(folder / "tokenizer" / file, place / name / file)
        for name in ENCODERS:
            _note_float32(place / name / "config.json")
        (place / "defaults.json").write_text(json.dumps(drawn.defaults, indent=2) + "\n", encoding="utf-8")
        write_card(place / "README.md", drawn.title, drawn.about, state)

    return replace_folder(target, write)


def _note_float32(config: Path) -> None:
    """transformers opens a model in the type noted, diffusers in float32: the two have to agree in one pipeline."""
    content = json.loads(config.read_text(encoding="utf-8"))
    content["dtype"] = "float32"
    config.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
