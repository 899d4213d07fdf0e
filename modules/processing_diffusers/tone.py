"""Brightness, colour and reach of a pass's latents, corrected on what each step takes the finished picture to be.

Not the noisy latents are changed but the clean ones that the model's answer means, so a correction does not depend on
what the model predicts or how latents are noised. What was corrected before is in the latents already, and the model
goes on from there, or takes a part of it back. So light and colour are aimed at a mark: what the picture's means were
when the corrections began, plus what is asked for. Large areas stand early in a run, so that is near to what the model
would have drawn.

Detail only comes as the noise goes, so there is no mark for it. It is made stronger by as much as is not in the latents
yet: at noise level s, where the first was S, a deterministic sampler still misses the share s / S of a correction,
however it steps, since a share in proportion to s adds the same slope everywhere along the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from modules.contracts.tone import ReachParams, ToneParams
from modules.processing_diffusers.tail import ScheduleTail

Cells = Callable[[torch.Tensor], torch.Tensor]
Mixer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
DETAIL = 0.75
"""Share of the steps from which on detail is sharpened: what is sharpened earlier, a model draws anew."""
FOURS = 4.0
"""In how many units of the latents the reach is counted, as SD.Next does."""


@dataclass(frozen=True, eq=False, slots=True)
class Axes:
    """Means of latents of plain pictures, fp32, of shape (1, channels, 1, 1)."""

    black: torch.Tensor
    white: torch.Tensor
    tint: torch.Tensor
    """From the grey that is as bright as the tint to the tint."""


@dataclass(frozen=True, slots=True)
class Window:
    """The steps of a pass that are corrected, by number from 0, and the noise level at which they begin."""

    first: int
    stop: int
    high: float

    @classmethod
    def of_detail(cls, levels: Sequence[float], start: float, end: float) -> Window | None:
        """The late ones of those steps; all of them where none is late."""
        return cls.of(levels, max(start, DETAIL), end) or cls.of(levels, start, end)

    @classmethod
    def of(cls, levels: Sequence[float], start: float, end: float) -> Window | None:
        """The steps that begin at or after one share of all and before the other; None where there are none.

        `levels` are those at which the steps begin, and that after the last one.
        """
        steps = len(levels) - 1
        inside = [step for step in range(steps) if start <= step / steps < end and levels[step] > 0]
        return cls(inside[0], inside[-1] + 1, levels[inside[0]]) if inside else None

    def missing(self, level: float, eta: float) -> float:
        """The share of a correction that is not in the latents yet at that noise level.

        With fresh noise at `eta` a step goes down further than to the level that it ends at, so less is missing.
        """
        return float(min(level / self.high, 1.0) ** (1 + eta))


class ToneCourse:
    """The corrections of one pass. No picture's values reach another's."""

    def __init__(
        self, tone: ToneParams, reach: ReachParams, axes: Axes | None, window: Window, late: Window | None = None
    ) -> None:
        """`axes` is None where only the reach is corrected; `late` is the window for detail, where that is another."""
        self._tone, self._reach, self._axes, self._window = tone, reach, axes, window
        self._late = late or window
        self._own: torch.Tensor | None = None
        """Means (B, C, 1, 1) of the clean latents as the model meant them when the corrections began."""

    def correct(self, clean: torch.Tensor, step: int, level: float, eta: float = 0.0) -> torch.Tensor:
        """Clean latents (B, C, H, W), fp32, of that step of the pass, counted from 0, at that noise level.

        `eta` is the sampler's, 0 where it adds no fresh noise. Outside the window the very tensor comes back.
        """
        if not self._window.first <= step < self._window.stop:
            return clean
        if self._axes is not None:
            clean = clean + self._moved(clean, self._axes)
        if self._tone.sharpen and self._late.first <= step:
            share = grown(1 + self._tone.sharpen, self._late.missing(level, eta))
            clean = clean + share * (clean - blurred(clean))
        if self._reach.maximize:
            clean = self._stretched(clean, self._window.missing(level, eta))
        return pressed(clean, self._reach) if self._reach.clamp else clean

    def _moved(self, clean: torch.Tensor, axes: Axes) -> torch.Tensor:
        """By how much the means have to move so that they are where they were in the beginning plus what is asked for.

        Only along the ways that are asked for: light, tint and cast.
        """
        tone, black = self._tone, axes.black.to(clean)
        axis, tint = axes.white.to(clean) - black, axes.tint.to(clean)
        mean = clean.mean(dim=(-2, -1), keepdim=True)
        if self._own is None:
            self._own = mean
        own, ways, aim = self._own, [], self._own
        light = ((own - black) * axis).sum(1, keepdim=True) / (axis * axis).sum().clamp(min=1e-12)
        if tone.brightness or tone.mode == "absolute":
            lighter = (0.5 - light if tone.mode == "absolute" else 0.0) + tone.brightness
            ways.append(axis)
            aim = aim + lighter * axis
        if tone.tint_ratio:
            ways.append(tint)
            aim = aim + tone.tint_ratio * tint
        if tone.color:
            cast = own - black - light * axis
            ways.append(cast)
            aim = aim - tone.color * cast
        return along(ways, aim - mean)

    def _stretched(self, clean: torch.Tensor, missing: float) -> torch.Tensor:
        reach = self._reach
        centred = clean + grown(1 - reach.max_center, missing) * clean.mean(dim=(-2, -1), keepdim=True)
        peak = centred.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
        return centred * (FOURS * reach.max_boundary / peak)


def along(ways: Sequence[torch.Tensor], vectors: torch.Tensor) -> torch.Tensor:
    """What of vectors, their values along the second axis, lies in the space of the ways (Gram and Schmidt)."""
    found = torch.zeros_like(vectors)
    basis: list[torch.Tensor] = []
    for way in ways:
        least = 1e-4 * _length(way) + 1e-12
        for known in basis:
            way = way - (way * known).sum(1, keepdim=True) * known
        # What is left of a way that the others make up is rounding.
        basis.append(torch.where(_length(way) > least, way / _length(way).clamp(min=1e-12), 0.0))
        found = found + (vectors * basis[-1]).sum(1, keepdim=True) * basis[-1]
    return found


def _length(vectors: torch.Tensor) -> torch.Tensor:
    return vectors.square().sum(1, keepdim=True).sqrt()


def grown(factor: float, missing: float) -> float:
    """How much of itself a part of the picture gets, so that it is `factor` times as large as it was in the beginning,
    where it has become so already but for the share that is `missing`."""
    return factor / (missing + (1 - missing) * factor) - 1 if factor > 0 else -1.0


def blurred(latents: torch.Tensor) -> torch.Tensor:
    """Each cell as the mean of the three by three round it; beyond an edge is what is at the edge."""
    framed = torch.nn.functional.pad(latents, (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.avg_pool2d(framed, 3, stride=1)


def pressed(latents: torch.Tensor, reach: ReachParams) -> torch.Tensor:
    """Values beyond the threshold brought smoothly to below the boundary; the others are not touched."""
    edge = reach.threshold * reach.boundary
    room = reach.boundary - edge
    beyond = (latents.abs() - edge).clamp(min=0)
    soft = latents.sign() * (edge + room * torch.tanh(beyond / room))
    return torch.where(beyond > 0, soft, latents)


@dataclass(frozen=True, eq=False, slots=True)
class Toning:
    """The corrections of a pass with the layout of its denoiser's latents."""

    course: ToneCourse
    unpack: Cells
    """From the denoiser's layout to (B, C, H, W)."""
    pack: Cells

    def around(self, tail: ScheduleTail, begin: int, eta: float, mixer: Mixer | None) -> Mixer:
        """What a tail, whose steps are those of the pass from `begin` on, asks in place of `mixer`.

        `eta` is how much fresh noise its sampler adds.
        """
        calls = 0

        def mix(output: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            step = begin + tail.step_at(calls) - 1
            calls += 1
            mixed = output if mixer is None else mixer(output, sample)
            clean = self.unpack(tail.denoise(mixed, sample))
            toned = self.course.correct(clean, step, tail.level, eta)
            return mixed if toned is clean else tail.answer(self.pack(toned), sample)

        return mix
