"""Image encoders for IP-Adapters and Redux: which there are, and which one an adapter reads. Light: no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from modules.contracts.errors import BrokenModel
from modules.sd_models.folders import read_weights
from modules.sd_models.header import read_json

FOLDERS = ("image-encoders", "clip_vision")
"""Below the models folder."""
BESIDE = "image_encoder"
"""The folder beside an adapter, or beside its folder's neighbours, as their authors publish them."""
CONFIG = "config.json"
Wish = tuple[str, int]
"""What an adapter reads: the entry of an encoder's config, and its number."""
SIGLIP = "SigLIP's hidden_size"
"""What stands for the width of an encoder of the other family, which Redux reads."""
Shapes = Mapping[str, tuple[int, ...]]
PROJECTION, LAYERS = "image_proj.", "ip_adapter."
KEY = re.compile(r"ip_adapter\.(\d+)\.to_k_ip\.weight")
USUAL: Mapping[Wish, str] = {
    ("projection_dim", 1024): "CLIP ViT-H/14 (2.5 GB)",
    ("hidden_size", 1280): "CLIP ViT-H/14 (2.5 GB)",
    ("projection_dim", 1280): "CLIP ViT-bigG/14 (3.7 GB)",
    ("hidden_size", 1664): "CLIP ViT-bigG/14 (3.7 GB)",
    ("projection_dim", 768): "CLIP ViT-L/14 (1.2 GB)",
    ("hidden_size", 1024): "CLIP ViT-L/14 (1.2 GB)",
    (SIGLIP, 1152): "SigLIP so400m/14 at 384 pixels (0.9 GB)",
}
"""Those that published adapters were made with."""


def is_adapter(shapes: Shapes) -> bool:
    """Whether a file with these tensors is an IP-Adapter."""
    return any(KEY.fullmatch(name) for name in shapes) and any(name.startswith(PROJECTION) for name in shapes)


def is_redux(shapes: Shapes) -> bool:
    """Whether a file with these tensors is a Redux."""
    return "redux_up.weight" in shapes and "redux_down.weight" in shapes


def wish_of_redux(shapes: Shapes) -> Wish:
    """What a Redux reads of an image encoder."""
    return SIGLIP, shapes["redux_up.weight"][1]


def text_width(shapes: Shapes) -> int:
    """Width of the words beside which it speaks."""
    return next(shape[1] for name, shape in shapes.items() if KEY.fullmatch(name))


def wish_of(shapes: Shapes) -> Wish:
    """What it reads of an image encoder. Raises `BrokenModel` for one that reads something else."""
    own = {name.removeprefix(PROJECTION): shape for name, shape in shapes.items() if name.startswith(PROJECTION)}
    if "proj.weight" in own:
        return "projection_dim", own["proj.weight"][1]
    if "latents" in own and "proj_in.weight" in own:
        return "hidden_size", own["proj_in.weight"][1]
    if "proj.3.weight" in own and "proj.0.weight" in own:
        return "hidden_size", own["proj.0.weight"][1]
    raise BrokenModel("It is an IP-Adapter for faces that InsightFace finds, which this version has not.")


def is_encoder(folder: Path) -> bool:
    """Whether a folder is one of an image encoder, whatever weights are in it."""
    return bool(_config(folder))


def find_encoder(adapter: Path, wish: Wish, models: Path) -> Path | None:
    """The folder of an encoder that the adapter can read: beside it first, then below the models folder."""
    name, number = wish
    for folder in _folders(adapter, models):
        if _config(folder).get(name) == number and _has_weights(folder):
            return folder
    return None


def say_missing(adapter: str, wish: Wish) -> str:
    """What lacks, as a sentence."""
    kind, usual = "Redux" if wish[0] == SIGLIP else "IP-Adapter", USUAL.get(wish, "one")
    return (
        f"The {kind} {adapter} needs an image encoder whose {wish[0]} is {wish[1]}, {usual}: put its folder, with "
        f"{CONFIG} and model.safetensors, beside it as {BESIDE} or into models/{FOLDERS[0]}."
    )


def _folders(adapter: Path, models: Path) -> Iterator[Path]:
    yield adapter.parent / BESIDE
    yield from sorted(adapter.parent.parent.glob(f"*/{BESIDE}"))
    for name in FOLDERS:
        if (models / name).is_dir():
            yield from sorted(path.parent for path in (models / name).rglob(CONFIG))


def _config(folder: Path) -> dict[str, object]:
    """The config of an encoder, of a SigLIP its width alone; empty for anything else."""
    if not (folder / CONFIG).is_file():
        return {}
    try:
        config = read_json(folder / CONFIG)
    except (BrokenModel, OSError):
        return {}
    if config.get("model_type") == "siglip_vision_model":
        return {SIGLIP: config.get("hidden_size")}
    vision = "CLIPVisionModelWithProjection" in (config.get("architectures") or ())
    return config if vision or config.get("model_type") == "clip_vision_model" else {}


def _has_weights(folder: Path) -> bool:
    """Whether its weights can be opened; pickled ones cannot."""
    try:
        read_weights(folder)
    except (BrokenModel, OSError):
        return False
    return True
