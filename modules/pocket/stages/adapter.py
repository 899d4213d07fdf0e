"""Stage "adapter": a T2I-Adapter (arXiv:2302.08453) for the pocket model that follows coarse colours.

It sees an 8 by 8 grid of colours and adds to the first half of the frozen denoiser, once a picture and not once a step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modules.pocket.sampling import MODEL
from modules.pocket.stages.base import denoising_loss, open_base
from modules.pocket.stages.conditions import colour_grid
from modules.pocket.stages.control import to_condition
from modules.pocket.stages.folders import replace_folder, save_part, write_card
from modules.pocket.stages.samples import Sample
from modules.pocket.stages.tuning import Arrays, Batches, Course, Tuning, run_course, texts_of, trained
from modules.training.journal import Budget
from modules.training.muon import Optimiser

NAME = "adapter"
RATES = (1e-2, 1e-3)
"""Of Muon and of Adam."""
DROP = 0.3
ABOUT = "A T2I-Adapter for the pocket model that follows an 8 by 8 grid of colours, in diffusers' layout."


def layout(unet: Any) -> dict[str, Any]:
    """The kind of T2IAdapter whose features fit `unet`, as arguments for its constructor.

    A level with attention takes features before it is halved, one without takes them after. Raises ValueError where
    neither of diffusers' two plans fits.
    """
    kinds, channels = list(unet.config.down_block_types), list(unet.config.block_out_channels)
    last = len(kinds) - 1
    halved = [place + ("CrossAttn" not in kind and place < last) for place, kind in enumerate(kinds)]
    if halved == list(range(len(kinds))):
        return {"adapter_type": "full_adapter", "channels": channels, "downscale_factor": 8}
    if halved[:3] == [1, 1, 2]:
        return {"adapter_type": "full_adapter_xl", "channels": channels[:3], "downscale_factor": 16}
    raise ValueError(f"No T2I-Adapter fits the levels {', '.join(kinds)}.")


def build_adapter(unet: Any) -> Any:
    """A fresh adapter for `unet`, one residual block a level; its features are zero at first."""
    from diffusers import T2IAdapter

    adapter = T2IAdapter(in_channels=3, num_res_blocks=1, **layout(unet))
    torch.nn.init.zeros_(adapter.adapter.conv_in.weight)
    for name, parameter in adapter.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    return adapter


def _shown(sample: Sample, lot: np.random.Generator) -> NDArray[np.generic]:
    return colour_grid(sample, lot)


def train_adapter(folder: Path, budget: Budget, total_seconds: float, tuning: Tuning | None = None) -> dict[str, float]:
    """Trains until the budget ends, resuming from `folder`/adapter.pt; returns the last figures.

    `total_seconds` is the whole training time over all resumptions, along which the learning rate falls.
    """
    how = tuning or Tuning()
    base = open_base(how.base, how.device)
    torch.manual_seed(0)
    adapter = build_adapter(base.unet).to(how.device).train()

    def loss(arrays: Arrays, lot: np.random.Generator) -> torch.Tensor:
        clean, words = base.encode(arrays[0].astype(np.uint8)), base.embed(texts_of(arrays[1]))
        shown = to_condition(arrays[2], how.device)

        def guess(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            said: torch.Tensor = base.unet(
                noisy,
                times,
                encoder_hidden_states=words,
                down_intrablock_additional_residuals=list(adapter(shown)),
                return_dict=False,
            )[0]
            return said

        return denoising_loss(base, clean, guess, lot)

    make = Batches(how.draw, how.sides_for(base.side), how.batch, how.scenes, DROP, _shown)
    course = Course(NAME, folder, adapter, Optimiser(adapter, *how.paced(RATES)), make, loss)
    return run_course(course, budget, total_seconds, how)


def export_adapter(folder: Path, target: Path, base: Path = MODEL) -> int:
    """Writes the adapter as float16 in diffusers' layout into `target`; returns its bytes.

    Raises FileNotFoundError before the first checkpoint.
    """
    state = trained(folder, NAME)
    adapter = build_adapter(open_base(base).unet)
    adapter.load_state_dict(state["average"])

    def write(place: Path) -> None:
        save_part(adapter, place)
        if not (target / "README.md").exists():
            write_card(place / "README.md", "pocket colour adapter", ABOUT, state)

    return replace_folder(target, write)
