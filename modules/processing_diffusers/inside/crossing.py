"""ControlNet-XS (Zavadski, Feiden and Rother, arXiv:2312.06573): a small branch beside a UNet.

It stands there for some samples of a call. The branch sees what each layer of the UNet sees and adds to what it makes,
so it cannot be asked beforehand, as a ControlNet is: it computes within the UNet's own call. Hooks stand for the length
of the call and are taken away after it. How the two are joined is diffusers' `UNetControlNetXSModel`, whose adapter
this takes as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import interpolate

from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.attention import rows_of

MIX = 0.3
"""Power of the share that the branch's own time embedding has."""


@dataclass(frozen=True, eq=False, slots=True)
class Crossing:
    """What one unit is to one sample."""

    network: Any
    """A `ControlNetXSAdapter`, where the UNet computes."""
    hint: torch.Tensor
    """What the branch's first layers make of the map, (channels, height, width) in cells of the latents."""
    weight: float
    region: torch.Tensor | None = None
    """(height, width) in cells of the latents: 1 where the unit acts; None is everywhere."""


Crossings = Mapping[int, Sequence[Crossing]]
"""By the places of a call's samples."""
NO_CROSSINGS: Crossings = {}


class RowCrossings:
    """A patch of the multiplexer for one call: which branches stand beside each of its samples.

    Samples with the same network go through its branch together, whichever job they are of.
    """

    signature: Hashable = "crossings"

    def __init__(self, shelf: ModuleShelf, crossings: Crossings = NO_CROSSINGS) -> None:
        """`crossings` goes by the places of the call's own samples."""
        self._shelf, self._crossings = shelf, crossings

    @property
    def identity(self) -> Hashable:
        """Which stands beside which."""
        return tuple((place, tuple(map(id, each))) for place, each in self._crossings.items())

    def chosen(self, rows: Sequence[int]) -> RowCrossings:
        """The same: it is made for the very call that carries it."""
        return self

    def gathered(self, patches: Sequence[RowCrossings], counts: Sequence[int]) -> AbstractContextManager[None]:
        """To be entered round a call made of the calls of `patches`, of so many samples each."""
        crossings: dict[int, Sequence[Crossing]] = {}
        begin = 0
        for patch, count in zip(patches, counts, strict=True):
            crossings.update({begin + place: each for place, each in patch._crossings.items()})
            begin += count
        return self._standing(crossings, begin)

    @contextlib.contextmanager
    def _standing(self, crossings: Crossings, count: int) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for group in _groups(crossings):
                stack.enter_context(_Branch(group, count).beside(self._shelf.layers[""]))
            yield


def _groups(crossings: Crossings) -> Iterator[dict[int, Crossing]]:
    """Samples that go through one branch together, each at most once."""
    found: dict[tuple[int, int], dict[int, Crossing]] = {}
    for place, each in crossings.items():
        for turn, crossing in enumerate(each):
            found.setdefault((turn, id(crossing.network)), {})[place] = crossing
    yield from found.values()


class _Branch:
    """One branch through one call."""

    def __init__(self, group: Mapping[int, Crossing], count: int) -> None:
        self._places, self._count = list(group), count
        each = list(group.values())
        self._network = each[0].network
        self._hint = torch.stack([one.hint for one in each])
        self._weights = [one.weight for one in each]
        self._regions = [one.region for one in each]
        self._features: Any = None
        """What the branch has so far, (samples, channels, height, width)."""
        self._time: Any = None
        self._words: Any = None
        self._sample: Any = None
        self._kept: list[torch.Tensor] = []
        """What each layer of the way down gave, for the way up."""

    @contextlib.contextmanager
    def beside(self, unet: Any) -> Iterator[None]:
        """Until the block ends, the branch stands beside that UNet."""
        own = self._network
        with contextlib.ExitStack() as stack:

            def watch(module: Any, hook: Any) -> None:
                stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

            def change(module: Any, hook: Any) -> None:
                stack.callback(module.register_forward_hook(hook).remove)

            watch(unet, self._begin)
            if own.time_embedding is not None:
                change(unet.time_embedding, self._mix_time)
            change(unet.conv_in, self._enter)
            for block, branch in zip(unet.down_blocks, own.down_blocks, strict=True):
                attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
                for number, (resnet, attention) in enumerate(zip(block.resnets, attentions, strict=True)):
                    inner = None if branch.attentions is None else branch.attentions[number]
                    watch(resnet, self._taking(branch.base_to_ctrl[number]))
                    layer = self._layer(branch.resnets[number], inner)
                    change(resnet if attention is None else attention, self._giving(layer, branch.ctrl_to_base[number]))
                for sampler in block.downsamplers or ():
                    watch(sampler, self._taking(branch.base_to_ctrl[-1]))
                    change(sampler, self._giving(branch.downsamplers, branch.ctrl_to_base[-1]))
            middle = own.mid_block
            watch(unet.mid_block, self._taking(middle.base_to_ctrl))
            change(unet.mid_block, self._giving(self._middle(middle.midblock), middle.ctrl_to_base, keep=False))
            for block, up in zip(unet.up_blocks, own.up_connections, strict=True):
                for resnet, crossing in zip(block.resnets, up.ctrl_to_base, strict=True):
                    watch(resnet, self._returning(crossing))
            yield

    def _begin(self, unet: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._sample = self._mine(named["sample"])
        self._words = self._mine(named["encoder_hidden_states"])

    def _mix_time(self, layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        mixed, where = output.clone(), rows_of(self._places, self._count, output)
        share = self._network.config["time_embedding_mix"] ** MIX
        mixed[where] = self._network.time_embedding(given[0][where]) * share + output[where] * (1 - share)
        return mixed

    def _enter(self, layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        first = self._network.conv_in
        # A denoiser for inpainting sees mask and masked picture behind the latents.
        self._features = first(self._sample[:, : first.in_channels]) + self._hint.to(output.dtype)
        self._kept = [self._features]
        return self._added(output, self._network.control_to_base_for_conv_in)

    def _taking(self, crossing: Any) -> Any:
        """The hook before a layer of the UNet: what it sees comes to the branch's features."""

        def take(layer: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            if len(given) > 1:
                self._time = self._mine(given[1])
            self._features = torch.cat([self._features, crossing(self._mine(given[0]))], 1)

        return take

    def _giving(self, layer: Any, crossing: Any, *, keep: bool = True) -> Any:
        """The hook behind a layer of the UNet: the branch's own layer computes, and what it gives is added."""

        def give(module: Any, given: tuple[Any, ...], output: Any) -> Any:
            self._features = layer(self._features)
            if keep:
                self._kept.append(self._features)
            if isinstance(output, tuple):
                return (self._added(output[0], crossing), *output[1:])
            return self._added(output, crossing)

        return give

    def _layer(self, resnet: Any, attention: Any) -> Any:
        def compute(features: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = resnet(features, self._time)
            return found if attention is None else attention(found, self._words, return_dict=False)[0]

        return compute

    def _middle(self, block: Any) -> Any:
        return lambda features: block(features, self._time, encoder_hidden_states=self._words)

    def _returning(self, crossing: Any) -> Any:
        """The hook before a layer of the way up, whose first channels come from the layer before it."""

        def give_back(layer: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            self._features = self._kept.pop()
            below = crossing.out_channels
            lower = self._added(given[0][:, :below], crossing)
            return (torch.cat([lower, given[0][:, below:]], 1), *given[1:]), named

        return give_back

    def _added(self, output: torch.Tensor, crossing: Any) -> torch.Tensor:
        """What the branch has by now, weighed, added for its samples."""
        said = crossing(self._features)
        mixed, where = output.clone(), rows_of(self._places, self._count, output)
        shares = [self._share(number, said) for number in range(len(self._places))]
        mixed[where] += (said * torch.stack(shares)).to(mixed.dtype)
        return mixed

    def _share(self, number: int, said: torch.Tensor) -> torch.Tensor:
        """How much a sample's counts at each place, (1, height, width)."""
        weight, region = self._weights[number], self._regions[number]
        if region is None:
            return said.new_full((1, 1, 1), weight).expand(1, *said.shape[-2:])
        return weight * interpolate(region[None, None].to(said), size=said.shape[-2:], mode="area")[0]

    def _mine(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[rows_of(self._places, self._count, tensor)]
