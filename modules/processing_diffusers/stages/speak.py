"""Pictures of IP-Adapters on their way to a pass: seen by an image encoder, said in keys and values."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from modules.contracts.errors import InvalidRequest
from modules.contracts.plan import ControlUse, PassPlan
from modules.control.image_blocks import parse_blocks, weight_at
from modules.control.image_prompt import show_to
from modules.processing_diffusers.control_part import PromptPart
from modules.processing_diffusers.image_prompts import ImagePrompt
from modules.processing_diffusers.inside.speaking import find_cross_attentions
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.pictures import decode_mask, decode_picture
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.stages.sources import sources_of
from modules.processing_diffusers.style_plan import NUMBER


def prepare_speeches(job: Job, count: int, material: Material | None, pass_plan: PassPlan) -> tuple[ImagePrompt, ...]:
    """The IP-Adapters of that pass, for `count` pictures. Raises `InvalidRequest` for pictures that cannot be read, and
    for parts of the denoiser that are not there."""
    return tuple(_prepare(job, use, part, count, material, pass_plan) for use, part in job.controls.speaking(pass_plan))


def _prepare(
    job: Job, use: ControlUse, part: PromptPart, count: int, material: Material | None, pass_plan: PassPlan
) -> ImagePrompt:
    # A picture of the unit's own is looked at whole, whatever part of the drawing is worked on.
    label = "The style picture" if use.number == NUMBER else f"The picture of ControlNet unit {use.number}"
    if use.unit.image:
        images = [np.asarray(decode_picture(use.unit.image, label))]
    else:
        entry = job.controls.catalog.find_preprocessor(use.module)
        images = [given.image for given in sources_of(use, entry, material)]
    shown = torch.cat([show_to(part.encoder.module, image) for image in images])
    said, rows = _hear(job, part, shown), [place % len(images) for place in range(count)]
    return ImagePrompt(
        use.unit,
        _weights(job, use),
        tuple(one[rows] for one in said),
        tuple(one[[-1] * count] for one in said),
        _region(job, use, material, pass_plan)[[0] * count] if use.unit.mask else None,
    )


def _hear(job: Job, part: PromptPart, shown: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Keys and values for the pictures, and behind them for what adapters were trained to take for no picture: no
    features for those that read an embedding, a picture of zeros for those that read the encoder's inner layer."""
    device, dtype = job.model.place("denoiser")
    pixels = torch.cat([shown, torch.zeros_like(shown[:1])]).to(device, dtype)
    embedding, inner = job.port.call(part.encoder.target, pixels=pixels)
    if part.prompter.wish[0] == "projection_dim":
        inner = torch.cat([embedding[:-1], torch.zeros_like(embedding[:1])])
    found: tuple[torch.Tensor, ...] = job.port.call(part.target, seen=inner)
    return found


def _weights(job: Job, use: ControlUse) -> tuple[float, ...]:
    """For each cross-attention, by the unit's weight and blocks."""
    label = f"ControlNet unit {use.number}"
    blocks = parse_blocks(use.unit.hint.blocks, job.model.family.id.partition("-")[0], label)
    paths = find_cross_attentions(job.model.fittings.shelves[job.model.fittings.denoiser])
    for name, _ in blocks:
        if not any(path.startswith(f"{name}.") for path in paths):
            known = ", ".join(dict.fromkeys(path.partition(".transformer_blocks")[0] for path in paths))
            raise InvalidRequest(f"{label}: {name} has no cross-attention in this model; some are in {known}.")
    return tuple(use.unit.weight * weight_at(path, blocks) for path in paths)


def _region(job: Job, use: ControlUse, material: Material | None, pass_plan: PassPlan) -> torch.Tensor:
    """The unit's mask, which lies over the drawing, (1, height, width) in cells of the latents on the denoiser's
    device; of a cut-out that is worked on, its part."""
    mask, size = (
        decode_mask(use.unit.mask, f"The mask of ControlNet unit {use.number}"),
        (pass_plan.width, pass_plan.height),
    )
    if material is not None and material.repaint is not None and material.repaint.box is not None:
        whole = material.repaint.originals[0].size
        mask = mask.resize(whole, Image.Resampling.BILINEAR).crop(material.repaint.box)
    if mask.size != size:
        mask = mask.resize(size, Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(mask, np.float32)) / 255
    device, factor = job.model.place("denoiser")[0], job.model.family.latent_factor
    return torch.nn.functional.avg_pool2d(pixels[None], factor).to(device)
