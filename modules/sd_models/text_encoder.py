"""A text encoder from a file or folder of its own, in place of one that a loaded model has."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from modules.contracts.catalog import Family, FileEntry
from modules.contracts.errors import BrokenModel, InvalidRequest, UnknownModel
from modules.contracts.plan import Placement
from modules.sd_models.components import build_empty, cut_end, fill
from modules.sd_models.faults import blaming
from modules.sd_models.folders import read_weights
from modules.sd_models.header import read_header
from modules.sd_models.places import readers_of
from modules.sd_models.single_file import translate
from modules.sd_models.sources import EMBEDDINGS, Source, read_bare
from modules.sd_models.tensors import kept_in_float32, read_tensors

PROJECTION = "text_projection"


def load_text_encoder(
    entry: FileEntry, components: Mapping[str, Any], family: Family, placement: Placement
) -> tuple[str, Any]:
    """The name of the model's part that `entry` stands for, and the encoder, ready to compute where `placement` says.

    It is built by the config of the part it stands for, which is the first one of the family in the same naming with
    as many words of the same width. A projection that the file lacks is the part's own. Raises `UnknownModel` when
    there is nothing at the path, `BrokenModel` for what is no whole text encoder, and `InvalidRequest` for one that
    stands for none of the model's.
    """
    if entry.problem:
        raise BrokenModel(entry.problem)
    if not entry.path.exists():
        raise UnknownModel(f"The text encoder {entry.name!r} is not there any more: {entry.path.name} is missing.")
    source = read_bare(read_weights(entry.path) if entry.path.is_dir() else read_header(entry.path))
    words = (
        None if source is None else next((source.shapes[name] for name in EMBEDDINGS if name in source.shapes), None)
    )
    if source is None or words is None:
        raise BrokenModel(f"{entry.path.name} is no text encoder that is known.")
    part = _find_part(source, words, components, family)
    if part is None:
        own = "; ".join(f"{name} has {_told(_table(components[name]))}" for name in _parts(components, family))
        raise InvalidRequest(
            f"The text encoder {entry.name!r} has {_told(words)} and stands for none of this model's: "
            f"{own or 'it has none'}."
        )
    with blaming(entry.name, part):
        return part, _build(source, components[part], placement)


def _build(source: Source, former: Any, placement: Placement) -> Any:
    kind, config = type(former), copy.deepcopy(former.config)
    tensors = read_tensors(
        source.header.files,
        placement,
        rename=lambda name: name[len(source.prefix) :] if name.startswith(source.prefix) else None,
        keep_float32=kept_in_float32(kind, placement),
    )
    projects = any(name.removesuffix(".weight").endswith(PROJECTION) for name in tensors)
    named = translate(kind.__name__, source.naming, tensors, config.to_dict())
    if hasattr(former, PROJECTION) and not projects:
        named[f"{PROJECTION}.weight"] = former.text_projection.weight.detach().clone()
    return fill(cut_end(build_empty(kind, config), named), named)


def _parts(components: Mapping[str, Any], family: Family) -> list[str]:
    return [name for name in family.text_encoders if components.get(name) is not None]


def _find_part(source: Source, words: tuple[int, ...], components: Mapping[str, Any], family: Family) -> str | None:
    fitting = (name for name in _parts(components, family) if source.naming in readers_of(name, family.id))
    return next((name for name in fitting if _table(components[name]) == words), None)


def _table(encoder: Any) -> tuple[int, ...]:
    return tuple(encoder.get_input_embeddings().weight.shape)


def _told(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} words {shape[1]} wide"
