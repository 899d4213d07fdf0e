"""Arguments of several calls into one, and the outputs back into one per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from modules.processing_diffusers.multiplexer.call import is_batched


def merge(values: Sequence[Any], samples: Sequence[int], name: str = "") -> Any:
    """Join the values of one argument along the batch axis. `samples` is the batch size of each call.

    Whatever has no batch axis is equal in all calls (their keys say so) and is taken from the first.
    """
    first = values[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(values)) if is_batched(name, first, samples[0]) else first
    if isinstance(first, Mapping):
        return {key: merge([value[key] for value in values], samples, str(key)) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(merge(list(items), samples, name) for items in zip(*values, strict=True))
    return first


def split(output: Any, samples: Sequence[int]) -> list[Any]:
    """Cut an output into one per call. Raises `TypeError` for an output that has no batch axis to cut along."""
    if isinstance(output, torch.Tensor):
        if output.ndim == 0 or output.shape[0] != sum(samples):
            raise TypeError(f"an output of shape {tuple(output.shape)} cannot be cut into batches of {list(samples)}")
        return list(output.split(list(samples)))
    if output is None:
        return [None] * len(samples)
    if isinstance(output, Mapping):
        parts = {key: split(value, samples) for key, value in output.items()}
        return [type(output)(**{key: part[i] for key, part in parts.items()}) for i in range(len(samples))]
    if isinstance(output, list | tuple):
        columns = [split(value, samples) for value in output]
        return [type(output)(column[i] for column in columns) for i in range(len(samples))]
    raise TypeError(f"an output of type {type(output).__name__} cannot be cut into batches")
