"""From latents to pictures."""

from __future__ import annotations

import torch
from PIL import Image

from modules.processing_diffusers.job import Job
from modules.processing_diffusers.tensors import to_images


def decode_latents(job: Job, latents: torch.Tensor) -> list[Image.Image]:
    """RGB images of a batch. What the VAE cannot hold in half precision is decoded again in fp32, with a note."""
    upcast = bool(job.settings["upcast_vae_on_nan"])
    return to_images(job.vae.decode(job.vae_port, latents, note=job.strand.note, upcast=upcast))
