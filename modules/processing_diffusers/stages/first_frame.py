"""Films that begin with a given picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from modules.contracts.plan import PicturePlan
from modules.control.image_prompt import show_to
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.pictures import resize_picture
from modules.processing_diffusers.stages.prepare import Beginning, draw_beginning
from modules.processing_diffusers.tensors import to_tensor

GREY = 0.5
"""What a film that is not drawn yet shows after its first frame."""
IMAGE_WORDS = "encoder_hidden_states_image"


def begin_with_frame(job: Job, pictures: Sequence[PicturePlan], images: Sequence[Image.Image]) -> Beginning:
    """Noise for the whole film, and the picture that it begins with: one for all films, or one each.

    Where the family keeps it, the first latent frame is that of the picture: it is put back after each step, and the
    denoiser sees it as it is, without noise. Where it is shown, the denoiser sees it beside all that it draws.
    """
    beginning = draw_beginning(job, pictures, job.plan.first)
    work, device = (job.plan.first.width, job.plan.first.height), beginning.noise.device
    sized = [resize_picture(image, work, "stretch").convert("RGB") for image in images]
    rows = [place % len(sized) for place in range(len(pictures))]
    if job.model.family.first_frame == "shown":
        seen = torch.cat([_shown(job, image) for image in sized])[rows]
        return replace(beginning, seen=seen.to(device), glimpse=_glimpse(job, sized, rows))
    frame = job.vae.look(job.vae_port, to_tensor(sized), note=job.strand.note, bare=False)[rows].unsqueeze(2).to(device)
    latents = torch.zeros_like(beginning.noise)
    latents[:, :, :1] = frame
    drawn = torch.ones_like(beginning.noise[:1, :1])
    drawn[:, :, :1] = 0
    return replace(beginning, latents=latents, repaint=drawn, seen=frame)


def _shown(job: Job, image: Image.Image) -> torch.Tensor:
    """What the denoiser sees of a film that is grey after the picture: for each cell as many channels as it stands for
    frames, 1 where these are known, and the film's latents (1, channels, frames, height, width).

    Wan Team (arXiv:2503.20314), section 5.1.
    """
    film, factor = job.plan.film, job.model.family.frame_factor
    assert film is not None  # planned for families of films
    picture = to_tensor([image]).unsqueeze(2)
    grey = torch.full_like(picture, GREY).expand(-1, -1, film.frames - 1, -1, -1)
    frames = torch.cat([picture, grey], dim=2)
    latents = job.vae.look(job.vae_port, frames, note=job.strand.note, bare=False)
    known = torch.zeros_like(latents[:, :1]).repeat(1, factor, 1, 1, 1)
    known[:, :, 0] = 1
    return torch.cat([known, latents], dim=1)


def _glimpse(job: Job, images: Sequence[Image.Image], rows: Sequence[int]) -> dict[str, torch.Tensor]:
    """What the model's eyes say of the pictures, where it has some."""
    eyes = job.model.eyes
    if eyes is None:
        return {}
    device, dtype = job.model.place("text_encoder")
    pixels = torch.cat([show_to(eyes.module, np.asarray(image)) for image in images])
    (said,) = job.port.call(eyes, pixels=pixels.to(device, dtype))
    return {IMAGE_WORDS: said[list(rows)].float().to(job.model.place("denoiser")[0])}
