"""How much a request asks for, before anything is drawn: what fairness, credits and limits are counted in."""

from __future__ import annotations

from modules.contracts.request import GenerationRequest

NATIVE_PIXELS = 512 * 512
"""Taken for a request that leaves the size to a model of which nothing is known."""


def pixels_of(request: GenerationRequest, native: int = NATIVE_PIXELS) -> int:
    """Pixels of one picture of the first pass. `native` is what the model draws when it is left to it."""
    canvas = request.canvas
    return canvas.width * canvas.height if canvas.width and canvas.height else native


def largest_of(request: GenerationRequest, native: int = NATIVE_PIXELS) -> int:
    """Pixels of one picture as it comes out, after a hires pass."""
    hires, pixels = request.hires, pixels_of(request, native)
    if not hires.enabled:
        return pixels
    return max(pixels, hires.resize_width * hires.resize_height or round(pixels * hires.scale**2))


def pictures_of(request: GenerationRequest) -> int:
    """How many pictures it asks for."""
    return request.canvas.batch_size * request.canvas.batch_count


def work_of(request: GenerationRequest, native: int = NATIVE_PIXELS) -> float:
    """The size of a job in megapixel-steps over all of its pictures, both passes of a hires one included."""
    sampling, hires = request.sampling, request.hires
    pixels, steps = float(pixels_of(request, native)), float(sampling.steps)
    if request.image is not None:
        steps *= max(request.image.denoising_strength, 1 / max(sampling.steps, 1))
    total = pixels * steps
    if hires.enabled:
        larger = float(hires.resize_width * hires.resize_height) or pixels * hires.scale**2
        total += larger * (hires.steps or sampling.steps) * hires.denoising_strength
    return total * pictures_of(request) / 1e6
