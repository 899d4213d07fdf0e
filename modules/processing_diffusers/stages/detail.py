"""Regions of finished pictures drawn once more, each at a size of its own, and put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageChops

from modules.contracts.control import NO_CONTROL
from modules.contracts.handover import ONE_SAMPLER
from modules.contracts.plan import DetailPlan, PicturePlan
from modules.contracts.refiner import NO_REFINER
from modules.contracts.request import MAX_SEED, HiresParams, ImageParams, InpaintParams
from modules.contracts.tone import PLAIN_REACH, PLAIN_TONE
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.masks import find_region, soften_mask
from modules.processing_diffusers.stages.begin import begin_from_picture, cut_material
from modules.processing_diffusers.stages.decode import decode_latents
from modules.processing_diffusers.stages.denoise import denoise
from modules.processing_diffusers.stages.encode import encode_pass
from modules.processing_diffusers.workbench import set_up_pipeline


def detail_pictures(
    job: Job, pictures: Sequence[PicturePlan], images: Sequence[Image.Image], repainted: Image.Image | None
) -> list[Image.Image]:
    """The pictures with their details drawn; pixels where no mask is stay bit for bit.

    Details come one after the other, each of them sees what those before it made, and so does each region. In a picture
    that was repainted under a mask, `repainted`, nothing but what lies under that is drawn once more.
    """
    finished = list(images)
    for number in range(len(pictures[0].details)):
        plans = [picture.details[number] for picture in pictures]
        with job.strand.stage("detail"):
            found = [_find(job, plan, image) for plan, image in zip(plans, finished, strict=True)]
            regions = sum(map(len, found))
            _tell(job, plans[0], number, regions)
            with job.strand.shared_by(regions, plans[0].paint.steps):
                for place, plan in enumerate(plans):
                    for order, mask in enumerate(found[place]):
                        job.strand.check()
                        finished[place] = _repaint(job, plan, order, finished[place], mask, repainted)
    return finished


def _find(job: Job, plan: DetailPlan, image: Image.Image) -> list[Image.Image]:
    return job.tools.detectors.find(plan.detector, plan.wanted.regions, image, job.port)


def _tell(job: Job, plan: DetailPlan, number: int, regions: int) -> None:
    if regions == 0:
        job.strand.note(f"Detail {number + 1}: {plan.detector.name} found nothing, so nothing was drawn once more.")


def _repaint(
    job: Job, plan: DetailPlan, order: int, image: Image.Image, mask: Image.Image, repainted: Image.Image | None
) -> Image.Image:
    """The picture with one region drawn."""
    words = plan.words[min(order, len(plan.words) - 1)]
    if words is None:
        return image
    wanted, work = plan.wanted.detailer, (plan.paint.width, plan.paint.height)
    soft = soften_mask(mask, image.size, blur=(wanted.blur, wanted.blur), invert=False)
    if repainted is not None:
        soft = ImageChops.multiply(soft, repainted)
    box = find_region(soft, wanted.padding, work[0] / work[1])
    if box is None:
        return image
    words = replace(words, seed=(words.seed + order) % (MAX_SEED + 1))
    part = _narrow(job, plan, words)
    inpaint = InpaintParams(fill="original", only_masked=wanted.only_masked)
    material = cut_material([image], soft, box if wanted.only_masked else None, work, inpaint)
    conditioning = encode_pass(part, [words], plan.paint, material.images)
    beginning = begin_from_picture(part, [words], material)
    (drawn,) = decode_latents(part, denoise(part, plan.paint, conditioning, beginning))
    assert material.repaint is not None  # there is a mask
    return material.repaint.put_back(drawn, 0)


def _narrow(job: Job, plan: DetailPlan, words: PicturePlan) -> Job:
    """The same job for one region: image to image under a mask, without what belongs to the whole picture.

    ControlNets see the whole, a refiner and a second sampler had their turn, brightness and colour are corrected, and a
    part of a tile is none.
    """
    request, paint = job.plan.request, plan.paint
    wanted = plan.wanted.detailer
    narrowed = replace(
        request,
        prompt=replace(request.prompt, areas=""),  # they lie over the whole picture, not over a part of it
        canvas=replace(request.canvas, width=paint.width, height=paint.height, batch_size=1, tiling=False),
        seeds=replace(request.seeds, resize_from_width=0, resize_from_height=0),
        sampling=replace(request.sampling, steps=wanted.steps or request.steps, cfg_scale=paint.cfg_scale),
        hires=HiresParams(),
        image=ImageParams(denoising_strength=wanted.strength),
        inpaint=InpaintParams(fill="original"),
        first_pass=b"",
        handover=ONE_SAMPLER,
        control=NO_CONTROL,
        refiner=NO_REFINER,
        features=replace(request.features, shrink=1.0),
        tone=PLAIN_TONE,
        reach=PLAIN_REACH,
    )
    batches = tuple((words,) if number == job.strand.batch else () for number in range(len(job.plan.batches)))
    own = replace(job.plan, request=narrowed, batches=batches, first=paint, hires=None, encoded=())
    port = replace(job.port, patches=())
    return replace(job, plan=own, port=port, pipeline=set_up_pipeline(job.model, port, own), refiner=None)
