"""Brings a ControlNet or T2I-Adapter into memory, from diffusers' folder or from a single file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modules.contracts.controls import ControlEntry, ControlKind
from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.contracts.plan import Placement
from modules.control.inspection import NAMES, TRANSFORMERS, Found, inspect
from modules.control.transformer_nets import differing_from, read_dimensions, rename_net
from modules.sd_models import dimensions
from modules.sd_models.components import build_empty, fill, find_class, read_config, size_of
from modules.sd_models.faults import blaming
from modules.sd_models.folders import read_weights
from modules.sd_models.header import read_header
from modules.sd_models.tensors import read_tensors

Tensors = dict[str, torch.Tensor]
DIMENSIONS: Mapping[tuple[str, str], Callable[[dimensions.Shapes], dict[str, Any]]] = {
    ("controlnet", "ldm"): dimensions.controlnet,
    ("controlnet", "diffusers"): dimensions.controlnet_diffusers,
    ("union", "diffusers"): dimensions.controlnet_diffusers,
    ("t2i_adapter", "diffusers"): dimensions.t2i_adapter,
}
CANNY = 1
"""How Stability's files say that they were trained on lines."""
PURPOSE = "control_type"
SHAPING = ("block_out_channels", "layers_per_block", "cross_attention_dim", "addition_embed_type")
"""What a ControlNet has to share with the UNet that it steers."""
CROSSING = {
    "base_block_out_channels": "block_out_channels",
    "cross_attention_dim": "cross_attention_dim",
    "down_block_types": "down_block_types",
}
"""The same for a ControlNet-XS: how each calls it."""
LAYERED = 2
"""Layers of each block of a UNet that a ControlNet-XS can stand beside."""


@dataclass(frozen=True, eq=False, slots=True)
class LoadedControl:
    """One in memory, in eval mode without gradients."""

    entry: ControlEntry
    kind: ControlKind
    module: Any
    size_bytes: int
    purpose: int | None = None
    """Of Stability's files for SD 3.5, what they were trained on; None where nothing says."""

    @property
    def beside(self) -> str | None:
        """Which models' transformer it stands beside: `sd3`, `flux` or `qwen`; None for those beside a UNet."""
        return TRANSFORMERS.get(type(self.module).__name__)

    @property
    def glaring(self) -> bool:
        """It was trained on lines that are drawn 128 times as bright as white, as Stability's canny network was."""
        if self.beside != "sd3" or self.module.config["use_pos_embed"]:
            return False
        return "canny" in self.entry.name.casefold() if self.purpose is None else self.purpose == CANNY


def load_control(entry: ControlEntry, placement: Placement) -> LoadedControl:
    """Load the weights onto a device. Raises `BrokenModel`; running out of memory passes through."""
    with blaming(entry.name, "weights"):
        found = inspect(entry.path)
        kind = find_class(found.class_name)
        if entry.path.is_dir():
            model = build_empty(kind, read_config(kind, entry.path))
            tensors = read_tensors(read_weights(entry.path).files, placement)
        else:
            model, tensors = _read_file(entry, kind, found, placement)
        module = fill(model, tensors)
        purpose = None if entry.path.is_dir() else _purpose_of(entry.path, placement)
    return LoadedControl(entry, found.kind, module, size_of({"control": module}), purpose)


def _purpose_of(path: Path, placement: Placement) -> int | None:
    """What a file says that it was trained on; None where it says nothing."""
    said = read_tensors((path,), placement, rename=lambda name: PURPOSE if name == PURPOSE else None).get(PURPOSE)
    return None if said is None or said.numel() != 1 else round(float(said))


def _read_file(entry: ControlEntry, kind: Any, found: Found, placement: Placement) -> tuple[Any, Tensors]:
    """The empty model by the shapes of the file, and its tensors under the model's names."""
    header, prefix = read_header(entry.path), found.prefix

    def rename(name: str) -> str | None:
        return name[len(prefix) :] if name.startswith(prefix) else None

    names = {short: shape for name, shape in header.shapes.items() if (short := rename(name)) is not None}
    tensors = read_tensors((entry.path,), placement, rename=rename)
    if found.made:
        config = read_dimensions(found.made, found.naming, names)
        return build_empty(kind, config), rename_net(found.made, tensors) if found.naming == "ldm" else tensors
    if found.kind == "t2i_adapter":
        if found.naming == "ldm":
            names, tensors = _nested(names), _nested(tensors)
        config = dimensions.t2i_adapter(names)
        return build_empty(kind, config), {f"adapter.{name}": tensor for name, tensor in tensors.items()}
    derive = DIMENSIONS.get((found.kind, found.naming))
    if derive is None:
        raise BrokenModel(f"a {found.kind} in {found.naming} naming is not read; diffusers naming is")
    config = derive(names)
    return build_empty(kind, config), _modern(tensors, config) if found.naming == "ldm" else tensors


def _modern(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    """A ControlNet from its authors' naming."""
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    converted: Tensors = convert_controlnet_checkpoint(dict(tensors), dict(config))
    for number in (1, 2):
        for word in ("weight", "bias"):
            name = f"label_emb.0.{2 * number - 2}.{word}"
            if name in tensors:
                converted[f"add_embedding.linear_{number}.{word}"] = tensors[name]
    return converted


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Names of a T2I-Adapter's authors, who number all blocks of four levels in one row, as diffusers has them."""
    blocks = {int(name.split(".")[1]) for name in values if name.startswith("body.")}
    each = max(len(blocks) // 4, 1)
    named = {}
    for name, value in values.items():
        words = name.split(".")
        if words[0] == "body":
            level, place = divmod(int(words[1]), each)
            inner = words[2:] if words[2] == "in_conv" else ["resnets", str(place), *words[2:]]
            name = ".".join(["body", str(level), *inner])
        named[name] = value
    return named


def check_fit(control: LoadedControl, denoiser: Any, model: str) -> None:
    """Raise `UnsupportedFeature` for a network that was made for other models than that denoiser's."""
    mine, its = control.module.config, denoiser.config
    differing: list[tuple[str, Any, Any]] = []
    if control.beside is not None:
        differing = differing_from(mine, control.beside, denoiser)
    elif control.kind == "t2i_adapter":
        channels = tuple(its.get("block_out_channels", ()))
        if not channels or tuple(mine["channels"]) not in (channels, channels[:3], (*channels, channels[-1])):
            differing = [("channels", tuple(mine["channels"]), channels or None)]
    else:
        shaping = CROSSING if control.kind == "controlnet_xs" else {name: name for name in SHAPING}
        pairs = ((name, _plain(mine.get(name)), _plain(its.get(other))) for name, other in shaping.items())
        differing = [pair for pair in pairs if pair[1] != pair[2]]
        if control.kind == "controlnet_xs" and _plain(its.get("layers_per_block")) != LAYERED:
            differing.append(("layers_per_block", LAYERED, its.get("layers_per_block")))
    if differing:
        made_for = f" It was made for {NAMES[control.entry.base]}." if control.entry.base else ""
        said = ", ".join(f"{name} {own!s} instead of {other!s}" for name, own, other in differing)
        raise UnsupportedFeature(f"The ControlNet {control.entry.name} does not fit {model}: it has {said}.{made_for}")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
