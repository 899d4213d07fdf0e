"""Deep shrink (Kohya, 2023): a UNet whose deeper levels see less while the composition is drawn.

A model composes at the size that it was trained at; given more room it draws its picture several times over. So the
features are scaled down before one of the blocks of the way down, and scaled up again on the way up where they meet
what comes from before that block. ScaleCrafter (arXiv:2310.07702) widens the deeper convolutions to the same end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from modules.contracts.features import Shrink

Given = tuple[tuple[Any, ...], dict[str, Any]]
CONTROL, MIDDLE, ADAPTER = (
    "down_block_additional_residuals",
    "mid_block_additional_residual",
    "down_intrablock_additional_residuals",
)
"""What ControlNets add to what goes from the way down to the way up, and to the middle; what adapters add on the way
down. They were made for levels that see all."""


@dataclass(frozen=True, slots=True)
class DeepShrink:
    """A patch for whole calls of a `UNet2DConditionModel`. Calls are merged with their like only."""

    wish: Shrink
    acts: Callable[[], bool]
    """Whether it does something now: asked when a call is made and when it runs, in between nothing may change."""

    @property
    def signature(self) -> Hashable:
        """Equal for calls that are scaled alike, as it is now."""
        return "deep shrink", (self.wish.factor, self.wish.level) if self.acts() else None

    def applied(self, module: Any) -> AbstractContextManager[None]:
        """Scale features of `module` for the length of a block."""
        return _scaled(module, self.wish) if self.acts() else contextlib.nullcontext()


@contextlib.contextmanager
def _scaled(unet: Any, wish: Shrink) -> Iterator[None]:
    """By hooks alone: whatever else changes the layers in between is as ever."""
    added = _Added()
    with contextlib.ExitStack() as stack:

        def before(module: Any, hook: Callable[..., Any]) -> None:
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

        before(unet, added.take)
        for place, block in enumerate(unet.down_blocks):
            if place == min(wish.level, len(unet.down_blocks) - 1):
                before(block, _shrinker(wish.factor))
            before(block, added.enter_down)
            stack.callback(block.register_forward_hook(added.leave_down).remove)
        stack.callback(unet.mid_block.register_forward_hook(added.leave_middle).remove)
        for block in unet.up_blocks:
            meeting = _Meeting()
            before(block, added.enter_up)
            before(block, meeting.enter)
            for place, layer in enumerate(_ends(block)[:-1]):
                stack.callback(layer.register_forward_hook(meeting.leaver(place + 1)).remove)
        yield


def _ends(block: Any) -> list[Any]:
    """The last module of each layer of a block."""
    return list(getattr(block, "attentions", None) or block.resnets)


def _shrinker(factor: float) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], Given]:
    def shrink(block: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Given:
        features = named["hidden_states"]
        height, width = (max(round(side / factor), 1) for side in features.shape[-2:])
        return given, {**named, "hidden_states": resized(features, (height, width))}

    return shrink


class _Meeting:
    """Where features on the way up meet those of the way down: brought to the size of these."""

    def __init__(self) -> None:
        self._sizes: list[tuple[int, int]] = []

    def enter(self, block: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Given:
        self._sizes = [tuple(each.shape[-2:]) for each in reversed(named["res_hidden_states_tuple"])]
        return given, {**named, "hidden_states": resized(named["hidden_states"], self._sizes[0])}

    def leaver(self, place: int) -> Callable[[Any, tuple[Any, ...], Any], Any]:
        """The hook behind the layer whose answer the one at `place` goes on from."""

        def leave(layer: Any, given: tuple[Any, ...], output: Any) -> Any:
            return _first_of(output, lambda features: resized(features, self._sizes[place]))

        return leave


class _Added:
    """What others add, taken from the call and added where sizes are known."""

    def __init__(self) -> None:
        self._control: list[torch.Tensor] = []
        self._middle: torch.Tensor | None = None
        self._adapter: list[torch.Tensor] = []

    def take(self, unet: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Given:
        self._control = list(named.get(CONTROL) or ())
        self._middle, self._adapter = named.get(MIDDLE), list(named.get(ADAPTER) or ())
        return given, {key: value for key, value in named.items() if key not in (CONTROL, MIDDLE, ADAPTER)}

    def enter_down(self, block: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Given:
        # A block with attention adds it itself, to features of the size that they come in.
        if not self._adapter or not getattr(block, "has_cross_attention", False):
            return given, named
        more = resized(self._adapter.pop(0), tuple(named["hidden_states"].shape[-2:]))
        return given, {**named, "additional_residuals": more}

    def leave_down(self, block: Any, given: tuple[Any, ...], output: Any) -> Any:
        if not self._adapter or getattr(block, "has_cross_attention", False):
            return output
        features, skipped = output
        features = _plus(features, self._adapter.pop(0))
        return features, (*skipped[:-1], features)  # what goes on is what is met again, last

    def leave_middle(self, block: Any, given: tuple[Any, ...], output: Any) -> Any:
        if self._adapter and self._adapter[0].shape[1] == output.shape[1]:
            output = _plus(output, self._adapter.pop(0))
        return output if self._middle is None else _plus(output, self._middle)

    def enter_up(self, block: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Given:
        skipped: Sequence[torch.Tensor] = named["res_hidden_states_tuple"]
        if not self._control:
            return given, named
        own, self._control = self._control[-len(skipped) :], self._control[: -len(skipped)]
        return given, {
            **named,
            "res_hidden_states_tuple": tuple(_plus(one, more) for one, more in zip(skipped, own, strict=True)),
        }


def _plus(features: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
    return features + resized(more, tuple(features.shape[-2:])).to(features.dtype)


def _first_of(output: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)


def resized(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Features (B, C, height, width) of that size, bicubic; the same tensor where they have it."""
    came = tuple(features.shape[-2:])
    if came == size:
        return features
    smaller = size[0] < came[0] or size[1] < came[1]
    wide = features if features.dtype == torch.float64 else features.float()
    scaled = torch.nn.functional.interpolate(wide, size, mode="bicubic", align_corners=False, antialias=smaller)
    return scaled.to(features.dtype)
