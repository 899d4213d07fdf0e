"""Models made of others: a weighted sum, or a difference added, the same everywhere or block by block.

Weighted sum: A (1 - m) + B m. Add difference: A + m (B - C), which carries what was learnt from C to B over to A.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from modules.contracts.errors import InvalidRequest
from modules.sd_models.folders import find_weights, holds_weights, read_parts, read_weights
from modules.sd_models.hashes import hash_model
from modules.sd_models.header import read_header
from modules.sd_models.unet_names import ldm_block
from modules.support.atomic import replacing_folder

RECIPE = "sd_merge_recipe"
"""Where A1111 keeps what a file was merged from."""
ORIGINAL = re.compile(
    r"^model\.diffusion_model\.(input_blocks|middle_block|output_blocks|double_blocks|single_blocks|joint_blocks)\.(\d+)\."
)
SIDES = {"input_blocks": "IN", "middle_block": "M", "output_blocks": "OUT"}
ORDER = (
    *("IN", "M", "OUT", "double_blocks", "transformer_blocks"),
    *("joint_blocks", "single_blocks", "single_transformer_blocks"),
)
TRANSFORMER = re.compile(r"^(transformer_blocks|single_transformer_blocks)\.(\d+)\.")
WEIGHT_TYPES = ("float32", "float16", "bfloat16")
KEPT = ("first_stage_model.", "vae.")
"""Beginnings of the names of an autoencoder's weights, which is the first model's."""
Block = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Merge:
    """What is to be made. All models lie in the same way: single files, or diffusers folders."""

    first: Path
    second: Path
    third: Path | None = None
    """What the second one was made of; with it its difference is added, without it both are averaged."""
    share: float = 0.5
    """m, where no block says otherwise."""
    blocks: tuple[float, ...] = ()
    """m for all that lies outside the denoiser's blocks, then for each block from the input to the output."""
    dtype: str | None = None
    """Type of the weights written, as torch writes it; None is the first model's."""
    with_vae: bool = False
    """The autoencoders are merged, too."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    target: Path
    merged: int = 0
    kept: list[str] = field(default_factory=list)
    """Weights of the first model that no other has."""


def merge_models(wish: Merge, target: Path, *, force: bool = False) -> Outcome:
    """Write the merged model to `target`, whole or not at all; its recipe is in its metadata.

    Raises `InvalidRequest` for models that do not fit together or a target that is there, `BrokenModel` for files that
    cannot be read.
    """
    sources = [path for path in (wish.first, wish.second, wish.third) if path is not None]
    if len({path.is_dir() for path in sources}) > 1:
        raise InvalidRequest("Models that are files and models that are folders cannot be merged with each other.")
    if target.exists() and not force:
        raise InvalidRequest(f"{target.name} exists already; give --force to replace it.")
    if wish.dtype is not None and wish.dtype not in WEIGHT_TYPES:
        raise InvalidRequest(f"The type is {wish.dtype!r}; allowed are {', '.join(WEIGHT_TYPES)}.")
    recipe = {RECIPE: json.dumps(_recipe(wish)), "format": "pt"}
    outcome = Outcome(target)
    if not wish.first.is_dir():
        if target.suffix != ".safetensors":
            raise InvalidRequest(f"The target {target.name} has to end in .safetensors.")
        blocks = _Blocks.original(wish.first, wish.blocks)
        _merge_files(wish, [[path] for path in sources], blocks, target, recipe, outcome)
        return outcome
    with replacing_folder(target) as partial:
        _merge_folders(wish, sources, partial, recipe, outcome)
    return outcome


def _merge_folders(
    wish: Merge, sources: Sequence[Path], target: Path, recipe: dict[str, str], outcome: Outcome
) -> None:
    """Configs, tokenizers and the scheduler are the first model's."""
    weights = ("*.safetensors", "*.safetensors.index*.json", "*.bin")
    shutil.copytree(wish.first, target, ignore=shutil.ignore_patterns(*weights))
    _, parts, _ = read_parts(wish.first)
    for name in parts:
        if not (wish.first / name).is_dir():
            continue
        if not holds_weights(name) or (name == "vae" and not wish.with_vae):
            for file in (wish.first / name).glob("*.safetensors*"):
                shutil.copy2(file, target / name / file.name)
            continue
        there = [source for source in sources if (source / name).is_dir()]
        if len(there) < len(sources):
            raise InvalidRequest(f"Not all of the models have a {name}.")
        stem = find_weights(wish.first / name).name.split(".")[0]
        denoises = name in ("unet", "transformer")
        blocks = _Blocks.folder(wish.first / name, wish.blocks) if denoises else _Blocks(wish.blocks)
        files = [list(read_weights(source / name).files) for source in there]
        _merge_files(wish, files, blocks, target / name / f"{stem}.safetensors", recipe, outcome)


def _merge_files(
    wish: Merge,
    sources: Sequence[Sequence[Path]],
    blocks: _Blocks,
    target: Path,
    recipe: dict[str, str],
    outcome: Outcome,
) -> None:
    with ExitStack() as stack:
        first, *others = (WeightFiles(stack, files) for files in sources)
        merged: dict[str, torch.Tensor] = {}
        for name in first.names:
            own = first.get(name)
            kept = not own.is_floating_point() or (name.startswith(KEPT) and not wish.with_vae)
            missing = any(name not in other.names for other in others)
            if not kept and missing:
                outcome.kept.append(name)
            if kept or missing:
                merged[name] = _typed(own, wish.dtype)
                continue
            given = [other.get(name) for other in others]
            if any(one.shape != own.shape for one in given):
                shapes = " and ".join(str(tuple(one.shape)) for one in (own, *given))
                raise InvalidRequest(f"The models do not fit together: {name} has the shapes {shapes}.")
            merged[name] = _typed(_mix(own, given, blocks.share(name, wish.share)), wish.dtype or own.dtype)
            outcome.merged += 1
        if not outcome.merged:
            raise InvalidRequest("The models have no weights of the same names; they are of different kinds.")
        partial = target.with_name(f".{target.name}.part")
        try:
            save_file(merged, str(partial), metadata=recipe)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _mix(own: torch.Tensor, given: Sequence[torch.Tensor], share: float) -> torch.Tensor:
    """In fp32, so that a share of 0 gives the first model to the bit."""
    if share == 0:
        return own
    away = given[0].float() - (given[1].float() if len(given) > 1 else own.float())
    if share == 1 and len(given) == 1:
        return given[0]
    return own.float() + share * away


def _typed(tensor: torch.Tensor, dtype: str | torch.dtype | None) -> torch.Tensor:
    if dtype is None or not tensor.is_floating_point():
        return tensor.contiguous()
    return tensor.to(getattr(torch, dtype) if isinstance(dtype, str) else dtype).contiguous()


class WeightFiles:
    """The tensors of one model, read one at a time."""

    def __init__(self, stack: ExitStack, files: Sequence[Path]) -> None:
        """Files stay open until `stack` is left. Raises `BrokenModel` for one that cannot be read."""
        self.names: dict[str, Any] = {}
        for file in files:
            read_header(file)
            opened = stack.enter_context(safe_open(str(file), framework="pt"))
            self.names.update(dict.fromkeys(opened.keys(), opened))

    def get(self, name: str) -> torch.Tensor:
        """One tensor, on the CPU in its own type."""
        tensor: torch.Tensor = self.names[name].get_tensor(name)
        return tensor


class _Blocks:
    """The share of each weight, where shares are given by block."""

    def __init__(self, shares: Sequence[float], block_of: Callable[[str], Block | None] = lambda name: None) -> None:
        self._shares, self._block_of, self._places = shares, block_of, dict[Block, int]()

    @classmethod
    def original(cls, file: Path, shares: Sequence[float]) -> _Blocks:
        """For a single file in the naming of the original code."""

        def block_of(name: str) -> Block | None:
            found = ORIGINAL.match(name)
            if found is None:
                return None
            side = SIDES.get(found[1], found[1])
            return side, 0 if side == "M" else int(found[2])

        return cls(shares, block_of)._found(read_header(file).tensors)

    @classmethod
    def folder(cls, folder: Path, shares: Sequence[float]) -> _Blocks:
        """For a denoiser in diffusers' naming."""
        config = json.loads((folder / "config.json").read_text("utf-8"))
        levels = len(config.get("block_out_channels", ()))
        given = config.get("layers_per_block", 2)
        layers = [given] * levels if isinstance(given, int) else list(given)

        def block_of(name: str) -> Block | None:
            found = TRANSFORMER.match(name)
            return (found[1], int(found[2])) if found else ldm_block(name, layers)

        return cls(shares, block_of)._found(read_weights(folder).tensors)

    def _found(self, names: Mapping[str, Any]) -> _Blocks:
        blocks = {block for name in names if (block := self._block_of(name)) is not None}
        ordered = sorted(blocks, key=lambda block: (ORDER.index(block[0]), block[1]))
        self._places = {block: place for place, block in enumerate(ordered, 1)}
        if self._shares and len(self._shares) != len(ordered) + 1:
            given, wanted = len(self._shares), len(ordered) + 1
            raise InvalidRequest(f"{given} shares by block were given; {wanted} are needed, the first for the rest.")
        return self

    def share(self, name: str, everywhere: float) -> float:
        """Of a weight by its name."""
        if not self._shares:
            return everywhere
        block = self._block_of(name)
        return self._shares[0 if block is None else self._places[block]]


def _recipe(wish: Merge) -> dict[str, Any]:
    """What was merged, with hashes, so that it can be done again."""
    return {
        "type": "atelier",
        "interp_method": "Weighted sum" if wish.third is None else "Add difference",
        "primary_model": {"name": wish.first.stem, "sha256": hash_model(wish.first)},
        "secondary_model": {"name": wish.second.stem, "sha256": hash_model(wish.second)},
        "tertiary_model": None if wish.third is None else {"name": wish.third.stem, "sha256": hash_model(wish.third)},
        "multiplier": wish.share,
        "blocks": list(wish.blocks),
        "vae": wish.with_vae,
        "dtype": wish.dtype,
    }
