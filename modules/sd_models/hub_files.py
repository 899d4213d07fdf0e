"""Which files of a hub repository are worth fetching: weights as safetensors, once, and what belongs to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from modules.contracts.errors import BrokenModel, InvalidRequest
from modules.sd_models.header import INDEX

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
SUPPORT = ("*.json", "*.txt", "*.model")
"""Configs, vocabularies and sentence-piece models."""
NOT_LOADED = ("safety_checker", "feature_extractor", "image_encoder")
PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema)(?=[.-])")
SMALL_FIRST = ("fp16", "bf16", "", "fp32")
FULL_FIRST = ("", "fp32", "fp16", "bf16")
CONFIG = "config.json"
NETWORK = re.compile(
    r"(model|diffusion_pytorch_model)(\.(fp16|bf16|fp32))?(-\d+-of-\d+)?\.safetensors(\.index(\.(fp16|bf16|fp32))?\.json)?"
)
"""Weights of a network that its config.json describes."""
MAX_SUPPORT_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository: its path there, its size, and what its content has to hash to."""

    name: str
    size: int
    sha256: str | None
    """Of files kept in large file storage."""
    git_id: str | None = None
    """SHA-1 of the git blob, for the small files."""

    @property
    def key(self) -> str:
        """What the file is called among the blobs of the cache."""
        return self.sha256 or self.git_id or self.name.replace("/", "--")


def check_id(hub_id: str, revision: str | None) -> None:
    """Raise `InvalidRequest` unless both can be no path: `owner/name`, and a branch, tag or commit."""
    if not HUB_ID.fullmatch(hub_id) or ".." in hub_id or "--" in hub_id:
        raise InvalidRequest(f"{hub_id!r} is no hub id; it should look like owner/name.")
    if revision is not None and (not REVISION.fullmatch(revision) or ".." in revision):
        raise InvalidRequest(f"{revision!r} is no revision; a branch, a tag or a commit is needed.")


def check_name(name: str) -> None:
    """Raise `BrokenModel` for a file name of the server that could leave the folder it belongs in."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or any(mark in name for mark in "\\:\0"):
        raise BrokenModel(f"The repository names a file {name!r}, which is no safe path; nothing was fetched.")


def choose(files: Sequence[HubFile], *, allow: Sequence[str] = (), full_precision: bool = False) -> tuple[HubFile, ...]:
    """The files to fetch. `allow` are globs that replace the choice; a pickled file is taken only under its whole name.

    Of weights in several precisions one is taken: half unless `full_precision`. Raises `BrokenModel` when there are no
    weights as safetensors, `InvalidRequest` when several single files are there and none was chosen.
    """
    for file in files:
        check_name(file.name)
    safe = [file for file in files if PurePosixPath(file.name).suffix.lower() not in PICKLED]
    if allow:
        named = [file for file in files if file not in safe and file.name in allow]
        chosen = [file for file in safe if any(fnmatchcase(file.name, pattern) for pattern in allow)] + named
        if not chosen:
            raise InvalidRequest(
                f"No file of the repository matches {', '.join(allow)} (pickled files are taken by their whole name)."
            )
        return tuple(chosen)
    if any(file.name == INDEX for file in safe):
        return _of_folders(files, safe, SMALL_FIRST if not full_precision else FULL_FIRST)
    weights = [file for file in safe if "/" not in file.name and file.name.endswith(".safetensors")]
    if any(file.name == CONFIG for file in safe):
        network = [file for file in safe if "/" not in file.name and NETWORK.fullmatch(file.name)]
        if network:
            return _of_network(safe, _one_precision(network, SMALL_FIRST if not full_precision else FULL_FIRST))
    if not weights:
        raise BrokenModel("The repository holds neither a diffusers model nor a .safetensors file.")
    if len(weights) > 1:
        names = ", ".join(file.name for file in weights[:10])
        raise InvalidRequest(f"The repository holds several models; choose with --file one of {names}.")
    return tuple(weights)


def _of_network(safe: Sequence[HubFile], weights: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """A network by itself, such as a ControlNet or one that looks at pictures: weights and what lies beside them."""
    support = [
        file
        for file in safe
        if "/" not in file.name and file.size <= MAX_SUPPORT_BYTES and any(map(file.name.endswith, _endings()))
    ]
    beside = [file for file in support if file.name != CONFIG and not NETWORK.fullmatch(file.name)]
    return (*weights, *beside, *(file for file in support if file.name == CONFIG))


def _of_folders(files: Sequence[HubFile], safe: Sequence[HubFile], order: tuple[str, ...]) -> tuple[HubFile, ...]:
    chosen: list[HubFile] = []
    folders = {folder for file in files if (folder := _folder(file)) and "/" not in folder}
    for folder in sorted(folders - set(NOT_LOADED)):
        inside = [file for file in safe if _folder(file) == folder]
        weights = [file for file in inside if ".safetensors" in file.name]
        has_pickles = any(_folder(file) == folder and file.name.endswith(PICKLED) for file in files)
        if has_pickles and not weights:
            raise BrokenModel(f"The folder {folder} of the repository holds only pickled weights, which are not taken.")
        chosen += _one_precision(weights, order)
        chosen += [
            file
            for file in inside
            if file not in weights and file.size <= MAX_SUPPORT_BYTES and any(map(file.name.endswith, _endings()))
        ]
    # The index comes last: a folder without it is no model, so one that is half there is never taken for whole.
    return (*chosen, *(file for file in safe if file.name == INDEX))


def _endings() -> tuple[str, ...]:
    return tuple(pattern.removeprefix("*") for pattern in SUPPORT)


def _folder(file: HubFile) -> str:
    return file.name.rpartition("/")[0]


def _one_precision(weights: Sequence[HubFile], order: tuple[str, ...]) -> list[HubFile]:
    by_variant: dict[str, list[HubFile]] = {}
    for file in weights:
        match = VARIANT.search(file.name)
        by_variant.setdefault(match[1] if match else "", []).append(file)
    variant = next((variant for variant in order if variant in by_variant), None)
    return [] if variant is None else by_variant[variant]
