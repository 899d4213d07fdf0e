"""Solvers behind the interface of diffusers' schedulers: `StudioEulerScheduler` and `StudioFlowScheduler`.

Both are diffusers' own Euler schedulers (noise table, shifting, `add_noise` or `scale_noise`, begin index, model input
scaling) with another way of choosing sigmas and of stepping, so that every diffusers pipeline takes them as they are.
One object serves one call of one pipeline at a time; every lane has its own.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.utils.torch_utils import randn_tensor

from modules.sd_samplers.handover import CALM, Handover
from modules.sd_samplers.itinerary import OpenTimesteps
from modules.sd_samplers.schedules import AYS_SD, NoiseTable, sigmas_for
from modules.sd_samplers.solvers import Method
from modules.sd_samplers.walk import Solver, Stochasticity, Walk

Generators: TypeAlias = Any
"""A torch.Generator, or a sequence of them, one per picture; None where there are none."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a scheduler was built for: the method, the schedule and the amounts of noise."""

    method: Method
    schedule: str
    """Internal name; `automatic` is the model's own and is for flow models only."""
    amounts: Stochasticity = field(default_factory=Stochasticity)
    discard_penultimate: bool = False
    rho: float | None = None
    anchors: tuple[float, ...] = AYS_SD


class Stepping(Handover):
    """What both schedulers share: running a solver, one model answer after the other.

    `timesteps` has one entry for every model call and `sigmas` the noise level at which each is made, and a last 0. A
    sampler with two calls a step has `order` 2 and 2 n - 1 entries for n steps. Pipelines cut that list in image to
    image at multiples of `order`, which is why every step but the last costs the same number of calls. Methods whose
    plan depends on where it begins (`Method.whole`) are laid from there instead: see `skip` of `set_timesteps`. With
    `Method.open` both lists grow as the walk goes on.
    """

    order: int
    sigmas: Any
    timesteps: Any
    flow: bool = False
    _step_index: int | None

    def set_course(self, course: Course) -> None:
        """Say what to do; called once by the builder, before `set_timesteps`."""
        self.course = course
        self.order = course.method.calls
        self.generators: Generators = None
        self.unguided: torch.Tensor | None = None
        """What the model answered to the latest call without guidance; whoever guides it says so before `step`."""
        self._first = 0
        self._calm, self._left = CALM, None
        self._place = 0.0
        self._solver: Solver | None = None
        self._road: tuple[float, ...] = ()
        self._template: Any = None
        self._free: Any = None

    def bind_generators(self, generators: Generators) -> None:
        """Generators for fresh noise, one per picture of the batch, for pipelines whose loop hands none to `step`."""
        self.generators = generators

    def index_for_timestep(self, timestep: Any, schedule_timesteps: Any = None) -> int:
        """The first call at that time step. Churn above the model's largest sigma makes several share one."""
        if self.course.method.open:
            return 0
        times = self.timesteps if schedule_timesteps is None else schedule_timesteps
        return int((times == timestep).nonzero()[0].item())

    def _lay(self, road: Sequence[float], skip: int, device: Any) -> None:
        """Take a road of sigmas, to be walked from step `skip` on, and name every model call along it."""
        self._road = tuple(float(sigma) for sigma in road)
        self._first, self._place, self._solver, self.unguided = skip, self._road[skip], None, None
        solver = self._solve(skip, lambda: 0.0)
        calls = [next(solver)[1]]
        if self.course.method.open:
            self._walked = OpenTimesteps(device)
            self.timesteps, self.sigmas = self._walked, torch.zeros(1)
            self._go_on_at(calls[0])
            return
        try:
            while True:
                calls.append(solver.send((0.0, 0.0))[1])
        except StopIteration:
            self.sigmas = torch.tensor([*calls, 0.0], dtype=torch.float32)
            self.timesteps = torch.tensor(self._times(calls), dtype=torch.float32, device=device)

    @abstractmethod
    def _times(self, sigmas: Sequence[float]) -> Any:
        """The time steps by which the model knows those sigmas."""

    def _go_on_at(self, sigma: float) -> None:
        """An open walk asks the model next at that sigma."""
        self.sigmas = torch.cat([self.sigmas[:-1], torch.tensor([sigma, 0.0], dtype=torch.float32)])
        self._walked.append(float(self._times([sigma])[0]))

    def share_done(self, calls: int) -> float:
        """How much of the way lies behind after that many model calls, 0 to 1.

        Calls are all alike where they are known beforehand; an open walk goes by the log of sigma.
        """
        if not self.course.method.open:
            return calls / len(self.timesteps)
        start, end = self._road[self._first], self._road[-2]
        if self._place == 0.0 or start == end:
            return float(self._place == 0.0)
        return math.log(start / self._place) / math.log(start / end)

    def _solve(self, first: int, noise: Any) -> Solver:
        course = self.course
        walk = Walk(
            self._road,
            noise,
            flow=self.flow,
            first=first,
            amounts=course.amounts,
            reached=self._reach,
            unguided=self._unguided,
            calm=self._calm,
        )
        return course.method.solve(walk)

    def _reach(self, sigma: float) -> None:
        self._place = sigma

    def _unguided(self, denoised: Any) -> Any:
        return denoised if self._free is None else self._free

    def _noise(self) -> torch.Tensor:
        """Standard normal noise like the latents; each picture's comes from its own generator."""
        like = self._template
        if self.generators is None or like is None:
            raise ValueError(
                "This sampler adds noise and was given no generator; pass `generator` to the pipeline or call "
                "`bind_generators` with one torch.Generator per picture."
            )
        given = self.generators
        generators = given if isinstance(given, torch.Generator) else list(given)
        if isinstance(generators, list) and len(generators) not in (1, like.shape[0]):
            raise ValueError(
                f"{len(generators)} generators were given for {like.shape[0]} pictures; one each is needed."
            )
        return randn_tensor(like.shape, generator=generators, device=like.device, dtype=torch.float32)

    def _advance(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, generator: Any) -> Any:
        """The next x in float32 and what the model took the finished picture to be."""
        if self.step_index is None:  # type: ignore[attr-defined]
            self._init_step_index(timestep)  # type: ignore[attr-defined]
        index: int = self.step_index  # type: ignore[attr-defined]
        if generator is not None:
            self.generators = generator
        x = sample.to(torch.float32)
        self._template = x
        if self._solver is None:
            self._solver = self._solve(self._first + self._begun(index, x) // self.order, self._noise)
            next(self._solver)
        sigma = float(self.sigmas[index])
        denoised = self._denoised(model_output.to(torch.float32), x, sigma)
        free, self.unguided = self.unguided, None
        self._free = None if free is None else self._denoised(free.to(torch.float32), x, sigma)
        try:
            following, coming = self._solver.send((x, denoised))
            if self.course.method.open:
                self._go_on_at(coming)
        except StopIteration as finished:
            following, self._place = finished.value, 0.0
        self._template = None
        self._step_index = index + 1
        return following, denoised

    def _begun(self, index: int, x: torch.Tensor) -> int:
        """The call that a walk begins with. Raises `ValueError` where the method cannot begin there or with that."""
        method = self.course.method
        if method.whole and index > 0:
            raise ValueError(
                f"This sampler cannot be entered at call {index}; lay its way from there with `skip` of set_timesteps."
            )
        if method.open and x.shape[0] > 1:
            raise ValueError(
                f"{x.shape[0]} pictures were given to a sampler whose steps follow one picture; draw them one by one."
            )
        return index

    def denoise(self, output: torch.Tensor, x: torch.Tensor, sigma: float | None = None) -> torch.Tensor:
        """The clean latents that the model's answer to the coming call at `x` means, in float32.

        `sigma` is the noise level that the model was told, where that was another one.
        """
        level = self._coming if sigma is None else sigma
        return self._denoised(output.to(torch.float32), x.to(torch.float32), level)

    def answer(self, clean: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The answer to the coming call at `x` that means those clean latents: the inverse of `denoise`.

        Every kind of prediction is a straight line in the answer. Its slope is 0 only at sigma 0, where no model is
        asked.
        """
        x = x.to(torch.float32)
        nothing = torch.zeros((), device=x.device)
        slope = self._denoised(nothing + 1, nothing, self._coming)
        return (clean - self._denoised(torch.zeros_like(x), x, self._coming)) / slope

    def show(self, x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, float]:
        """What a model is given for latents `x` as if they were at `sigma`: its input, and its time step."""
        return self._scaled(x, sigma), float(self._times([sigma])[0])

    def _scaled(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return x

    @property
    def _coming(self) -> float:
        return float(self.sigmas[self._step_index or 0])

    @abstractmethod
    def _denoised(self, output: torch.Tensor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """The clean latents that the model's output means at `sigma`; each kind of model has its own formula."""


class StudioEulerScheduler(Stepping, EulerDiscreteScheduler):
    """For models with a beta schedule: epsilon, v_prediction and sample prediction, zero terminal SNR included.

    Latents are x0 + sigma * noise, as with diffusers' Euler scheduler; `init_noise_sigma` is the first sigma, as in
    A1111.
    """

    @property
    def init_noise_sigma(self) -> Any:
        """Standard deviation of the first latents."""
        return self.sigmas[0]

    @property
    def noise_table(self) -> NoiseTable:
        """The model's noise levels."""
        alphas = self.alphas_cumprod.double().numpy()
        return NoiseTable(np.sqrt((1 - alphas) / alphas), True, self.course.anchors)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        skip: int = 0,
    ) -> None:
        """Lay out the calls for that many steps of the course's schedule, those of the first `skip` steps left out.

        `timesteps` and `sigmas` of a pipeline only tell the number of steps; `mu` has no meaning here.
        """
        steps = _count(num_inference_steps, timesteps, sigmas)
        course, table = self.course, self.noise_table
        shape = {} if course.rho is None else {"rho": course.rho}
        discard = course.discard_penultimate
        road = sigmas_for(course.schedule, table, steps, discard_penultimate=discard, **shape).tolist()
        self._lay(road, skip, device)
        self.num_inference_steps = steps
        self._step_index = None
        self._begin_index = None

    def _times(self, sigmas: Sequence[float]) -> Any:
        return 0.25 * np.log(sigmas) if self._continuous() else self.noise_table.time_at(np.asarray(sigmas))

    def _continuous(self) -> bool:
        config = self.config
        return bool(config.timestep_type == "continuous" and config.prediction_type == "v_prediction")

    def _scaled(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return x / math.sqrt(sigma**2 + 1)

    def _denoised(self, output: torch.Tensor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        kind = self.config.prediction_type
        if kind == "epsilon":
            return x - output * sigma
        if kind == "v_prediction":
            return x / (sigma**2 + 1) - output * (sigma / math.sqrt(sigma**2 + 1))
        return output

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> Any:
        """Take the model's answer at the current call and give the latents for the next one, in the answer's dtype.

        Eta and churn are the plan's, so `step` takes neither. With `return_dict` False: (latents, denoised).
        """
        following, denoised = self._advance(model_output, timestep, sample, generator)
        following = following.to(model_output.dtype)
        return _Output(following, denoised) if return_dict else (following, denoised)


class StudioFlowScheduler(Stepping, FlowMatchEulerDiscreteScheduler):
    """For flow-matching models: latents are (1 - sigma) * x0 + sigma * noise, the model answers with a velocity.

    Shifting, by constant or by `mu`, is diffusers'; `automatic` is its schedule untouched.
    """

    flow = True

    def noise_table(self, mu: float | None) -> NoiseTable:
        """The model's noise levels, shifted as for a picture that `mu` stands for."""
        count = int(self.config.num_train_timesteps)
        even = np.linspace(1 / count, 1, count)
        if self.config.use_dynamic_shifting:
            shifted = np.asarray(self.time_shift(mu, 1.0, even))
        else:
            shifted = self.shift * even / (1 + (self.shift - 1) * even)
        return NoiseTable(shifted, False, self.course.anchors)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | None = None,
        skip: int = 0,
    ) -> None:
        """As `StudioEulerScheduler.set_timesteps`. Sigmas of the pipeline are used by `automatic` only."""
        steps = _count(num_inference_steps, timesteps, sigmas)
        course = self.course
        super().set_timesteps(None if sigmas is not None else steps, device=device, sigmas=sigmas, mu=mu)
        if course.schedule == "automatic":
            road = self.sigmas.double().tolist()
        else:
            shape = {} if course.rho is None else {"rho": course.rho}
            discard = course.discard_penultimate
            table = self.noise_table(mu)
            road = sigmas_for(course.schedule, table, steps, discard_penultimate=discard, **shape).tolist()
        self._lay(road, skip, device)
        self.num_inference_steps = steps

    def stretch_shift_to_terminal(self, t: Any) -> Any:
        """diffusers' own, but for a single step, which begins at full noise and has nothing to be stretched by."""
        return t if t[-1] == 1 else super().stretch_shift_to_terminal(t)

    def _times(self, sigmas: Sequence[float]) -> Any:
        # Rounded as diffusers does it, so that the model is told the same.
        return (torch.tensor(sigmas, dtype=torch.float32) * self.config.num_train_timesteps).tolist()

    def _denoised(self, output: torch.Tensor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return x - output * sigma

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> Any:
        """As `StudioEulerScheduler.step`."""
        following, denoised = self._advance(model_output, timestep, sample, generator)
        following = following.to(model_output.dtype)
        return _Output(following, denoised) if return_dict else (following, denoised)


@dataclass
class _Output:
    """What `step` gives with `return_dict`; the names are diffusers'."""

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor


def _count(steps: int | None, timesteps: Sequence[float] | None, sigmas: Sequence[float] | None) -> int:
    """The number of steps that a pipeline means."""
    for given in (timesteps, sigmas):
        if given is not None:
            return len(given)
    if steps is None:
        raise ValueError("set_timesteps needs the number of steps.")
    return int(steps)
