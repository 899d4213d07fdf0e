"""Stage "inpaint": `pocket-inpaint`, the base's denoiser with nine input channels, trained to fill masks.

Five channels are new: the mask, and the latents of the picture without what the mask covers (the inpainting model of
LDM, arXiv:2112.10752). Their weights start at zero, so training starts from what the base can do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from modules.pocket.sampling import MODEL
from modules.pocket.stages.base import Base, denoising_loss, open_base, plain_attention, to_tensor
from modules.pocket.stages.folders import replace_folder, write_card, write_pipeline
from modules.pocket.stages.masks import draw_mask
from modules.pocket.stages.samples import Sample
from modules.pocket.stages.tuning import Arrays, Batches, Course, Tuning, run_course, texts_of, trained
from modules.training.journal import Budget
from modules.training.muon import Optimiser

NAME = "inpaint"
RATES = (4e-3, 4e-4)
"""Of Muon and of Adam."""
OUTSIDE = 0.3
"""Weight of the loss where nothing is masked; inside it is 1 more."""
ABOUT = "The pocket model for inpainting: nine input channels, in the layout of Stable Diffusion 1.5 Inpainting."


def grow_input(unet: Any, channels: int = 5) -> Any:
    """A copy of `unet` that takes `channels` more, their weights zero: it says what `unet` says, whatever they hold."""
    config = dict(unet.config)
    before = int(config["in_channels"])
    config["in_channels"] = before + channels
    grown = type(unet).from_config(config)
    weights = {name: value.detach().clone() for name, value in unet.state_dict().items()}
    first = weights["conv_in.weight"]
    weights["conv_in.weight"] = torch.cat([first, first.new_zeros(len(first), channels, *first.shape[2:])], dim=1)
    grown.load_state_dict(weights)
    return grown.to(first.device)


def conditioning(base: Base, pictures: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mask and masked latents (n, 1 + c, h/8, w/8), in the order and by the means of diffusers' pipeline.

    `pictures` (n, 3, h, w) in -1..1; `masks` (n, 1, h, w), 1 where the picture is to be made anew.
    """
    hidden = base.encode(pictures * (masks < 0.5))
    small = functional.interpolate(masks, size=hidden.shape[-2:])
    return torch.cat([small.to(hidden), hidden], dim=1)


def _mask(sample: Sample, lot: np.random.Generator) -> NDArray[np.generic]:
    return draw_mask(sample, lot)


def train_inpaint(folder: Path, budget: Budget, total_seconds: float, tuning: Tuning | None = None) -> dict[str, float]:
    """Trains until the budget ends, resuming from `folder`/inpaint.pt; returns the last figures.

    `total_seconds` is the whole training time over all resumptions, along which the learning rate falls.
    """
    how = tuning or Tuning()
    base = open_base(how.base, how.device)
    torch.manual_seed(0)
    unet = grow_input(base.unet).train().requires_grad_(True)
    plain_attention(unet, how.device)

    def loss(arrays: Arrays, lot: np.random.Generator) -> torch.Tensor:
        pictures = to_tensor(arrays[0].astype(np.uint8)).to(how.device)
        words = base.embed(texts_of(arrays[1]))
        masks = torch.from_numpy(arrays[2].astype(np.float32) / 255)[:, None].to(how.device)
        clean, beside = base.encode(pictures), conditioning(base, pictures, masks)

        def guess(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            said: torch.Tensor = unet(
                torch.cat([noisy, beside], dim=1), times, encoder_hidden_states=words, return_dict=False
            )[0]
            return said

        return denoising_loss(base, clean, guess, lot, OUTSIDE + beside[:, :1])

    make = Batches(how.draw, how.sides_for(base.side), how.batch, how.scenes, extras=_mask)
    course = Course(NAME, folder, unet, Optimiser(unet, *how.paced(RATES)), make, loss)
    return run_course(course, budget, total_seconds, how)


def export_inpaint(folder: Path, target: Path, base: Path = MODEL) -> int:
    """Writes the whole model as a StableDiffusionInpaintPipeline in float16 into `target`; returns its bytes.

    All parts but the denoiser are those of `base`. Raises FileNotFoundError before the first checkpoint.
    """
    state = trained(folder, NAME)
    unet = grow_input(open_base(base).unet)
    unet.load_state_dict(state["average"])

    def write(place: Path) -> None:
        write_pipeline(base, "StableDiffusionInpaintPipeline", unet, place)
        if not (target / "README.md").exists():
            write_card(place / "README.md", target.name, ABOUT, state)

    return replace_folder(target, write)
