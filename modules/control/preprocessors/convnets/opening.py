"""Brings the weights of a small network into memory: from the file as it was published, or as safetensors.

A published file is a pickle. It is opened by torch's `weights_only` reader, which builds tensors and refuses everything
else.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.sd_models.scan import WEIGHTS
from modules.sd_models.tensors import read_tensors
from modules.sd_models.unpickling import UNREADABLE, Refused, read, reason_of, weights_of

PARALLEL = "module."
"""What stands before the names of networks that were trained on several devices."""
COUNTER = "num_batches_tracked"
"""Of a normalisation, what counts while it is trained only; old files have none."""


def open_network(path: Path, build: Callable[[], nn.Module]) -> nn.Module:
    """The network with the file's weights, on the CPU in fp32, in eval mode without gradients.

    Raises `BrokenModel` for a file that cannot be read, that is no file of weights, or whose weights are others than
    the network has.
    """
    tensors = {name.removeprefix(PARALLEL): tensor for name, tensor in _read(path).items()}
    with torch.device("meta"):
        network = build()
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}
    for verb, names in (("lacks", wanted.keys() - given.keys()), ("has besides", given.keys() - wanted.keys())):
        if names:
            raise BrokenModel(f"{path.name} is another network: it {verb} {len(names)} weights such as {min(names)}.")
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            has, needs = list(tensor.shape), list(wanted[name].shape)
            raise BrokenModel(f"{path.name} is another network: {name} has the shape {has} instead of {needs}.")
    counters = {name: torch.zeros((), dtype=torch.long) for name in network.state_dict().keys() - wanted.keys()}
    network.load_state_dict({**{name: tensor.float() for name, tensor in given.items()}, **counters}, assign=True)
    return network.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix.lower() == WEIGHTS:
        return read_tensors((path,), Placement("cpu", "float32"))
    try:
        tensors: dict[str, torch.Tensor] = weights_of(read(path, torch)[0], torch)[0]
    except Refused as error:
        raise BrokenModel(f"{path.name} was not opened: {error}.") from error
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise BrokenModel(f"{path.name} was not opened: {reason_of(error)}.") from error
    return tensors
