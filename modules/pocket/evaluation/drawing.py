"""What the properties ask of a model: an order, and whatever turns an order into pictures.

Properties know nothing else of what they measure, so that plain diffusers pipelines (`pipelines`), the studio's engine
and the pictures that a test makes up are judged by the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
"""RGB, uint8, of shape (number, height, width, 3)."""


@dataclass(frozen=True, slots=True)
class Order:
    """Pictures to draw, one for each prompt; what is None is the model's own default."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    """One for each prompt. A picture follows from its own seed and not from what else is in the order."""
    negative: str = ""
    steps: int | None = None
    guidance: float | None = None
    size: int | None = None
    """Width and height in pixels."""
    images: Pictures | None = None
    """Pictures to start from or to paint in, one for each prompt, or to be guided by where `control` is given."""
    strength: float = 1.0
    """How much of the pictures to start from is drawn anew; 1 for a picture from nothing."""
    masks: NDArray[np.uint8] | None = None
    """(number, height, width); 255 is painted anew, 0 stays."""
    control: str = ""
    """Name of a ControlNet that `images` are the hints of."""
    adapter: str = ""
    """Name of a LoRA or a textual inversion."""
    weight: float = 1.0
    """Of the control or of the adapter."""

    def __post_init__(self) -> None:
        if len(self.prompts) != len(self.seeds):
            raise ValueError(f"one seed for each prompt; given {len(self.prompts)} prompts, {len(self.seeds)} seeds")
        for name, value in (("images", self.images), ("masks", self.masks)):
            if value is not None and len(value) != len(self.prompts):
                raise ValueError(f"one of {name} for each prompt; given {len(self.prompts)} prompts, {len(value)}")

    def part(self, start: int, end: int) -> Order:
        """The order for some of the pictures only."""
        return replace(
            self,
            prompts=self.prompts[start:end],
            seeds=self.seeds[start:end],
            images=None if self.images is None else self.images[start:end],
            masks=None if self.masks is None else self.masks[start:end],
        )


class Draw(Protocol):
    """Turns an order into pictures."""

    def __call__(self, order: Order) -> Pictures:
        """One picture for each prompt, uint8 (prompts, height, width, 3), in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a whole evaluation draws; what is None is the model's own default."""

    steps: int | None = None
    guidance: float | None = None
    size: int | None = None
    seed: int = 1000
    """Of the first picture of a property; the others follow one by one."""

    def order(self, prompts: tuple[str, ...] | list[str]) -> Order:
        """The plain order of these prompts."""
        seeds = tuple(self.seed + place for place in range(len(prompts)))
        return Order(tuple(prompts), seeds, steps=self.steps, guidance=self.guidance, size=self.size)
