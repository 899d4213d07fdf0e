"""Stage "lora": low-rank layers that teach the frozen base a style or a thing that it has never seen.

A share of the samples are the world's own without the new word, so that the base stays what it is where nobody asks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from modules.pocket.sampling import MODEL
from modules.pocket.stages.base import denoising_loss, open_base
from modules.pocket.stages.folders import write_card
from modules.pocket.stages.lora_layers import Lora, kohya_metadata, kohya_tensors, peft_tensors, save_tensors
from modules.pocket.stages.samples import Draw, Sample
from modules.pocket.stages.tuning import Arrays, Batches, Course, Tuning, run_course, texts_of, trained
from modules.pocket.unseen import STYLE, THING, glass_sample, robot_sample
from modules.training.journal import Budget
from modules.training.muon import Optimiser

SUBJECTS: dict[str, tuple[Draw, str]] = {
    "stained-glass": (glass_sample, STYLE),
    "robot": (robot_sample, THING),
}
"""Name of the file to what it is learned from and the word that calls it."""
MIDDLE_SHARE = 0.7
"""Share of samples at the noise at which outlines are decided."""
THINGS_WEIGH = 4.0
"""What a thing's place counts for more than the ground, most of which the base draws rightly already."""
ROOM = 1.3
"""A thing's box over the thing itself."""
RATE = 6e-3
"""Of Adam."""
ORDINARY = 0.25
"""Share of samples of the world as the base knows it."""
RANK = 8


def where_things(sample: Sample, _lot: np.random.Generator) -> NDArray[np.float32]:
    """1 in the boxes of the things, with ROOM about them, and 0 elsewhere, float32 (side, side)."""
    inside = np.zeros((sample.side, sample.side), np.float32)
    for thing in sample.scene.things:
        reach = thing.radius * ROOM
        left, top = (max(0, round((middle - reach) * sample.side)) for middle in (thing.x, thing.y))
        right, bottom = (round((middle + reach) * sample.side) + 1 for middle in (thing.x, thing.y))
        inside[top:bottom, left:right] = 1
    return inside


@dataclass(frozen=True, slots=True)
class Mixed:
    """Samples of a subject, every so often one of `ordinary` instead. Picklable if both are."""

    subject: Draw
    ordinary: Draw

    def __call__(self, index: int, side: int) -> Sample:
        """Sample number `index`."""
        common = np.random.default_rng([index, 41]).random() < ORDINARY
        return (self.ordinary if common else self.subject)(index, side)


def checked(subject: str) -> str:
    """`subject` itself. Raises ValueError where it is none of SUBJECTS."""
    if subject not in SUBJECTS:
        raise ValueError(f"There is no subject {subject!r}; there are {', '.join(SUBJECTS)}.")
    return subject


def train_lora(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    subject: str,
    tuning: Tuning | None = None,
    draw: Draw | None = None,
) -> dict[str, float]:
    """Trains a LoRA for `subject` of SUBJECTS until the budget ends, resuming from `folder`/lora-SUBJECT.pt.

    With `draw` the samples are those that it makes, under any name. `total_seconds` is the whole training time over
    all resumptions. Returns the last figures. Raises ValueError for a subject that there is not.
    """
    how = tuning or Tuning()
    source = draw or Mixed(SUBJECTS[checked(subject)][0], how.draw)
    base = open_base(how.base, how.device)
    torch.manual_seed(0)
    lora = Lora(base.unet, RANK).to(how.device)

    def loss(arrays: Arrays, lot: np.random.Generator) -> torch.Tensor:
        clean, words = base.encode(arrays[0].astype(np.uint8)), base.embed(texts_of(arrays[1]))

        def guess(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            with lora.attached(base.unet):
                said: torch.Tensor = base.unet(noisy, times, encoder_hidden_states=words, return_dict=False)[0]
            return said

        places = torch.from_numpy(arrays[2]).to(clean)[:, None]
        focus = 1 + THINGS_WEIGH * functional.interpolate(places, clean.shape[-2:], mode="area")
        return denoising_loss(base, clean, guess, lot, focus / focus.mean(), MIDDLE_SHARE)

    make = Batches(source, *how.native_for(base.side), how.scenes, extras=where_things)
    optimiser = Optimiser(lora, *how.paced((RATE, RATE)), edges=("",))
    course = Course(f"lora-{subject}", folder, lora, optimiser, make, loss)
    return run_course(course, budget, total_seconds, how)


def load_lora(folder: Path, subject: str, base: Path = MODEL) -> Lora:
    """The trained layers with averaged weights. Raises FileNotFoundError before the first checkpoint."""
    state = trained(folder, f"lora-{subject}")
    lora = Lora(open_base(base).unet, RANK)
    lora.load_state_dict(state["average"])
    return lora


def export_lora(folder: Path, target: Path, subject: str, base: Path = MODEL, draw: Draw | None = None) -> int:
    """Writes SUBJECT.safetensors (kohya's names) and SUBJECT-diffusers.safetensors (PEFT's) into `target`, and a card.

    `draw` is what it was trained with, if that was given. Returns the bytes of the two. Raises FileNotFoundError before
    the first checkpoint and ValueError for a subject that there is not.
    """
    source = draw or SUBJECTS[checked(subject)][0]
    state = trained(folder, f"lora-{subject}")
    lora = load_lora(folder, subject, base)
    words = Counter(source(index, 64).text for index in range(32))
    metadata = kohya_metadata(lora, subject, words, int(state["step"]), base.name)
    size = save_tensors(target / f"{subject}.safetensors", kohya_tensors(lora), metadata)
    size += save_tensors(target / f"{subject}-diffusers.safetensors", peft_tensors(lora), {})
    about = f"A LoRA of rank {RANK} for the pocket model, in kohya's and in diffusers' format."
    if draw is None:
        about += f' The word that calls it is "{SUBJECTS[subject][1]}".'
    write_card(target / f"{subject}.md", f"pocket LoRA: {subject}", about, state)
    return size
