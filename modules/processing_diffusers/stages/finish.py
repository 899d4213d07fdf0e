"""From an image to a picture that knows how it was made."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from PIL import Image

from modules.contracts.infotext_fields import infotext_of
from modules.contracts.plan import PicturePlan
from modules.contracts.result import Picture
from modules.processing_diffusers.detail_plan import describe_details
from modules.processing_diffusers.face_plan import describe_faces
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.recipe import write_recipe


def finish_picture(
    job: Job, picture: PicturePlan, image: Image.Image, version: str, restorer: str | None = None
) -> Picture:
    """Write infotext and recipe of a picture that is as it will be; `restorer` is the hash of what restored faces."""
    plan = job.plan
    model = job.identify()
    read = (picture.prompt, picture.negative, *(text for text in astuple(picture.words) if text))
    extra: dict[str, Any] = {**job.networks.hashes(picture, read)}
    refiner, use = None if job.refiner is None else job.refiner.identify(), plan.refiner
    if refiner is not None:
        extra["Refiner"] = refiner.title
    hooks = job.strand.context.hooks
    if hooks is not None:
        extra |= {key: value for key, value in hooks.fields(picture.index).items() if key not in extra}
    infotext = infotext_of(
        plan,
        picture,
        model_hash=model.short_hash,
        vae_name=None if plan.vae is None else plan.vae.name,
        vae_hash=_short(job.vae.sha256),
        version=version,
        extra=extra,
    )
    recipe = write_recipe(
        plan,
        picture,
        version=version,
        hashes={"model": model.sha256, "vae": job.vae.sha256, "text_encoder": (job.model.reader or (None, None))[1]},
        device=plan.placement["denoiser"].device,
        settings=job.settings,
        notes=tuple(job.strand.notes),
    )
    recipe = {**recipe, "networks": job.networks.describe(picture, read)}
    if plan.controls:
        recipe = {**recipe, "control": job.controls.describe()}
    if plan.details:
        recipe = {**recipe, "details": describe_details([detail.wanted for detail in plan.details])}
    if plan.faces is not None and restorer is not None:
        recipe = {**recipe, "faces": {**describe_faces(plan.faces, restorer), "weight": plan.faces.weight}}
    if refiner is not None and use is not None:
        told = {"name": refiner.name, "family": use.family.id, "sha256": refiner.sha256}
        recipe = {**recipe, "refiner": {**told, "at": use.at, "by_steps": use.by_steps}}
    return Picture(
        picture.index, image, picture.seed, picture.subseed, picture.prompt, picture.negative, infotext, recipe
    )


def _short(sha256: str | None) -> str | None:
    return sha256[:10] if sha256 else None
