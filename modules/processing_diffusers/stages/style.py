"""The style picture and the content of a pass, brought into latents for the drawing to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from modules.contracts.control import ControlUnit
from modules.contracts.plan import PassPlan
from modules.contracts.style import SHARED
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.noise import make_generator
from modules.processing_diffusers.pictures import decode_picture, resize_picture
from modules.processing_diffusers.referring import CONTENT, STYLE, Reference
from modules.processing_diffusers.stages.begin import Material
from modules.processing_diffusers.style_plan import NUMBER
from modules.processing_diffusers.tensors import to_tensor


def prepare_styles(job: Job, count: int, material: Material | None, pass_plan: PassPlan) -> Iterator[Reference]:
    """What the drawing looks at for its style, and for the shapes of the picture that it starts from.

    Raises `InvalidRequest` for a style picture that cannot be read.
    """
    use, style = job.plan.style, job.plan.request.style
    if use is None:
        return
    if use.method == SHARED:
        shown = [decode_picture(style.image, "The style picture")]
        yield _reference(job, NUMBER, STYLE, shown, count, pass_plan, 1 - style.strength)
    if material is not None and style.content > 0:
        yield _reference(job, NUMBER + 1, CONTENT, material.images, count, pass_plan, 1 - style.content)


def _reference(
    job: Job, number: int, role: str, shown: Sequence[Image.Image], count: int, pass_plan: PassPlan, keep: float
) -> Reference:
    size = (pass_plan.width, pass_plan.height)
    images = [resize_picture(image.convert("RGB"), size, "crop") for image in shown]
    # The same draw from the posterior for every picture, so that one of a batch is what it would be alone.
    generators = [make_generator(0, "reference") for _ in images]
    latents = job.vae.encode(job.vae_port, to_tensor(images), generators, note=job.strand.note)
    rows = [place % len(images) for place in range(count)]
    return Reference(
        number, ControlUnit(enabled=True), role, latents.to(job.model.place("denoiser")[0])[rows], fidelity=keep
    )
