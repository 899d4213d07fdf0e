"""Noise of a picture: drawn on the CPU in fp32 from the picture's own seeds, whatever it is batched with.

`torch.Generator("cpu")` gives the same numbers on every machine, so a picture depends on its recipe and not on the
device, its neighbours in a batch, or its place in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from modules.contracts.plan import PicturePlan

Shape = tuple[int, ...]
"""Channels, height and width in latent cells; of a film channels, frames, height and width."""

DRAW = "draw"
"""The stream that plain diffusers would use."""


def make_generator(seed: int, stream: str = DRAW) -> torch.Generator:
    """A CPU generator. Streams of one seed (`draw`, `encode`, `fill`) are unrelated."""
    if stream != DRAW:
        # torch's CPU generator looks at 32 bits of a seed only, so the name of the stream is mixed into these.
        digest = hashlib.blake2b(f"{stream} {seed}".encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "little")
    generator = torch.Generator("cpu")
    generator.manual_seed(seed)
    return generator


@dataclass(frozen=True, slots=True)
class NoisePlan:
    """What shapes the noise besides the seeds."""

    shape: Shape
    strength: float = 0.0
    """Share of the variation seed's noise, 0 to 1."""
    source: tuple[int, int] | None = None
    """Height and width in latent cells of the picture that the seed is known from (seed resize)."""
    offset: float = 0.0
    """How far each channel is moved, in standard deviations."""


def draw_noise(pictures: Sequence[PicturePlan], plan: NoisePlan) -> tuple[torch.Tensor, list[torch.Generator]]:
    """Initial noise with unit variance, of shape (pictures, C, H, W) or (films, C, T, H, W), and per picture the
    generator to draw on from.

    With an offset each channel has a mean of its own, from another stream of the picture's seed: what offset noise
    (N. Guttenberg, Diffusion with Offset Noise, 2023) is to training.
    """
    generators = [make_generator(picture.seed) for picture in pictures]
    drawn = torch.stack(
        [_draw(picture, generator, plan) for picture, generator in zip(pictures, generators, strict=True)]
    )
    if plan.offset:
        drawn = drawn + plan.offset * draw_more(pictures, (plan.shape[0], *[1] * (len(plan.shape) - 1)), "offset")
    return drawn, generators


def draw_more(pictures: Sequence[PicturePlan], shape: Shape, stream: str) -> torch.Tensor:
    """Further unit noise of shape (pictures, C, H, W) from another stream of each picture's seed."""
    return torch.stack([torch.randn(shape, generator=make_generator(item.seed, stream)) for item in pictures])


def _draw(picture: PicturePlan, generator: torch.Generator, plan: NoisePlan) -> torch.Tensor:
    source = plan.shape if plan.source is None else (*plan.shape[:-2], *plan.source)
    noise = torch.randn(source, generator=generator)
    if plan.strength > 0:
        variation = torch.randn(source, generator=make_generator(picture.subseed))
        noise = interpolate_on_sphere(noise, variation, plan.strength)
    if source == plan.shape:
        return noise
    return place_in_middle(noise, torch.randn(plan.shape, generator=make_generator(picture.seed)))


def interpolate_on_sphere(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """From `first` (share 0) to `second` (share 1) along the great arc, so that the variance stays what it was.

    Shoemake, Animating Rotation with Quaternion Curves (1985), on the whole tensor as one vector.
    """
    if share <= 0 or share >= 1:
        return first.clone() if share <= 0 else second.clone()
    cosine = torch.dot(first.flatten(), second.flatten()) / (first.norm() * second.norm())
    angle = torch.arccos(cosine.clamp(-1, 1))
    if angle.sin() < 1e-4:
        return torch.lerp(first, second, share)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second) / angle.sin()


def place_in_middle(noise: torch.Tensor, canvas: torch.Tensor) -> torch.Tensor:
    """`canvas` (…, H, W) with `noise` (…, h, w) over its middle, cut where it sticks out."""
    result = canvas.clone()
    rows = _overlap(noise.shape[-2], canvas.shape[-2])
    columns = _overlap(noise.shape[-1], canvas.shape[-1])
    result[..., rows[1], columns[1]] = noise[..., rows[0], columns[0]]
    return result


def _overlap(small: int, large: int) -> tuple[slice, slice]:
    """Where the middle of one axis lies in the source and in the target."""
    length = min(small, large)
    source, target = max(small - large, 0) // 2, max(large - small, 0) // 2
    return slice(source, source + length), slice(target, target + length)
