"""What ControlNets beside a transformer see: latents of the units' maps, as the model's own autoencoder makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from modules.contracts.plan import ControlUse
from modules.processing_diffusers.control_part import ControlPart
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.stages.maps import Maps
from modules.processing_diffusers.steering_tokens import TokenUnit, sees_pixels

GLARE = 255 * 0.5
"""What white is multiplied by for networks that were trained on glaring lines."""


def prepare_tokens(job: Job, use: ControlUse, part: ControlPart, maps: Maps, pictures: int) -> TokenUnit:
    """The unit for that many pictures. It stands alone until `settle` has seen the others."""
    device, _ = job.model.place("denoiser")
    denoiser = job.model.loaded.components[job.model.family.denoiser]
    hints = _latents(job, part, maps.hints).to(device)
    return TokenUnit(
        use.unit,
        part,
        hints.expand(pictures, -1, -1, -1),
        job.model.adapter,
        (denoiser.config["num_layers"], denoiser.config.get("num_single_layers", 0)),
        maps.region,
        job.controls.condition_of(use) if part.loaded.kind == "union" else 0,
        places=_places(part, denoiser),
    )


def settle(units: Sequence[TokenUnit]) -> list[TokenUnit]:
    """The units of a pass, told whether all speak for the same runs of blocks."""
    depths = {tuple(unit.part.config.get(name) for name in ("num_layers", "num_single_layers")) for unit in units}
    alone = len(depths) == 1 and not any(unit.sees_pixels for unit in units)
    return [replace(unit, alone=alone) for unit in units]


def _latents(job: Job, part: ControlPart, hints: torch.Tensor) -> torch.Tensor:
    """The maps as the network sees them. The autoencoder's mean is taken, so equal maps look equal."""
    shown = hints.clamp(min=0).cpu()
    if sees_pixels(part):
        return shown * 2 - 1
    if part.loaded.glaring:
        shown = (shown * GLARE + 1.5) / 2  # which the autoencoder is given as 127.5 times the map, and a half
    masked = mask_channels(part)
    # SD 3's first networks were trained on latents without the shift, those for inpainting with it.
    bare = bool(part.config.get("force_zeros_for_pooled_projection")) and not masked
    latents = job.vae.look(job.vae_port, shown, note=job.strand.note, bare=bare)
    if bare:
        latents = latents * float(job.vae.module.config["scaling_factor"])
    if masked:
        hidden = (hints.cpu() < 0).any(dim=1, keepdim=True).to(latents)
        shown_cells = 1 - torch.nn.functional.interpolate(hidden, size=latents.shape[-2:])
        latents = torch.cat([latents, shown_cells], dim=1)
    return latents


def mask_channels(part: ControlPart) -> int:
    """Channels that the network has for a mask; 0 where it sees none."""
    config = part.config
    return int(config.get("extra_conditioning_channels") or config.get("extra_condition_channels") or 0)


def _places(part: ControlPart, denoiser: Any) -> Target | None:
    """Makes tokens of latents as the transformer does, for a network of SD 3 that cannot; None for the others."""
    if part.loaded.beside != "sd3" or part.config["use_pos_embed"]:
        return None
    embed = denoiser.pos_embed

    def make(*, latents: torch.Tensor) -> torch.Tensor:
        weight = embed.proj.weight
        # Under offloading its weights may wait in main memory, where so little is done as well; hooks may fetch them.
        there = latents.device if weight.is_meta else weight.device
        tokens: torch.Tensor = embed(latents.to(there, weight.dtype)).to(latents)
        return tokens

    return Target("positions", make, embed, ("latents",))
