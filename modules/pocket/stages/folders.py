"""Writes trained parts in the field's own layouts: float16 safetensors, plain configs, and a card beside them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LICENCE = "Apache-2.0"
_STALE = ("_name_or_path", "name_or_path", "is_local", "local_files_only")


def replace_folder(target: Path, write: Callable[[Path], None], *, alone: bool = True) -> int:
    """Lets `write` fill a new folder, which then takes the place of `target`; returns the bytes of all its files.

    Of what was in `target` its README.md stays; unless `alone`, so does all else that `write` has not made anew. Where
    `write` fails, `target` is left as it was.
    """
    beside = target.with_name(target.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        write(beside)
    except BaseException:
        shutil.rmtree(beside)
        raise
    tidy(beside)
    if target.exists():
        for kept in list(target.iterdir()):
            if kept.name == "README.md" or not (alone or (beside / kept.name).exists()):
                os.replace(kept, beside / kept.name)
        shutil.rmtree(target)
    os.replace(beside, target)
    return size_of(target)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def tidy(folder: Path) -> None:
    """Takes out of the configs where a part was loaded from, and opens the files for all to read."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
        if path.suffix != ".json":
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and any(name in content for name in _STALE):
            kept = {name: value for name, value in content.items() if name not in _STALE}
            path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_part(part: Any, folder: Path) -> None:
    """A diffusers or transformers module as float16 safetensors with its config; `part` becomes float16."""
    part.half().save_pretrained(str(folder), safe_serialization=True)


def write_pipeline(base: Path, pipeline: str, unet: Any, folder: Path) -> None:
    """A whole model in `folder`: the parts of `base` as they lie there, with another denoiser and pipeline class."""
    index = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
    for name, entry in index.items():
        if isinstance(entry, list) and entry[0] is not None and name != "unet":
            shutil.copytree(base / name, folder / name)
    if (base / "defaults.json").exists():
        shutil.copyfile(base / "defaults.json", folder / "defaults.json")
    index["_class_name"] = pipeline
    index["unet"] = ["diffusers", type(unet).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    save_part(unet, folder / "unet")


def write_card(path: Path, title: str, about: str, state: Mapping[str, Any]) -> None:
    """A first model card at `path` with what the checkpoint says of the training; one that is there stays."""
    if path.exists():
        return
    minutes = float(state["seconds"]) / 60
    lines = [
        f"# {title}",
        about,
        f"Trained for {int(state['step'])} steps in {minutes:.1f} minutes on scenes that the project renders itself.",
        f"Licence: {LICENCE}.",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
