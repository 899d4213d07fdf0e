"""Brings a model of the catalogue into memory, part by part, and lets it go again."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.contracts.catalog import Family, ModelEntry
from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.sd_models.components import build_empty, fill, find_class, find_scheduler, read_config, size_of
from modules.sd_models.faults import blaming
from modules.sd_models.folders import Part, holds_weights, read_parts, read_weights
from modules.sd_models.header import read_json
from modules.sd_models.tensors import Advance, group_of, kept_in_float32, read_tensors, total_bytes
from modules.sd_models.vocabulary import check_words, read_tokenizer
from modules.support.garbage import collect_all

Progress = Callable[[float, str], None]
"""Called with a fraction from 0 to 1 and the part that is being read."""
SKIPPED = ("safety_checker", "feature_extractor", "image_encoder", "image_processor")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    `components` has diffusers' names: the denoiser, `vae`, text encoders, tokenizers, `scheduler`. Modules are in eval
    mode without gradients, on the device and in the precision of their placement.
    """

    entry: ModelEntry
    family: Family
    components: dict[str, Any]
    size_bytes: int
    options: Mapping[str, Any] = field(default_factory=dict)
    """Plain options of the pipeline, such as `force_zeros_for_empty_prompt`."""


def _silent(fraction: float, part: str) -> None:
    """The progress that nobody watches."""


def load_model(
    entry: ModelEntry,
    family: Family,
    placement: Mapping[str, Placement],
    *,
    progress: Progress = _silent,
    folders: Sequence[Path] = (),
) -> LoadedModel:
    """Load all parts of `entry`.

    `placement` says device and precision for `denoiser`, `text_encoder` and `vae`. `folders` are looked through for
    tokenizers and parts that a single file lacks. Reads local files only. Raises `BrokenModel` naming the part that
    cannot be used; out of memory passes through. Nothing stays behind when it fails.
    """
    if entry.problem:
        raise BrokenModel(entry.problem)
    if entry.layout == "single_file":
        from modules.sd_models.single_file import load_single_file

        components, options = load_single_file(entry, family, placement, progress, folders)
    else:
        components, options = load_folder(entry.path, placement, progress)
    missing = [name for name in (family.denoiser, "vae", family.decoder) if name and name not in components]
    if missing:
        raise BrokenModel(f"{entry.name} lacks {' and '.join(missing)}.")
    if family.unshifted:
        components["vae"].register_to_config(shift_factor=None)
    with blaming(entry.name, "tokenizer"):
        check_words(components)
    return LoadedModel(entry, family.drawn_with(entry), components, size_of(components), options)


def unload(model: LoadedModel) -> None:
    """Let go of every part. The memory is free once nobody else holds the parts.

    The caller empties the caches of the device afterwards; on a CPU most of the pages go back to the system only then.
    """
    parts = [weakref.ref(part) for part in model.components.values() if hasattr(part, "parameters")]
    model.components.clear()
    # Parts have no cycles and go at once, unless a hook tied one. A collection stops all lanes for half a second.
    if any(part() is not None for part in parts):
        collect_all()


def load_folder(
    folder: Path, placement: Mapping[str, Placement], progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All parts of a diffusers folder, and the plain options of its index."""
    _, parts, options = read_parts(folder)
    wanted = {name: part for name, part in parts.items() if name not in SKIPPED}
    total = (
        sum(total_bytes(read_weights(part.path).tensors) for name, part in wanted.items() if holds_weights(name)) or 1
    )
    done = 0
    components: dict[str, Any] = {}
    for name, part in wanted.items():

        def advance(count: int, name: str = name) -> None:
            nonlocal done
            done += count
            progress(min(done / total, 1.0), name)

        components[name] = load_part(part.path, part, placement, advance)
    return components, options


def load_part(
    folder: Path, part: Part, placement: Mapping[str, Placement], advance: Advance = lambda count: None
) -> Any:
    """One component from its folder. Raises `BrokenModel` naming it."""
    with blaming(folder.parent.name, part.name):
        if part.name == "scheduler":
            return find_scheduler(part.kind).from_config(read_json(folder / "scheduler_config.json"))
        if part.name.startswith("tokenizer"):
            return read_tokenizer(part.kind, folder)
        kind = find_class(part.kind)
        where = placement[group_of(part.name)]
        kept = kept_in_float32(kind, where)
        model = build_empty(kind, read_config(kind, folder))
        return fill(model, read_tensors(read_weights(folder).files, where, keep_float32=kept, advance=advance))
