"""Image to image and inpainting: what a batch begins with when there is a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops

from modules.contracts.plan import GenerationPlan, PassPlan, PicturePlan
from modules.contracts.request import ImageParams, InpaintParams, OutpaintParams
from modules.control.style_statistics import transfer_style
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.masks import (
    Box,
    blend,
    cells_to_repaint,
    fade_from,
    find_region,
    soften_mask,
    spread_colours,
)
from modules.processing_diffusers.noise import draw_more, make_generator
from modules.processing_diffusers.pictures import decode_mask, decode_picture, resize_picture
from modules.processing_diffusers.sizes import Size
from modules.processing_diffusers.stages.first_frame import begin_with_frame
from modules.processing_diffusers.stages.larger import upscale_given
from modules.processing_diffusers.stages.prepare import Beginning, draw_beginning
from modules.processing_diffusers.tensors import to_tensor


@dataclass(frozen=True, slots=True)
class Repaint:
    """How a drawn picture goes back into the one it was made from."""

    originals: Sequence[Image.Image]
    """What comes back untouched outside the mask: one for all pictures, or one each."""
    mask: Image.Image
    """Soft, of the originals' size."""
    box: Box | None
    """The cut-out that was worked on; None is the whole picture."""

    def put_back(self, drawn: Image.Image, place: int) -> Image.Image:
        """The whole picture with `drawn` under the mask; every pixel where the mask is black is the original's."""
        original = self.originals[place % len(self.originals)]
        left, top, right, bottom = self.box or (0, 0, *original.size)
        patch = resize_picture(drawn, (right - left, bottom - top), "stretch")
        canvas = original.copy()
        canvas.paste(patch, (left, top))
        return blend(canvas, original, self.mask)


@dataclass(frozen=True, slots=True)
class Material:
    """Pictures of the work's size, and the way back for inpainting."""

    images: Sequence[Image.Image]
    mask: Image.Image | None = None
    """Of the work's size; white is shown anew."""
    repaint: Repaint | None = None
    drawn: Image.Image | None = None
    """Of the work's size; white is drawn anew. None is as `mask`."""


def gather_material(job: Job) -> Material:
    """Decode and resize what the request brought. Raises `InvalidRequest` for pictures that cannot be read."""
    plan = job.plan
    material = gather_plan_material(plan, job.strand.note, lambda images: upscale_given(job, images))
    if plan.style is None:
        return material
    # Noise does not hide the palette of a picture, so it begins with that of the style: what Style Injection in
    # Diffusion (arXiv:2312.09008, section 4.3) does to the first latents, done to the picture.
    wish, style = plan.request.style, np.asarray(decode_picture(plan.request.style.image, "The style picture"))
    images = [
        Image.fromarray(transfer_style(np.asarray(image.convert("RGB")), style, wish.strength, wish.content))
        for image in material.images
    ]
    return replace(material, images=images)


def gather_plan_material(
    plan: GenerationPlan,
    note: Callable[[str], None],
    enlarge: Callable[[Sequence[Image.Image]], list[Image.Image]] | None = None,
) -> Material:
    """The same for a plan alone; `note` tells the person something, `enlarge` is what SD upscale begins with."""
    request, first = plan.request, plan.first
    params = request.image or ImageParams()
    images = [decode_picture(data, f"Picture {number}") for number, data in enumerate(params.images, 1)]
    work = (first.width, first.height)
    if request.outpaint.acts:
        return _grow(images, request.outpaint, work, request.inpaint)
    if request.inpaint is None:
        if first.upscaler is not None and enlarge is not None:
            return Material(enlarge(images))
        if params.resize_mode == "latent":
            return Material(images)
        return Material([resize_picture(image, work, params.resize_mode) for image in images])
    mask = decode_mask(request.inpaint.mask, "The mask")
    if request.inpaint.only_masked:
        return _cut_out(note, images, mask, request.inpaint, work)
    target = (request.canvas.width or images[0].width, request.canvas.height or images[0].height)
    mode = "stretch" if params.resize_mode == "latent" else params.resize_mode
    originals = [resize_picture(image, target, mode) for image in images]
    if mask.size == images[0].size:
        mask = resize_picture(mask, target, mode)
    soft = soften_mask(mask, target, blur=_blur_of(request.inpaint), invert=request.inpaint.invert)
    return cut_material(originals, soft, None, work, request.inpaint)


def _grow(
    images: Sequence[Image.Image], outpaint: OutpaintParams, work: Size, inpaint: InpaintParams | None
) -> Material:
    """The pictures on their larger canvas, whose margins are to be drawn, and what a mask says of the pictures besides.

    What is neither margin nor overlap nor masked comes back bit for bit.
    """
    given, canvas = images[0].size, outpaint.size_of(images[0].size)
    corner = (outpaint.left, outpaint.top)
    images = [resize_picture(image, given, "stretch") for image in images]
    unknown = Image.new("L", canvas, 255)
    unknown.paste(0, (*corner, corner[0] + given[0], corner[1] + given[1]))
    soft = ImageChops.lighter(fade_from(outpaint.kept(given), canvas, outpaint.blur), unknown)
    if inpaint is not None:
        mask = decode_mask(inpaint.mask, "The mask")
        marked = Image.new("L", canvas, 0)
        marked.paste(soften_mask(mask, given, blur=_blur_of(inpaint), invert=inpaint.invert), corner)
        soft = ImageChops.lighter(soft, marked)
    grown = []
    for image in images:
        sheet = Image.new("RGB", canvas)
        sheet.paste(image, corner)
        grown.append(spread_colours(sheet, unknown))
    # The margins have their colours already, and the overlap keeps its own to begin with.
    how = repainting_of(inpaint, outpaint)
    return cut_material(grown, soft, None, work, replace(how, fill="original") if how.fill == "fill" else how)


def repainting_of(inpaint: InpaintParams | None, outpaint: OutpaintParams) -> InpaintParams:
    """How the latents under a mask begin; margins say so for both."""
    if outpaint.acts:
        return replace(inpaint or InpaintParams(), fill=outpaint.fill, only_masked=False, latent_mask=b"")
    return inpaint or InpaintParams()


def _cut_out(
    note: Callable[[str], None],
    images: Sequence[Image.Image],
    mask: Image.Image,
    inpaint: InpaintParams,
    work: Size,
) -> Material:
    """The region round the mask at the work's size."""
    size = images[0].size
    images = [resize_picture(image, size, "stretch") for image in images]
    soft = soften_mask(mask, size, blur=_blur_of(inpaint), invert=inpaint.invert)
    box = find_region(soft, inpaint.padding, work[0] / work[1])
    if box is None:
        note("The mask is all black, so nothing was repainted.")
    return cut_material(images, soft, box, work, inpaint)


def cut_material(
    originals: Sequence[Image.Image], soft: Image.Image, box: Box | None, work: Size, inpaint: InpaintParams
) -> Material:
    """Pictures under a soft mask of their size, cut to `box` if there is one, and brought to the work's size."""
    pieces = [image.crop(box) if box else image for image in originals]
    piece_mask = soft.crop(box) if box else soft
    images = [resize_picture(piece, work, "stretch") for piece in pieces]
    mask = piece_mask if piece_mask.size == work else piece_mask.resize(work, Image.Resampling.BILINEAR)
    drawn = None if not inpaint.latent_mask else _latent_mask(inpaint.latent_mask, soft.size, box, work)
    if inpaint.gradual:
        # Grey is a matter of time there and not of mixing: what was drawn at all is shown whole.
        drawn, soft = drawn or mask, soft.point(lambda value: 255 if value else 0)
    if inpaint.fill == "fill":
        images = [spread_colours(image, drawn or mask) for image in images]
    return Material(images, mask, Repaint(originals, soft, box), drawn)


def _latent_mask(data: bytes, size: Size, box: Box | None, work: Size) -> Image.Image:
    """A mask of the latents' own, taken as it is: it lies over the whole picture, which is of that size."""
    given = soften_mask(decode_mask(data, "The latent mask"), size, blur=(0, 0), invert=False)
    piece = given.crop(box) if box else given
    return piece if piece.size == work else piece.resize(work, Image.Resampling.BILINEAR)


def _blur_of(inpaint: InpaintParams) -> Size:
    return inpaint.blur, inpaint.blur if inpaint.blur_y is None else inpaint.blur_y


def begin_from_picture(job: Job, pictures: Sequence[PicturePlan], material: Material) -> Beginning:
    """Noise, the pictures' latents, and for inpainting what to repaint."""
    if job.model.family.first_frame:
        return begin_with_frame(job, pictures, material.images)
    request = job.plan.request
    params = request.image or ImageParams()
    beginning = draw_beginning(job, pictures, job.plan.first)
    device = beginning.noise.device
    latents = _encode(job, pictures, material, bool(job.plan.encoded)).to(device)
    noise = beginning.noise * params.noise_multiplier
    beginning = replace(beginning, noise=noise, latents=latents, seen=look(job, pictures, material, job.plan.first))
    if material.mask is None:
        return _see_everything(job, pictures, job.plan.first, beginning)
    return _mask_beginning(job, pictures, material, beginning, repainting_of(request.inpaint, request.outpaint))


def _encode(job: Job, pictures: Sequence[PicturePlan], material: Material, in_latents: bool) -> torch.Tensor:
    images = material.images
    if in_latents:
        factor, sizes = job.model.family.latent_factor, job.plan.encoded
        images = [resize_picture(image, size, "stretch") for image, size in zip(images, sizes, strict=True)]
        cells = (job.plan.first.height // factor, job.plan.first.width // factor)
        rows = [
            torch.nn.functional.interpolate(
                _encode_images(job, [picture], [images[place % len(images)]]), size=cells, mode="bilinear"
            )
            for place, picture in enumerate(pictures)
        ]
        return torch.cat(rows)
    return _encode_images(job, pictures, images)


def _encode_images(job: Job, pictures: Sequence[PicturePlan], images: Sequence[Image.Image]) -> torch.Tensor:
    """Latents of each picture of the batch; one image serves all, each with its own draw from the posterior."""
    spread = list(images) if len(images) == len(pictures) else [images[0]] * len(pictures)
    generators = [make_generator(picture.seed, "encode") for picture in pictures]
    return job.vae.encode(job.vae_port, to_tensor(spread), generators, note=job.strand.note)


def look(
    job: Job, pictures: Sequence[PicturePlan], material: Material | None, pass_plan: PassPlan
) -> torch.Tensor | None:
    """What an editing model is shown of the picture that each of the batch is made from, at the size of the pass."""
    family = job.model.family
    if material is None or not (family.seen_channels or family.seen_tokens):
        return None
    work = (pass_plan.width, pass_plan.height)
    images = [resize_picture(image, work, "stretch") for image in material.images]
    seen = job.vae.look(job.vae_port, to_tensor(images), note=job.strand.note, bare=family.seen_channels)
    rows = [place % len(images) for place in range(len(pictures))]
    return seen[rows].to(job.model.place("denoiser")[0])


def _mask_beginning(
    job: Job, pictures: Sequence[PicturePlan], material: Material, beginning: Beginning, inpaint: InpaintParams
) -> Beginning:
    mask, latents, device = material.mask, beginning.latents, beginning.noise.device
    if mask is None or latents is None:
        return beginning
    drawn_anew, factor = material.drawn or mask, job.model.family.latent_factor
    whole = inpaint.round and not inpaint.gradual
    cells = torch.from_numpy(cells_to_repaint(drawn_anew, factor, whole=whole))[None, None].to(device)
    if inpaint.fill == "latent noise":
        drawn = draw_more(pictures, tuple(latents.shape[1:]), "fill").to(device)
        latents = latents * (1 - cells) + drawn * cells
    elif inpaint.fill == "latent nothing":
        latents = latents * (1 - cells)
    if inpaint.gradual:
        beginning = replace(beginning, repaint=cells, gradual=True)
    if not job.model.family.masked_channels:
        return replace(beginning, latents=latents, repaint=cells)
    white = torch.from_numpy(cells_to_repaint(mask, 1))[None, None]
    seen = _encode_images(job, pictures, _hide(material.images, mask))
    return _masked(job, white, seen.to(device), replace(beginning, latents=latents))


def _hide(images: Sequence[Image.Image], mask: Image.Image) -> list[Image.Image]:
    """The pictures with mid-grey where they will be drawn anew, which is what nine-channel models were trained on."""
    hard = mask.point(lambda value: 255 if value > 0 else 0)
    grey = Image.new("RGB", mask.size, (127, 127, 127))
    return [Image.composite(grey, image, hard) for image in images]


def _see_everything(job: Job, pictures: Sequence[PicturePlan], size_of: PassPlan, beginning: Beginning) -> Beginning:
    """For an inpainting model without a mask: all is to be drawn, and nothing of the picture is shown."""
    if not job.model.family.masked_channels:
        return beginning
    size = (size_of.width, size_of.height)
    white = torch.ones(1, 1, size_of.height, size_of.width)
    grey = _encode_images(job, pictures, [Image.new("RGB", size, (127, 127, 127))])
    return _masked(job, white, grey.to(beginning.noise.device), beginning)


def _masked(job: Job, white: torch.Tensor, seen: torch.Tensor, beginning: Beginning) -> Beginning:
    """The beginning with what an inpainting model is told: by its pipeline, or shown beside what it draws."""
    shown = job.model.adapter.beside(white.to(seen.device), seen)
    if shown is not None:
        return replace(beginning, seen=shown)
    return replace(beginning, masked=_masked_arguments(job, white, seen))


def _masked_arguments(job: Job, white: torch.Tensor, seen: torch.Tensor) -> dict[str, Any]:
    """Arguments of the inpainting pipelines. `image` is asked for but not looked at, as the latents are given."""
    batch, height, width = seen.shape[0], white.shape[-2], white.shape[-1]
    return {
        "image": torch.zeros(batch, 3, height, width),
        "mask_image": white.expand(batch, -1, -1, -1),
        "masked_image_latents": seen,
        "strength": 1.0,
    }


def begin_from_nothing(job: Job, pictures: Sequence[PicturePlan], pass_plan: PassPlan) -> Beginning:
    """Noise alone; an inpainting model is told that everything is to be drawn."""
    return _see_everything(job, pictures, pass_plan, draw_beginning(job, pictures, pass_plan))
