"""What a file or folder below `models/controlnet` is, told from its config and the header of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.contracts.controls import ControlKind
from modules.contracts.errors import BrokenModel
from modules.control.encoders import is_adapter, text_width, wish_of
from modules.sd_models.folders import read_weights
from modules.sd_models.header import Header, read_header, read_json

Shapes = Mapping[str, tuple[int, ...]]
CONFIG = "config.json"
CLASSES: Mapping[str, ControlKind] = {
    "ControlNetModel": "controlnet",
    "ControlNetUnionModel": "union",
    "T2IAdapter": "t2i_adapter",
}
PREFIXES = ("control_model.", "controlnet.", "adapter.", "")
BASES: Mapping[int, str] = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
"""Which models there are by the width of the text that they read."""
NAMES: Mapping[str, str] = {"sd15": "Stable Diffusion 1.5", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}
HASH_AT, HASH_BYTES = 0x100000, 0x10000


@dataclass(frozen=True, slots=True)
class Found:
    """What it is."""

    kind: ControlKind
    base: str | None
    naming: str
    """`diffusers`, or `ldm` for the authors' own names."""
    prefix: str = ""
    """What stands before the names."""
    wish: tuple[str, int] | None = None
    """Of an IP-Adapter, what it reads of an image encoder."""


def inspect(path: Path) -> Found:
    """What lies at `path`. Raises `BrokenModel` for what is nothing of the kind, `OSError` for what cannot be read."""
    if path.is_dir():
        kind = CLASSES.get(str(read_json(path / CONFIG).get("_class_name")))
        if kind is None:
            raise BrokenModel(f"{path.name} is none of {', '.join(CLASSES)} by its {CONFIG}.")
        return Found(kind, _base(read_weights(path).shapes), "diffusers")
    header: Header = read_header(path)
    if is_adapter(header.shapes):
        return Found("ip_adapter", BASES.get(text_width(header.shapes)), "diffusers", wish=wish_of(header.shapes))
    for prefix in PREFIXES:
        names = {name[len(prefix) :]: shape for name, shape in header.shapes.items() if name.startswith(prefix)}
        found = _of_names(names, prefix)
        if found is not None:
            return found
    raise BrokenModel(
        f"{path.name} is no ControlNet, T2I-Adapter or IP-Adapter that this version knows: no tensor has a name of one."
    )


def _of_names(names: Shapes, prefix: str) -> Found | None:
    if "controlnet_cond_embedding.conv_in.weight" in names:
        union = "task_embedding" in names
        return Found("union" if union else "controlnet", _base(names), "diffusers", prefix)
    if "input_hint_block.0.weight" in names:
        return Found("controlnet", _base(names), "ldm", prefix)
    if "conv_in.weight" in names and "body.0.resnets.0.block1.weight" in names:
        return Found("t2i_adapter", None, "diffusers", prefix)
    if "conv_in.weight" in names and "body.0.block1.weight" in names:
        return Found("t2i_adapter", None, "ldm", prefix)
    return None


def _base(shapes: Shapes) -> str | None:
    width = next((shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), 0)
    return BASES.get(width)


def short_hash(path: Path) -> str:
    """Eight hex digits of SHA-256 over 64 KiB one MiB into the file, as A1111 knows model files; of a folder, of its
    weights. A smaller file is known by its beginning. Empty where it cannot be read."""
    try:
        file = read_weights(path).files[0] if path.is_dir() else path
        with file.open("rb") as stream:
            stream.seek(HASH_AT)
            block = stream.read(HASH_BYTES)
            if not block:
                stream.seek(0)
                block = stream.read(HASH_BYTES)
            return hashlib.sha256(block).hexdigest()[:8]
    except (OSError, BrokenModel, IndexError):
        return ""
