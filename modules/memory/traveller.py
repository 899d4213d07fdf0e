"""Weights that live in main memory and come to the device for the length of a computation.

What travels is a copy; the tensors at home stay where and what they are. So coming home costs no transfer, the very
objects return (tied weights stay tied, and whoever keeps a parameter by reference keeps the right one), and a
computation that fails half-way cannot lose a weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class _Place:
    """One entry of a module's parameters or buffers while a copy stands in it."""

    table: dict[str, Any]
    name: str
    home: Any
    copy: Any
    version: int | None


class Traveller:
    """The parameters and buffers of a module, at home or on the device.

    Not thread-safe: whoever sends it travelling holds a lock. Journeys may be nested; only the outermost one counts.
    """

    def __init__(self, module: Any, device: str, *, recurse: bool = True) -> None:
        """With `recurse` all parts of `module` travel, else only what it holds itself."""
        self._parts = tuple(module.modules()) if recurse else (module,)
        self._device = device
        self._away: list[_Place] = []
        self._depth = 0

    def go(self) -> None:
        """Put copies on the device in place of the weights. When memory runs out, everything is at home again."""
        self._depth += 1
        if self._depth > 1:
            return
        copies: dict[int, Any] = {}
        try:
            for part in self._parts:
                for table in (part._parameters, part._buffers):
                    for name, home in table.items():
                        if home is not None:
                            self._send(table, name, home, copies)
        except BaseException:
            self.come_home()
            raise

    def _send(self, table: dict[str, Any], name: str, home: Any, copies: dict[int, Any]) -> None:
        if id(home) not in copies:
            copies[id(home)] = _copied(home, self._device)
        copy = copies[id(home)]
        self._away.append(_Place(table, name, home, copy, _version(copy)))
        table[name] = copy

    def come_home(self) -> None:
        """Put the weights back in their places and forget the copies.

        What was changed in place on the device is brought home first, and what was put in the place of a copy stays,
        in main memory, so that nobody's change is lost.
        """
        self._depth -= 1
        if self._depth > 0:
            return
        for place in self._away:
            now = place.table.get(place.name)
            if now is place.copy:
                if _version(now) != place.version:
                    _overwrite(place.home, now)
                place.table[place.name] = place.home
            elif now is not None:
                place.table[place.name] = _copied(now, "cpu")
        self._away.clear()


def _copied(tensor: Any, device: str) -> Any:
    """The tensor on that device, as a parameter where it is one; itself when it is there already."""
    import torch

    moved = tensor.detach().to(device)
    if not isinstance(tensor, torch.nn.Parameter):
        return tensor if tensor.device == moved.device else moved
    if tensor.device == moved.device:
        return tensor
    return torch.nn.Parameter(moved, requires_grad=tensor.requires_grad)


def _version(tensor: Any) -> int | None:
    """How often a tensor was changed in place; None for tensors made in inference mode, which do not count."""
    return None if tensor.is_inference() else int(tensor._version)


def _overwrite(home: Any, changed: Any) -> None:
    import torch

    if home is not changed:
        with torch.no_grad():
            home.copy_(changed)
