"""Redux in memory: words for Flux.1, made of what SigLIP sees (Black Forest Labs, FLUX.1 Tools, 2024)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modules.contracts.controls import ControlEntry
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import Placement
from modules.control.transformer_nets import DENOISERS
from modules.sd_models.components import build_empty, fill, find_class
from modules.sd_models.faults import blaming
from modules.sd_models.folders import read_weights
from modules.sd_models.tensors import read_tensors


def load_redux(entry: ControlEntry, placement: Placement) -> Any:
    """Load one onto a device, from a folder or a single file. Raises `BrokenModel`."""
    with blaming(entry.name, "weights"):
        files = read_weights(entry.path).files if entry.path.is_dir() else (entry.path,)
        tensors = read_tensors(files, placement)
        config = {
            "redux_dim": tensors["redux_up.weight"].shape[1],
            "txt_in_features": tensors["redux_down.weight"].shape[0],
        }
        return fill(build_empty(find_class("ReduxImageEncoder"), config), tensors)


def check_words(module: Any, denoiser: Any, name: str, model: str) -> None:
    """Raise `UnsupportedFeature` for one whose words are as wide as no word of that model."""
    flux = DENOISERS.get(type(denoiser).__name__) == "flux"
    mine, its = module.config["txt_in_features"], denoiser.config.get("joint_attention_dim") if flux else None
    if mine != its:
        raise UnsupportedFeature(
            f"The Redux {name} does not fit {model}: its words have {mine} numbers, the model's have {its}."
        )


def speak_with(module: Any) -> Callable[..., torch.Tensor]:
    """A function of `seen` (N, parts, width): the words (N, parts, width of the model's words)."""

    def speak(seen: torch.Tensor) -> torch.Tensor:
        words: torch.Tensor = module(seen).image_embeds
        return words

    return speak


def see_parts_with(encoder: Any) -> Callable[..., torch.Tensor]:
    """A function of `pixels`: what a SigLIP encoder's last layer says of each part of the pictures."""

    def see(pixels: torch.Tensor) -> torch.Tensor:
        parts: torch.Tensor = encoder(pixel_values=pixels).last_hidden_state
        return parts

    return see


def show_whole_to(encoder: Any, image: NDArray[np.uint8]) -> torch.Tensor:
    """The picture (H, W, 3) as SigLIP sees it, (1, 3, side, side) in -1 to 1: all of it, stretched."""
    side = int(encoder.config.image_size)
    picture = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
