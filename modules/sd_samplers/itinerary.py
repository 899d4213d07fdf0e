"""Time steps of a sampler that finds its way as it goes, in the shape in which pipelines read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

import torch


class OpenTimesteps:
    """A row of time steps that grows while it is walked along.

    A pipeline's loop goes over it, makes the model call of each and hands the answer to the scheduler, which adds the
    next one, or none when the picture is finished. Its length is what is known so far. It stands for a whole schedule
    only: a part that leaves out the beginning cannot be had.
    """

    def __init__(self, device: Any = None) -> None:
        self._known: list[torch.Tensor] = []
        self._device = device

    def append(self, time: float) -> None:
        """The next time step."""
        self._known.append(torch.tensor(time, dtype=torch.float32, device=self._device))

    @property
    def device(self) -> torch.device:
        """Where the time steps lie."""
        return self._known[0].device

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[torch.Tensor]:
        place = 0
        while place < len(self._known):
            yield self._known[place]
            place += 1

    @overload
    def __getitem__(self, place: int) -> torch.Tensor: ...

    @overload
    def __getitem__(self, place: slice) -> Any: ...

    def __getitem__(self, place: int | slice) -> Any:
        """A time step; as a slice, the row itself when nothing is cut, else a tensor of what is known of that part."""
        if isinstance(place, int):
            return self._known[place]
        if place == slice(None) or (place.start == 0 and place.stop is None and place.step in (None, 1)):
            return self
        if place.stop is None:
            raise ValueError("A sampler that finds its way as it goes can only be walked from its beginning.")
        return torch.stack(self._known[place])

    def to(self, device: Any, **named: Any) -> torch.Tensor:
        """What is known so far, as a tensor there."""
        return torch.stack(self._known).to(device, **named)
