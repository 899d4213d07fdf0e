"""Stage "control": ControlNets (arXiv:2302.05543) for the pocket model, one for each condition.

A ControlNet is a copy of the denoiser's first half which sees a picture of edges, a scribble or a map of kinds, and
adds what it makes of it to the base through convolutions that start at zero.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modules.pocket.sampling import MODEL
from modules.pocket.stages.base import denoising_loss, open_base, plain_attention
from modules.pocket.stages.conditions import CONDITIONS, palette
from modules.pocket.stages.folders import replace_folder, save_part, write_card
from modules.pocket.stages.samples import Sample
from modules.pocket.stages.tuning import Arrays, Batches, Course, Tuning, run_course, texts_of, trained
from modules.training.journal import Budget
from modules.training.muon import Optimiser

RATES = (1e-2, 1e-3)
"""Of Muon and of Adam."""
DROP = 0.3
"""Share of the samples without words: the condition has to be followed for what it is."""
ABOUT = {
    "canny": "A ControlNet for the pocket model that follows Canny edges, white on black.",
    "scribble": "A ControlNet for the pocket model that follows scribbled outlines, white on black.",
    "segmentation": (
        "A ControlNet for the pocket model that follows a map of kinds on black; palette.json has the colour of each."
    ),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """The condition of one kind, by its name, so that workers can be sent it."""

    kind: str

    def __call__(self, sample: Sample, lot: np.random.Generator) -> NDArray[np.generic]:
        """The condition's picture, uint8 (side, side, 3)."""
        return CONDITIONS[self.kind](sample, lot)


def checked(kind: str) -> str:
    """`kind` itself. Raises ValueError where it is none of CONDITIONS."""
    if kind not in CONDITIONS:
        raise ValueError(f"There is no condition {kind!r}; there are {', '.join(CONDITIONS)}.")
    return kind


def build_control(unet: Any) -> Any:
    """A ControlNet that starts as a copy of `unet`'s first half, with a small network before it for the condition."""
    from diffusers import ControlNetModel

    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 32, 48))


@torch.no_grad()
def wake(control: Any, shown: torch.Tensor) -> None:
    """Scales what reads the conditions layer by layer until each says values with a spread of one of `shown`.

    That is the start of arXiv:1511.06422. diffusers starts the last layer at zero, and so are the convolutions behind:
    two zeros in a row learn slowly, and what comes through stays far below the noise that the network sees beside it.
    With zeros behind alone the ControlNet still adds nothing at first.
    """
    reader = control.controlnet_cond_embedding
    torch.nn.init.orthogonal_(reader.conv_out.weight)
    for layer in (reader.conv_in, *reader.blocks, reader.conv_out):
        heard: list[torch.Tensor] = []
        hook = layer.register_forward_hook(lambda _layer, _given, said, heard=heard: heard.append(said))
        reader(shown)
        hook.remove()
        layer.weight.div_(heard[0].std().clamp_min(1e-6))


def to_condition(pictures: NDArray[np.generic], device: str) -> torch.Tensor:
    """uint8 (n, h, w, 3) to float32 (n, 3, h, w) in 0..1, as pipelines hand conditions over."""
    wanted = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32)
    return torch.from_numpy(wanted).to(device) / 255


def train_control(
    folder: Path, budget: Budget, total_seconds: float, kind: str, tuning: Tuning | None = None
) -> dict[str, float]:
    """Trains the ControlNet for `kind` of CONDITIONS until the budget ends, resuming from `folder`/control-KIND.pt.

    `total_seconds` is the whole training time over all resumptions. Returns the last figures. Raises ValueError for a
    condition that there is not.
    """
    how, extras = tuning or Tuning(), Shown(checked(kind))
    base = open_base(how.base, how.device)
    torch.manual_seed(0)
    control = build_control(base.unet).to(how.device).train().requires_grad_(True)
    plain_attention(control, how.device)
    make = Batches(how.draw, how.sides_for(base.side), how.batch, how.scenes, DROP, extras)
    wake(control, to_condition(make(0)[2], how.device))

    def loss(arrays: Arrays, lot: np.random.Generator) -> torch.Tensor:
        clean, words = base.encode(arrays[0].astype(np.uint8)), base.embed(texts_of(arrays[1]))
        shown = to_condition(arrays[2], how.device)

        def guess(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            down, middle = control(noisy, times, encoder_hidden_states=words, controlnet_cond=shown, return_dict=False)
            said: torch.Tensor = base.unet(
                noisy,
                times,
                encoder_hidden_states=words,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
                return_dict=False,
            )[0]
            return said

        return denoising_loss(base, clean, guess, lot)

    course = Course(f"control-{kind}", folder, control, Optimiser(control, *how.paced(RATES)), make, loss)
    return run_course(course, budget, total_seconds, how)


def export_control(folder: Path, target: Path, kind: str, base: Path = MODEL) -> int:
    """Writes the ControlNet for `kind` as float16 in diffusers' layout into `target`; returns its bytes.

    Raises FileNotFoundError before the first checkpoint and ValueError for a condition that there is not.
    """
    state = trained(folder, f"control-{checked(kind)}")
    control = build_control(open_base(base).unet)
    control.load_state_dict(state["average"])

    def write(place: Path) -> None:
        save_part(control, place)
        if kind == "segmentation":
            (place / "palette.json").write_text(json.dumps(palette(), indent=2) + "\n", encoding="utf-8")
        if not (target / "README.md").exists():
            write_card(place / "README.md", f"pocket {kind} ControlNet", ABOUT[kind], state)

    return replace_folder(target, write)
