"""What a file or folder below `models/controlnet` is, told from its config and the header of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.contracts.controls import ControlKind
from modules.contracts.errors import BrokenModel
from modules.control.encoders import is_adapter, is_redux, text_width, wish_of, wish_of_redux
from modules.sd_models.folders import read_weights
from modules.sd_models.header import Header, read_header, read_json

Shapes = Mapping[str, tuple[int, ...]]
CONFIG = "config.json"
CLASSES: Mapping[str, ControlKind] = {
    "ControlNetModel": "controlnet",
    "ControlNetUnionModel": "union",
    "ControlNetXSAdapter": "controlnet_xs",
    "T2IAdapter": "t2i_adapter",
    "SD3ControlNetModel": "controlnet",
    "FluxControlNetModel": "controlnet",
    "QwenImageControlNetModel": "controlnet",
    "ReduxImageEncoder": "redux",
}
TRANSFORMERS: Mapping[str, str] = {
    "SD3ControlNetModel": "sd3",
    "FluxControlNetModel": "flux",
    "QwenImageControlNetModel": "qwen",
}
"""Those that stand beside a transformer, and which models they are for."""
MODES = "controlnet_mode_embedder.weight"
"""What a Flux ControlNet for several conditions has."""
TELLING: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("SD3ControlNetModel", "ldm", ("pos_embed_input.proj.weight", "transformer_blocks.0.attn.qkv.weight")),
    ("SD3ControlNetModel", "diffusers", ("pos_embed_input.proj.weight", "controlnet_blocks.0.weight")),
    ("QwenImageControlNetModel", "diffusers", ("controlnet_x_embedder.weight", "txt_norm.weight")),
    ("FluxControlNetModel", "diffusers", ("controlnet_x_embedder.weight", "x_embedder.weight")),
    ("FluxControlNetModel", "ldm", ("pos_embed_input.weight", "double_blocks.0.img_attn.norm.key_norm.scale")),
)
"""Names that tell one beside a transformer: of diffusers, of Stability's files for SD 3.5, of XLabs' for Flux."""
PREFIXES = ("control_model.", "controlnet.", "adapter.", "")
BASES: Mapping[int, str] = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
"""Which models there are by the width of the text that they read."""
NAMES: Mapping[str, str] = {
    "sd15": "Stable Diffusion 1.5",
    "sd2": "Stable Diffusion 2",
    "sdxl": "Stable Diffusion XL",
    "sd3": "Stable Diffusion 3",
    "flux": "Flux.1",
    "qwen": "Qwen-Image",
}
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
    """Of an image prompt, what it reads of an image encoder."""
    made: str = ""
    """The class of one that stands beside a transformer."""

    @property
    def class_name(self) -> str:
        """The class that it is loaded as; empty for an IP-Adapter."""
        return self.made or next((name for name, kind in CLASSES.items() if kind == self.kind), "")


def inspect(path: Path) -> Found:
    """What lies at `path`. Raises `BrokenModel` for what is nothing of the kind, `OSError` for what cannot be read."""
    if path.is_dir():
        made = str(read_json(path / CONFIG).get("_class_name"))
        if made not in CLASSES:
            raise BrokenModel(f"{path.name} is none of {', '.join(CLASSES)} by its {CONFIG}.")
        shapes = read_weights(path).shapes
        if made in TRANSFORMERS:
            return _beside_transformer(shapes, made, "diffusers", "")
        if is_redux(shapes):
            return Found("redux", "flux", "diffusers", wish=wish_of_redux(shapes))
        return Found(CLASSES[made], _base(shapes), "diffusers")
    header: Header = read_header(path)
    if is_redux(header.shapes):
        return Found("redux", "flux", "diffusers", wish=wish_of_redux(header.shapes))
    if is_adapter(header.shapes):
        return Found("ip_adapter", BASES.get(text_width(header.shapes)), "diffusers", wish=wish_of(header.shapes))
    for prefix in PREFIXES:
        names = {name[len(prefix) :]: shape for name, shape in header.shapes.items() if name.startswith(prefix)}
        found = _of_names(names, prefix)
        if found is not None:
            return found
    raise BrokenModel(
        f"{path.name} is no ControlNet, T2I-Adapter, IP-Adapter or Redux that this version knows: no tensor has a name "
        "of one."
    )


def _of_names(names: Shapes, prefix: str) -> Found | None:
    for made, naming, telling in TELLING:
        if all(name in names for name in telling):
            return _beside_transformer(names, made, naming, prefix)
    if "control_to_base_for_conv_in.weight" in names:
        raise BrokenModel(
            "This ControlNet-XS has no config.json, which says how many heads it has; put its folder there."
        )
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


def _beside_transformer(names: Shapes, made: str, naming: str, prefix: str) -> Found:
    """Raises `BrokenModel` for one of Flux that sees more than a picture, as diffusers has no such class."""
    inputs, looks = (names.get(name, ()) for name in ("x_embedder.weight", "controlnet_x_embedder.weight"))
    if made == "FluxControlNetModel" and inputs[1:] != looks[1:]:
        raise BrokenModel("This ControlNet for Flux.1 sees a mask beside the picture; such ones are not read.")
    return Found("union" if MODES in names else "controlnet", TRANSFORMERS[made], naming, prefix, made=made)


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
