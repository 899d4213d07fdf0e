"""From latents to pictures and films."""

from __future__ import annotations

import torch
from PIL import Image

from modules.contracts.result import Film
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.tensors import to_images


def decode_latents(job: Job, latents: torch.Tensor) -> list[Image.Image]:
    """RGB images of a batch. What the VAE cannot hold in half precision is decoded again in fp32, with a note."""
    upcast = bool(job.settings["upcast_vae_on_nan"])
    return to_images(job.vae.decode(job.vae_port, latents, note=job.strand.note, upcast=upcast))


def decode_films(job: Job, latents: torch.Tensor) -> list[Film]:
    """A film for each row of (films, C, T, H, W) latents; one frame alone where the plan wants a still picture.

    They are decoded one after the other: what a frame is decoded to depends on those before it, so a film's memory is
    that of many pictures.
    """
    film = job.plan.film
    assert film is not None  # planned for families of films
    upcast = bool(job.settings["upcast_vae_on_nan"])
    found = []
    for row in latents.split(1):
        frames = job.vae.decode(job.vae_port, row, note=job.strand.note, upcast=upcast)[0].movedim(1, 0)
        found.append(Film(tuple(to_images(frames)), film.fps, film.format))
        job.strand.check()
    return found
