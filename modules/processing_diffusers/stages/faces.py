"""Faces of decoded pictures restored."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from modules.processing_diffusers.job import Job


def restore_faces(job: Job, images: Sequence[Image.Image]) -> tuple[list[Image.Image], str | None]:
    """The pictures with their faces drawn anew where the plan has a restorer, and the hash of its file.

    Pixels away from faces stay bit for bit. Cancelling stops before the next face. Raises `BrokenModel` for a file that
    is none, `UnknownModel` for one that has gone.
    """
    plan = job.plan.faces
    if plan is None:
        return list(images), None
    with job.strand.stage("faces"), job.tools.faces.lease(plan) as faces:
        assert faces is not None  # there is a plan
        return [faces.restore(job.port, image, job.strand.check) for image in images], faces.network.sha256
