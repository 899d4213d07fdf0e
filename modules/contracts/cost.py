"""How much a request asks for, before anything is drawn: what fairness, credits and limits are counted in."""

from __future__ import annotations

import re

from modules.contracts.detailer import PROMPT, Detail
from modules.contracts.enlarging import png_size, sizes_of
from modules.contracts.request import GenerationRequest
from modules.contracts.style import STATISTICS
from modules.contracts.work_beside import networks_share, regions_of, rows_beside

_AND = re.compile(r"\bAND\b")
NATIVE_PIXELS = 512 * 512
"""Taken for a request that leaves the size to a model of which nothing is known."""
FRAMES_JOINED = 4
"""Frames of a film that are taken to be drawn as one; some models join more."""


def model_of(request: GenerationRequest) -> str:
    """Under which name the time that a job takes is learnt: its checkpoint, empty for the default; or its upscaler."""
    return (request.model.checkpoint or "") if request.enlarge is None else request.enlarge.upscaler


def models_of(request: GenerationRequest) -> frozenset[str]:
    """The names of all models that the job brings into memory: that of `model_of`, and its refiner's."""
    refiner = request.refiner.checkpoint if request.enlarge is None else None
    return frozenset({model_of(request), *([refiner] if refiner else [])})


def is_sized(request: GenerationRequest) -> bool:
    """Whether the request itself says how large its pictures are, so that the model need not be asked."""
    return (
        request.enlarge is not None
        or _from_picture(request) is not None
        or bool(request.canvas.width and request.canvas.height)
    )


def pixels_of(request: GenerationRequest, native: int = NATIVE_PIXELS) -> int:
    """Pixels of one picture of the first pass. `native` is what the model draws when it is left to it."""
    canvas, told = request.canvas, _from_picture(request)
    if told is not None:
        return told[0] * told[1]
    return canvas.width * canvas.height if canvas.width and canvas.height else native


def _from_picture(request: GenerationRequest) -> tuple[int, int] | None:
    """The size to which SD upscale or outpainting brings the picture; None without them, or where the picture's head
    does not tell."""
    if request.image is None or not request.image.images or not (request.upscale.acts or request.outpaint.acts):
        return None
    given = png_size(request.image.images[0])
    changes = request.upscale if request.upscale.acts else request.outpaint
    return None if given is None else changes.size_of(given)


def largest_of(request: GenerationRequest, native: int = NATIVE_PIXELS) -> int:
    """Pixels of one picture as it comes out, after a hires pass."""
    if request.enlarge is not None:
        return max(width * height for width, height in (size.final for size in sizes_of(request.enlarge)))
    hires, pixels = request.hires, pixels_of(request, native)
    if not hires.enabled:
        return pixels
    return max(pixels, hires.resize_width * hires.resize_height or round(pixels * hires.scale**2))


def pictures_of(request: GenerationRequest) -> int:
    """How many pictures it asks for."""
    if request.enlarge is not None:
        return len(request.enlarge.images)
    return request.canvas.batch_size * request.canvas.batch_count


def work_of(request: GenerationRequest, native: int = NATIVE_PIXELS) -> float:
    """The size of a job in megapixel-steps over all of its pictures, both passes of a hires one included.

    Two rows of a model call count as one, so that a picture of plain guidance has its own size; what ControlNets,
    references, image prompts, networks and a style add to a call counts in rows as well (`rows_beside`). Making
    pictures larger counts as one step at the size that comes out, for each upscaler and for a
    face restorer. A detail counts with the regions
    that may be expected (`regions_of`), which neither ControlNets nor references see. A film counts as one picture for
    its first frame and one for each four that follow, as far as the request says how long it is.
    """
    if request.enlarge is not None:
        made = sum(size.whole[0] * size.whole[1] for size in sizes_of(request.enlarge))
        return made * (len(request.enlarge.shares) + request.enlarge.restores) / 1e6
    hires = request.hires
    bound, free = rows_of(request)
    pixels, steps = float(pixels_of(request, native)), float(request.steps)
    if request.first_pass:
        steps = 0.0
    elif request.style.acts and request.style.method == STATISTICS:
        steps = 1.0  # nothing is drawn; looking at all pixels is not nothing
    elif request.image is not None:
        steps = share_run(request.steps, request.style.anew(request.image.denoising_strength))
    total = pixels * steps * (bound + free + rows_beside(request, bound, free, hires=False))
    if hires.enabled and hires.denoising_strength > 0:  # its schedule is made longer, so that all its steps are run
        larger = float(hires.resize_width * hires.resize_height) or pixels * hires.scale**2
        total += (
            larger * (hires.steps or request.steps) * (bound + free + rows_beside(request, bound, free, hires=True))
        )
    total += sum(_detail_work(request, detail, native) for detail in request.details) * (bound + free)
    return total / 2 * pictures_of(request) * latent_frames_of(request) / 1e6


def latent_frames_of(request: GenerationRequest) -> int:
    """How many pictures' work a film is; 1 where nothing is said of frames."""
    frames = request.film.frames
    return 1 if frames is None else 1 - (1 - frames) // FRAMES_JOINED


def _detail_work(request: GenerationRequest, detail: Detail, native: int) -> float:
    """Pixel-steps of a detail, with what networks of its words add."""
    side, detailer = native**0.5, detail.detailer
    pixels = (detailer.width or side) * (detailer.height or side)
    text = detailer.prompt.replace(PROMPT, request.prompt.text) or request.prompt.text
    each = pixels * share_run(detailer.steps or request.steps, detailer.strength) * (1 + networks_share(text))
    return regions_of(detail) * each


def share_run(steps: int, strength: float) -> int:
    """How many of the steps of image to image are run at that strength: A1111's number, but none at a strength of 0."""
    return int(min(strength, 0.999) * steps) + 1 if strength > 0 else 0


def rows_of(request: GenerationRequest) -> tuple[float, float]:
    """How many rows a picture has in a model call, on average over the steps: those of its prompts, and those without;
    one and one where nothing special is asked for.

    A prompt that joins n of them with `AND` has n + 1. Perp-Neg adds one where there is a negative prompt, each branch
    of guidance one a prompt. Outside the window of guidance there is only the prompt.
    """
    guidance, prompt = request.guidance, request.prompt
    texts = (prompt.text, request.hires.prompt if request.hires.enabled else "")
    count = 1 + max(len(_AND.findall(text)) for text in texts)
    negative = prompt.negative.strip() or request.hires.negative.strip()
    across = 1 if guidance.perp_neg > 0 and negative else 0
    inside = min(max(guidance.end - guidance.start, 0.0), 1.0)
    # What AND joins is mixed round the unguided answer at every step.
    unguided = inside * (1 + across) if count == 1 else 1 + inside * across
    return count * (1 + request.attention.rows()), unguided
