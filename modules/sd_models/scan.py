"""Walks the folders in which models may stand and says what lies there, without opening anything."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.contracts.catalog import Layout
from modules.sd_models.header import INDEX, SIDECAR

CHECKPOINT_FOLDERS = ("checkpoints", "Stable-diffusion")
"""Below the models folder: ours, and A1111's name for the same."""
KIND_FOLDERS = {
    "vae": ("vae", "VAE"),
    "vae-approx": ("vae-approx", "VAE-approx"),
    "lora": ("lora", "Lora", "LyCORIS"),
    "embeddings": ("embeddings",),
    "controlnet": ("controlnet", "ControlNet"),
    "ip-adapter": ("ip-adapter", "ipadapter"),
    "upscalers": ("upscalers", "ESRGAN", "RealESRGAN", "SwinIR", "DAT", "HAT", "BSRGAN", "ScuNET", "upscale_models"),
    "text-encoders": ("text-encoders", "text_encoder"),
    "face_restorers": ("face_restorers", "GFPGAN", "Codeformer", "RestoreFormer", "facerestore_models"),
}
"""Folders of the other kinds, ours first, then those that A1111 and its kin use."""
WEIGHTS = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may be a model. `name` is its catalogue name unless another has it already."""

    name: str
    path: Path
    layout: Layout
    relative: str
    """Path below the folder it was found in, with forward slashes; another name for it."""
    certain: bool = True
    """Whether it stands where only models stand; otherwise it is listed only once it turns out to be one."""


def find_checkpoints(models: Path) -> Iterator[Candidate]:
    """Single files and diffusers folders below the checkpoint folders, and diffusers folders right below `models`."""
    seen: set[Path] = set()
    for name in CHECKPOINT_FOLDERS:
        root = models / name
        if root.is_dir() and (real := root.resolve()) not in seen:
            seen.add(real)
            yield from walk(root)
    if models.is_dir():
        for folder in sorted(models.iterdir()):
            if folder.name not in CHECKPOINT_FOLDERS and (folder / INDEX).is_file():
                yield Candidate(folder.name, folder, "diffusers", folder.name)


def walk(root: Path) -> Iterator[Candidate]:
    """Everything below `root` that looks like a checkpoint. Links are followed, circles are not."""
    seen: set[Path] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        here = Path(place)
        real = here.resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if here != root and (here / INDEX).is_file():
            folders.clear()
            yield Candidate(here.name, here, "diffusers", here.relative_to(root).as_posix())
            continue
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.endswith(SIDECAR))
        for name in sorted(files):
            path = here / name
            if not name.startswith(".") and path.suffix.lower() in (WEIGHTS, *PICKLES):
                yield Candidate(path.stem, path, "single_file", path.relative_to(root).as_posix())


def find_files(models: Path, kind: str) -> Iterator[Path]:
    """Weight files of another kind than checkpoints, and folders with a config and weights, in order of name."""
    seen: set[Path] = set()
    for name in KIND_FOLDERS[kind]:
        root = models / name
        if not root.is_dir() or root.resolve() in seen:
            continue
        seen.add(root.resolve())
        for path in sorted(root.rglob("*")):
            is_inside_folder = (path.parent / "config.json").is_file() and path.parent != root
            is_weights = path.suffix.lower() in (WEIGHTS, *PICKLES) and path.is_file() and not is_inside_folder
            if is_weights or (path.is_dir() and (path / "config.json").is_file()):
                yield path


def find_snapshots(caches: Sequence[Path]) -> Iterator[Candidate]:
    """Models in caches of the hub: of each repository the revision that `main` names, else the newest."""
    seen: set[str] = set()
    for cache in caches:
        if not cache.is_dir():
            continue
        for repository in sorted(cache.glob("models--*--*")):
            hub_id = repository.name.removeprefix("models--").replace("--", "/", 1)
            snapshot = _snapshot(repository)
            if snapshot is None or hub_id in seen:
                continue
            seen.add(hub_id)
            if (snapshot / INDEX).is_file():
                yield Candidate(hub_id, snapshot, "hub", hub_id)
                continue
            for file in sorted(snapshot.glob(f"*{WEIGHTS}")):
                yield Candidate(hub_id, file, "single_file", f"{hub_id}/{file.name}", certain=False)


def _snapshot(repository: Path) -> Path | None:
    main = repository / "refs" / "main"
    if main.is_file():
        revision = main.read_text("utf-8", errors="replace").strip()
        if revision.isalnum() and (repository / "snapshots" / revision).is_dir():
            return repository / "snapshots" / revision
    newest = sorted((repository / "snapshots").glob("*"), key=lambda path: path.stat().st_mtime)
    return newest[-1] if newest else None


def weight_files(path: Path) -> tuple[Path, ...]:
    """The files that make a model what it is, in a fixed order: the file itself, or weights and configs of a folder.

    Of a diffusers folder only what its index names counts: a LoRA or ControlNet that lies beside is another thing.
    """
    if not path.is_dir():
        return (path,)
    wanted = (item for item in path.rglob("*") if item.suffix in (WEIGHTS, ".json", ".txt") and item.is_file())
    parts = _parts_of(path)
    if parts is not None:
        wanted = (item for item in wanted if item.parent == path or item.relative_to(path).parts[0] in parts)
    return tuple(sorted(wanted, key=lambda item: item.relative_to(path).as_posix()))


def stage_beside(folder: Path) -> Path | None:
    """The folder `NAME-prior` beside the folder of a model whose first stage is published by itself; None without."""
    beside = folder.with_name(f"{folder.name}-prior")
    return beside if (beside / "prior").is_dir() else None


def _parts_of(folder: Path) -> frozenset[str] | None:
    """Names of the parts that a folder's index lists; None where it has none that can be read."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return frozenset(index) if isinstance(index, dict) else None


def signature(path: Path) -> tuple[str, int]:
    """A string that changes when the model's files do (path, sizes, times), and their size in bytes together.

    Raises `OSError` when a file cannot be looked at.
    """
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogatepass"))
    total = 0
    for file in weight_files(path):
        state = file.stat()
        total += state.st_size
        digest.update(f"{file.name}\0{state.st_size}\0{state.st_mtime_ns}\0".encode("utf-8", "surrogatepass"))
    stage = stage_beside(path)
    for file in weight_files(stage) if stage is not None else ():
        digest.update(f"{file.name}\0{file.stat().st_mtime_ns}\0".encode("utf-8", "surrogatepass"))
    sidecar = path.with_suffix(SIDECAR)
    for file in weight_files(sidecar) if not path.is_dir() and sidecar.is_dir() else ():
        digest.update(f"{file.name}\0{file.stat().st_mtime_ns}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest(), total


def unique_names(candidates: Iterable[Candidate]) -> Iterator[tuple[str, Candidate]]:
    """Each candidate with a name of its own: the short one, else the relative path, else a number behind it."""
    taken: set[str] = set()
    for candidate in candidates:
        choices = [candidate.name, candidate.relative.removesuffix(candidate.path.suffix), candidate.relative]
        name = next((choice for choice in choices if choice not in taken), None)
        number = 2
        while name is None or name in taken:
            name, number = f"{candidate.name} ({number})", number + 1
        taken.add(name)
        yield name, candidate
