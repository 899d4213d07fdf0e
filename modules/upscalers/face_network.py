"""Networks that restore faces, opened by spandrel: which one a name means, and their calls in one form.

CodeFormer is in spandrel_extra_arches, since its licence (S-Lab License 1.0) forbids commercial use; the studio asks
for that package nowhere and uses it where somebody has installed it.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from typing import Any

from modules.contracts.catalog import RestorerEntry, RestorerKind
from modules.contracts.errors import BrokenModel, InvalidRequest, UnsupportedFeature
from modules.upscalers.spandrel_model import COMMAND, open_network

log = logging.getLogger(__name__)
SIDE = 512
"""Pixels along a side of the faces that all of them were trained on."""
FILES: dict[RestorerKind, tuple[str, str]] = {
    "gfpgan": ("GFPGANv1.4", "GFPGAN"),
    "restoreformer": ("RestoreFormer", "face_restorers"),
    "codeformer": ("codeformer-v0.1.0", "Codeformer"),
}
"""Published file and its folder below `models`."""
EXTRA = "spandrel_extra_arches"


def find_restorer(name: str, entries: Sequence[RestorerEntry]) -> RestorerEntry:
    """The restorer of that name in any case; `GFPGAN`, `RestoreFormer` and `CodeFormer` are the first usable file of
    their kind. `InvalidRequest` says which there are and which file to put where."""
    wanted = name.strip().casefold()
    for entry in entries:
        if entry.name.casefold() == wanted:
            return entry
    for entry in entries:
        if entry.kind == wanted and entry.problem is None:
            return entry
    known = ", ".join(entry.name for entry in entries if entry.problem is None) or "none"
    file, folder = next((place for kind, place in FILES.items() if kind == wanted), FILES["gfpgan"])
    raise InvalidRequest(
        f"There is no face restorer {name!r}; known are {known}. Put {file}.safetensors into the folder "
        f"models/{folder}; `python launch.py models convert {file}.pth` makes it of the published file."
    )


def check_restorer(entry: RestorerEntry) -> None:
    """Raise `BrokenModel` or `UnsupportedFeature` where it can be told beforehand that it cannot be used.

    Imports nothing heavy.
    """
    if entry.problem is not None:
        raise BrokenModel(entry.problem)
    if importlib.util.find_spec("spandrel") is None:
        raise UnsupportedFeature(
            f"The face restorer {entry.name!r} is opened by the package spandrel, which is not installed; get it with: "
            f"{COMMAND}"
        )
    if entry.kind == "codeformer" and importlib.util.find_spec(EXTRA) is None:
        raise UnsupportedFeature(
            f"{entry.name!r} is a CodeFormer, which the package {EXTRA} opens; it is not installed, as CodeFormer's "
            "licence (S-Lab License 1.0) forbids commercial use. Where that is no hindrance, install the package "
            "yourself, or take a GFPGAN or RestoreFormer."
        )


class FaceNetwork:
    """A network that draws faces anew. Safe to call from one thread at a time."""

    def __init__(self, descriptor: Any, kind: RestorerKind) -> None:
        self._descriptor, self._kind = descriptor, kind
        self.module = descriptor.model
        self.size_bytes = sum(item.numel() * item.element_size() for item in self.module.state_dict().values())

    def forward(self, tensor: Any, weight: float = 0.5) -> Any:
        """(n, 3, 512, 512) in [0, 1] to the same, fp32 on the CPU; the same faces come out for the same faces.

        `weight` is CodeFormer's fidelity (Zhou et al. 2022, w), 0 to 1; others have none.
        """
        import torch

        with torch.no_grad():
            given = tensor.to(self._descriptor.device, self._descriptor.dtype)
            made = torch.cat([self._once(each[None], weight) for each in given])
        return made.float().cpu().clamp(0, 1)

    def _once(self, face: Any, weight: float) -> Any:
        if self._kind == "restoreformer":
            return self._descriptor(face)
        # spandrel passes no arguments on and leaves the range to the caller: these two were trained on [-1, 1].
        if self._kind == "gfpgan":
            made = self.module(face * 2 - 1, randomize_noise=False)[0]
        else:
            made = self.module(face * 2 - 1, weight=weight)[0]
        return (made + 1) / 2


def load_restorer(entry: RestorerEntry, device: str = "cpu") -> FaceNetwork:
    """Open the file, in fp32. Raises `UnsupportedFeature` where a package is missing, `BrokenModel` for a file of
    another architecture."""
    check_restorer(entry)
    assert entry.kind is not None
    if entry.kind == "codeformer":
        import spandrel_extra_arches

        spandrel_extra_arches.install(ignore_duplicates=True)
    descriptor = open_network(entry.path, "a face restorer")
    if descriptor.architecture.id.lower() != entry.kind:
        raise BrokenModel(f"{entry.path.name} is a {descriptor.architecture.name} and no {entry.kind}.")
    import torch

    descriptor.eval().to(device=torch.device(device), dtype=torch.float32)
    descriptor.model.requires_grad_(False)
    log.info("opened the face restorer %s: %s", entry.name, descriptor.architecture.name)
    return FaceNetwork(descriptor, entry.kind)
