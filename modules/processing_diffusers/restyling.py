"""Style by statistics: jobs whose pictures get the look of another one without being drawn. No model is loaded."""

from __future__ import annotations

import numpy as np
from PIL import Image

from modules.contracts.infotext_fields import STYLE_FIELDS, fields_of
from modules.contracts.infotext_format import exact_prompts, write
from modules.contracts.plan import GenerationPlan, PicturePlan
from modules.contracts.result import Picture
from modules.control.style_statistics import transfer_style
from modules.processing_diffusers.pictures import decode_picture, resize_picture
from modules.processing_diffusers.progress import Run
from modules.processing_diffusers.recipe import FORMAT, find_versions, write_parameters
from modules.processing_diffusers.stages.begin import Material, gather_plan_material


def restyle(run: Run, version: str) -> None:
    """All batches of a plan that is not drawn, one after the other.

    Raises `InvalidRequest` for pictures that cannot be read, `JobCancelled` between pictures.
    """
    plan = run.plan
    material = gather_plan_material(plan, run.note)
    style = np.asarray(decode_picture(plan.request.style.image, "The style picture"))
    known: dict[int, Image.Image] = {}
    for number, batch in enumerate(plan.batches):
        if number in run.finished:
            continue
        with run.batch_of(number) as strand, strand.stage("style"):
            for place, picture in enumerate(batch):
                strand.check()
                source = place % len(material.images)
                if source not in known:  # nothing is drawn by lot, so one content gives one picture
                    known[source] = _restyled(plan, material, source, style)
                strand.deliver(_finish(plan, picture, known[source], tuple(run.notes), version))


def _restyled(plan: GenerationPlan, material: Material, place: int, style: np.ndarray) -> Image.Image:
    wish, size = plan.request.style, (plan.first.width, plan.first.height)
    content = resize_picture(material.images[place].convert("RGB"), size, "stretch")
    image = Image.fromarray(transfer_style(np.asarray(content), style, wish.strength, wish.content))
    return image if material.repaint is None else material.repaint.put_back(image, place)


def _finish(
    plan: GenerationPlan, picture: PicturePlan, image: Image.Image, notes: tuple[str, ...], version: str
) -> Picture:
    """The picture with what there is to say of it; sampler, model and seed had no part in it."""
    said = fields_of(plan, picture)
    fields = {
        "Size": f"{image.width}x{image.height}",
        **{key: said[key] for key in said if key in STYLE_FIELDS},
        **exact_prompts(picture.prompt, picture.negative),
        "Version": version,
    }
    recipe = {
        "format": FORMAT,
        "versions": {"atelier": version, **find_versions()},
        "mode": plan.mode,
        "prompt": picture.prompt,
        "negative_prompt": picture.negative,
        "seed": picture.seed,
        "subseed": picture.subseed,
        "index": picture.index,
        "style": plan.style.method if plan.style else None,
        "width": image.width,
        "height": image.height,
        "parameters": write_parameters(plan),
        "notes": list(notes),
    }
    infotext = write(picture.prompt, picture.negative, fields)
    return Picture(
        picture.index, image, picture.seed, picture.subseed, picture.prompt, picture.negative, infotext, recipe
    )
