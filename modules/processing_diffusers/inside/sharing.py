"""Samples that look at other samples of their call: at what these are made of, or at how their features are spread.

Reference-only control as sd-webui-controlnet (Lvmin Zhang) has it, with one difference: what a sample looks at is
computed in the same forward instead of one before it, so nothing is written down between the two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from modules.processing_diffusers.inside.attention import rows_of

LEAST_VARIANCE = 1e-6
"""Of a channel that is to be spread anew."""


@dataclass(frozen=True, slots=True)
class Look:
    """One sample looks at another one of its call."""

    source: int
    """Place of what it looks at."""
    weight: float
    """In layers that lie below this weight."""
    attention: bool
    """At its parts, in self-attentions."""
    statistics: bool
    """At mean and variance of its features."""
    keep: float = 0.0
    """Share of what the sample would be by itself that stays."""
    aligned: bool = False
    """Queries and keys of the sample are spread like the other's before it attends to these."""
    queries: float = 0.0
    """Share of its queries that are the other's, so that it looks for what the other looks for."""


Looks = Mapping[int, Sequence[Look]]
"""What each sample of a call looks at, by its place."""


@contextlib.contextmanager
def share_attention(attention: Any, looks: Looks, count: int) -> Iterator[None]:
    """The samples of `count` that look at others attend to these as well as to themselves.

    Between the attention's own layers, so that what networks add to these counts for both. Where another change says
    what comes out of the attention, as perturbed attention does, that one has the last word.
    """
    seen: dict[str, torch.Tensor] = {}
    groups: dict[int, dict[int, Sequence[Look]]] = {}
    for place, each in looks.items():
        groups.setdefault(len(each), {})[place] = each

    def remember(name: str) -> Any:
        def hook(layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> None:
            seen[name] = output

        return hook

    def replace(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed = given[0].clone()
        for group in groups.values():
            where = rows_of(list(group), count, mixed)
            shared = _attend(attention, seen, group, count).to(mixed.dtype)
            mixed[where] = _blend(shared, mixed[where], [_kept(each) for each in group.values()])
        seen.clear()
        return (mixed, *given[1:])

    with contextlib.ExitStack() as stack:
        for name in ("to_q", "to_k", "to_v"):
            stack.callback(getattr(attention, name).register_forward_hook(remember(name)).remove)
        stack.callback(attention.to_out[0].register_forward_pre_hook(replace, prepend=True).remove)
        yield


def _attend(
    attention: Any, seen: Mapping[str, torch.Tensor], group: Mapping[int, Sequence[Look]], count: int
) -> torch.Tensor:
    """What the samples of a group, which all look at equally many, get from themselves and from those."""
    query = seen["to_q"][rows_of(list(group), count, seen["to_q"])]
    key, value = (_joined(seen[name], group, count) for name in ("to_k", "to_v"))
    query, key = _aligned(query, key, seen, group, count)
    query, key, value = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in (query, key, value))
    if attention.norm_q is not None:
        query = attention.norm_q(query)
    if attention.norm_k is not None:
        key = attention.norm_k(key)
    found = scaled_dot_product_attention(query, key.to(query), value.to(query), scale=attention.scale)
    return found.transpose(1, 2).flatten(2)


def _aligned(
    query: torch.Tensor,
    key: torch.Tensor,
    seen: Mapping[str, torch.Tensor],
    group: Mapping[int, Sequence[Look]],
    count: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and own keys of samples with an aligned look, spread over their tokens like those of its source.

    StyleAligned (Hertz et al., arXiv:2312.02133, section 3.2): without it a sample hardly attends to a picture that it
    is not like. `key` has the own tokens first.
    """
    places = {row: look for row, each in enumerate(group.values()) for look in each if look.aligned}
    if not places:
        return query, key
    times, own = query.shape[0] // len(group), query.shape[1]
    query, key = query.clone(), key.clone()
    for row, look in places.items():
        for part in range(row * times, (row + 1) * times):
            far = look.source * times + part - row * times
            query[part] = spread_like(query[part], seen["to_q"][far])
            key[part, :own] = spread_like(key[part, :own], seen["to_k"][far])
    return query, key


def spread_like(tokens: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Tokens (N, C) with mean and spread of another picture's, channel by channel (arXiv:1703.06868)."""
    wide, far = (part.double() if part.dtype == torch.float64 else part.float() for part in (tokens, other))
    variance, mean = torch.var_mean(wide, dim=0, keepdim=True, correction=0)
    spread, level = torch.var_mean(far, dim=0, keepdim=True, correction=0)
    flat = (wide - mean) / variance.clamp(min=LEAST_VARIANCE).sqrt()
    return (flat * spread.clamp(min=LEAST_VARIANCE).sqrt() + level).to(tokens.dtype)


@contextlib.contextmanager
def hold_queries(attention: Any, looks: Looks, count: int) -> Iterator[None]:
    """The samples of `count` that look at others ask, by that share, what these ask.

    Where each place asks as it does in another picture, shapes stay where they are there: query preservation of Style
    Injection in Diffusion (Chung et al., arXiv:2312.09008, section 4.1), with a picture that is noised, not inverted.
    """

    def hold(layer: Any, given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        held = output.clone()
        for place, each in looks.items():
            where = rows_of([place], count, output)
            for look in each:
                held[where] = torch.lerp(held[where], output[rows_of([look.source], count, output)], look.queries)
        return held

    handle = attention.to_q.register_forward_hook(hold)
    try:
        yield
    finally:
        handle.remove()


def _joined(tokens: torch.Tensor, group: Mapping[int, Sequence[Look]], count: int) -> torch.Tensor:
    """Own tokens and those of all that is looked at. A sample in several tiles sees the whole of the others in each."""
    times = tokens.shape[0] // count
    parts = [tokens[rows_of(list(group), count, tokens)]]
    for far in zip(*([look.source for look in each] for each in group.values()), strict=True):
        whole = tokens[rows_of(far, count, tokens)].unflatten(0, (len(far), times)).flatten(1, 2)
        parts.append(whole.repeat_interleave(times, dim=0))
    return torch.cat(parts, dim=1)


@contextlib.contextmanager
def share_statistics(module: Any, looks: Looks, count: int) -> Iterator[None]:
    """Features of the samples that look at others get mean and variance of theirs, channel by channel.

    Adaptive instance normalisation (Huang and Belongie, arXiv:1703.06868). Of several, the mean.
    """

    def respread(layer: Any, given: tuple[Any, ...], output: Any) -> Any:
        features = output[0] if isinstance(output, tuple) else output
        wide = features.double() if features.dtype == torch.float64 else features.float()
        variance, mean = torch.var_mean(wide, dim=(2, 3), keepdim=True, correction=0)
        changed = features.clone()
        for place, each in looks.items():
            sources = [look.source for look in each]
            level, spread = (found[sources].mean(dim=0) for found in (mean, variance))
            flat = (wide[place] - mean[place]) / variance[place].clamp(min=LEAST_VARIANCE).sqrt()
            shared = flat * spread.clamp(min=LEAST_VARIANCE).sqrt() + level
            keep = _kept(each)
            changed[place] = (keep * wide[place] + (1 - keep) * shared).to(changed.dtype)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = module.register_forward_hook(respread)
    try:
        yield
    finally:
        handle.remove()


def _kept(looks: Sequence[Look]) -> float:
    return sum(look.keep for look in looks) / len(looks)


def _blend(shared: torch.Tensor, alone: torch.Tensor, keeps: Sequence[float]) -> torch.Tensor:
    """Each sample's share of what it is alone, the rest of what it shares; samples may have several rows."""
    if not any(keeps):
        return shared
    keep = torch.tensor(keeps, device=shared.device, dtype=shared.dtype)
    keep = keep.repeat_interleave(shared.shape[0] // len(keeps)).reshape(-1, *[1] * (shared.ndim - 1))
    return keep * alone + (1 - keep) * shared
