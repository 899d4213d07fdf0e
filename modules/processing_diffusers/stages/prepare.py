"""What a batch begins with: noise, and for image to image the picture's own latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from modules.contracts.plan import PassPlan, PicturePlan
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.noise import NoisePlan, Shape, draw_noise
from modules.processing_diffusers.referring import Referring
from modules.processing_diffusers.steering import Steering
from modules.processing_diffusers.tone import Toning


@dataclass(frozen=True, slots=True)
class Beginning:
    """Everything is fp32, of shape (pictures, channels, height, width) in latent cells, on the denoiser's device. Films
    have an axis for time behind the channels."""

    noise: torch.Tensor
    generators: Sequence[torch.Generator]
    """Per picture, on the CPU; the sampler draws on from them."""
    latents: torch.Tensor | None = None
    """What to start from; None is noise alone."""
    repaint: torch.Tensor | None = None
    """1 where to draw anew, 0 where to keep `latents`; None draws everything."""
    gradual: bool = False
    """What is between 0 and 1 in `repaint` says how large a share of the pass, counted from its end, is drawn."""
    masked: dict[str, Any] | None = None
    """Further arguments of a pipeline whose denoiser sees mask and masked picture."""
    steering: Steering | None = None
    """What ControlNets add to each call."""
    referring: Referring | None = None
    """What the pictures look at while they are drawn."""
    seen: torch.Tensor | None = None
    """Latents of the pictures that an editing model is shown beside those it draws."""
    glimpse: Mapping[str, torch.Tensor] | None = None
    """Further arguments of each call of the denoiser that say what it sees, a row a picture."""
    toning: Toning | None = None
    """Corrections of what each step takes the finished latents to be."""

    def only(self, place: int) -> Beginning:
        """The beginning of one picture of the batch."""
        row, count = slice(place, place + 1), self.noise.shape[0]
        return replace(
            self,
            noise=self.noise[row],
            generators=self.generators[row],
            latents=None if self.latents is None else self.latents[row],
            masked=None if self.masked is None else row_of(self.masked, place, count),
            steering=None if self.steering is None else self.steering.only(place),
            referring=None if self.referring is None else self.referring.only(place),
            seen=None if self.seen is None else self.seen[row],
            glimpse=None if self.glimpse is None else row_of(self.glimpse, place, count),
        )


def row_of(arguments: Mapping[str, Any], place: int, count: int) -> dict[str, Any]:
    """Arguments of a pipeline's call for one picture out of `count`: that row of every tensor that has one for each."""
    return {
        key: value[place : place + 1] if isinstance(value, torch.Tensor) and value.shape[0] == count else value
        for key, value in arguments.items()
    }


def latent_shape(job: Job, pass_plan: PassPlan) -> Shape:
    """Channels, height and width of one picture's latents, or channels, frames, height and width of one film's."""
    family, film = job.model.family, job.plan.film
    frames = () if film is None else (film.latent_frames,)
    sides = (pass_plan.height // family.latent_factor, pass_plan.width // family.latent_factor)
    return (family.latent_channels, *frames, *sides)


def draw_beginning(job: Job, pictures: Sequence[PicturePlan], pass_plan: PassPlan) -> Beginning:
    """Noise only, from the seeds of each picture."""
    seeds, factor = job.plan.request.seeds, job.model.family.latent_factor
    source = None
    if seeds.resize_from_width > 0 and seeds.resize_from_height > 0:
        source = (max(seeds.resize_from_height // factor, 1), max(seeds.resize_from_width // factor, 1))
    plan = NoisePlan(latent_shape(job, pass_plan), seeds.subseed_strength, source, seeds.noise_offset)
    noise, generators = draw_noise(pictures, plan)
    device, _ = job.model.place("denoiser")
    return Beginning(noise.to(device), generators)
