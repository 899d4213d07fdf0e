"""The scheduler as a lane's pipeline sees it: prepared beforehand, begun where the pass begins.

With this, one plain pipeline call serves text to image, image to image and the hires pass alike: the latents go in with
as much noise as the first time step run wants, and the pipeline neither scales them nor cuts the schedule itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch


@functools.cache
def names_of_arguments(function: Callable[..., Any]) -> frozenset[str]:
    """What a function may be given by name; looked up once, as that takes longer than many a step of a small model."""
    return frozenset(inspect.signature(function).parameters)


class ScheduleTail:
    """The last `run` steps of a scheduler. Not shared between lanes."""

    init_noise_sigma = 1.0
    """Latents come in ready."""

    def __init__(
        self,
        scheduler: Any,
        steps: int,
        run: int,
        *,
        device: torch.device,
        arguments: Mapping[str, Any],
        came: float | None = None,
        left: int = 0,
    ) -> None:
        """`steps` is the length of the whole schedule; of `arguments` the scheduler gets those that it knows.

        `came` is the noise level at which another sampler left the latents, which go in as they are; `left` is how many
        steps at the end are for another one.
        """
        known = names_of_arguments(type(scheduler).set_timesteps)
        named = {key: arguments[key] for key in arguments if key in known}
        scheduler.set_timesteps(steps, device=device, skip=steps - run, **named)
        if came is not None:
            scheduler.come_in(came, device)
        if left:
            scheduler.leave_at(steps - left, device)
        self._scheduler = scheduler
        self.config = scheduler.config
        self.denoised: torch.Tensor | None = None
        """What the model took the finished latents to be at the latest step, in the denoiser's layout."""
        self.mixer: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
        """Gives what to step with in place of the pipeline's answer, from that answer and the latents."""
        self.stepper: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None
        """Asked last, and gives both what to step with and the latents to step from."""
        self.ended: Callable[[int, Any, torch.Tensor], torch.Tensor] | None = None
        """Told of the number, the time and the latents of each step, and gives the latents to go on with; for pipelines
        that tell nobody themselves."""
        self._ended = 0
        self.order = int(scheduler.order)
        self.timesteps = scheduler.timesteps
        self._run = run - left
        self.set_begin_index(0)

    @property
    def one_by_one(self) -> bool:
        """Pictures of a batch have to be drawn one after the other, as each has steps of its own."""
        return bool(self._scheduler.course.method.open)

    @property
    def times(self) -> list[float]:
        """The model's time step at which each step of the tail begins."""
        return [float(time) for time in self.timesteps[:: self.order]]

    @property
    def levels(self) -> list[float]:
        """The noise level at which each step of the tail begins, and that after the last one."""
        return [float(level) for level in self._scheduler.sigmas[: len(self.timesteps) : self.order]] + [self.ends_at]

    @property
    def level(self) -> float:
        """The sigma at which the model is asked next, on the scale of the sampler's schedule."""
        return float(self._scheduler.sigmas[self._scheduler.step_index or 0])

    @property
    def plus(self) -> bool:
        """The sampler is CFG++, and `hear` is to be told what the denoiser says without guidance."""
        return bool(self._scheduler.course.method.plus)

    def hear(self, unguided: torch.Tensor) -> None:
        """The denoiser's newest answer without guidance, before the step that it belongs to."""
        self._scheduler.unguided = unguided

    def denoise(self, output: torch.Tensor, sample: torch.Tensor, sigma: float | None = None) -> torch.Tensor:
        """The clean latents that an answer to the coming call means, in fp32; `sigma` is what the model was told."""
        clean: torch.Tensor = self._scheduler.denoise(output, sample, sigma)
        return clean

    def answer(self, clean: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """The answer to the coming call that means those clean latents; the inverse of `denoise`."""
        output: torch.Tensor = self._scheduler.answer(clean, sample)
        return output

    def steps_done(self, index: int) -> float | None:
        """How many of the steps run are done after the model call `index`; None where a step is not finished by it.

        Whole steps for samplers that know their way; what finds its way as it goes tells of parts of a step, too.
        """
        done = self._scheduler.share_done(index + 1) * self._run
        if self.one_by_one:
            return done
        return float(int(done + 1e-9)) if (index + 1) % self.order == 0 or index + 1 == len(self.timesteps) else None

    def step_at(self, index: int) -> int:
        """Which of the steps run, counted from 1, the model call `index` belongs to; known once it is the next one."""
        if self.one_by_one:
            return int(self._scheduler.share_done(index) * self._run + 1e-9) + 1
        return index // self.order + 1

    def count_at(self, index: int, *, each: bool) -> int:
        """A1111's count of the model call `index`: its own number where `each` call counts, else its step's, from 0."""
        return index if each else index // self.order

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_scheduler"], name)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        timesteps: Any = None,
        mu: float | None = None,
    ) -> None:
        """The schedule stands already; what the pipeline asks for is what was prepared."""

    def set_begin_index(self, index: int = 0) -> None:
        """Where the pipeline's loop begins, counted within the tail."""
        self._scheduler.set_begin_index(index)

    def step(self, *given: Any, **named: Any) -> Any:
        """One step of the scheduler; what it does not take (such as `generator`) was given to it when it was built."""
        if self.mixer is not None:
            output, timestep, sample, *rest = given
            given = (self.mixer(output, sample), timestep, sample, *rest)
        if self.stepper is not None:
            output, timestep, sample, *rest = given
            output, sample = self.stepper(output, sample)
            given = (output, timestep, sample, *rest)
        result = self._scheduler.step(*given, **named)
        if isinstance(result, tuple) and len(result) > 1:
            self.denoised = result[1]
        if self.ended is not None:
            latents = self.ended(self._ended, given[1], result[0])
            self._ended += 1
            return (latents, *result[1:])
        return result

    def start(self, latents: torch.Tensor | None, noise: torch.Tensor) -> torch.Tensor:
        """What goes into the first step: noise at its scale, or `latents` with as much noise as that step wants."""
        if latents is None:
            return noise * getattr(self._scheduler, "init_noise_sigma", 1.0)
        return self.add(latents, noise, self.timesteps[:1])

    def add(self, latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """`latents` with the noise of a time step, given as a tensor of one element."""
        spread = timestep.expand(latents.shape[0])
        if hasattr(self._scheduler, "add_noise"):
            return self._scheduler.add_noise(latents, noise, spread)
        return self._scheduler.scale_noise(latents, spread, noise)

    @property
    def ends_at(self) -> float:
        """The noise level after the last step; 0 is a finished picture."""
        return float(self._scheduler.ends_at)

    def after(self, index: int, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """`latents` with the noise that is left after step `index` of the tail."""
        if index + 1 >= len(self.timesteps):
            end = self.ends_at
            return latents if end == 0 else latents * (1 - end if self._scheduler.flow else 1.0) + noise * end
        return self.add(latents, noise, self.timesteps[index + 1 : index + 2])
