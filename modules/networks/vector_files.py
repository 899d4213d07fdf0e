"""Files of textual inversions (Gal et al., arXiv:2208.01618): a few vectors that stand for a new word.

A1111 keeps them under `emb_params`, diffusers under the word itself, and files for SDXL have one set for each of its
encoders, `clip_l` and `clip_g`. Everything but `read_vectors` works on shapes and imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.networks import NetworkEntry
from modules.networks.parameters import is_network

if TYPE_CHECKING:
    from torch import Tensor

A1111 = "emb_params"
PAIR = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
"""Sets of vectors of a file for SDXL, and the encoder that each is for."""
MOST_VECTORS = 1024
BUNDLE = "bundle_emb."
"""Begins the names of what a LoRA's file holds of embeddings that belong to it."""
_BUNDLED = re.compile(r"bundle_emb\.(?P<word>.+?)\.(?:string_to_param\.\*|(?P<set>emb_params|clip_l|clip_g))")
Value = TypeVar("Value")
Shapes = Mapping[str, tuple[int, ...]]


def is_embedding(shapes: Shapes) -> bool:
    """Whether tensors of these names and shapes are a textual inversion."""
    if not shapes or is_network(shapes) or (len(shapes) > 1 and not shapes.keys() <= PAIR.keys()):
        return False
    return all(len(shape) in (1, 2) and 0 < _rows(shape) <= MOST_VECTORS and shape[-1] > 0 for shape in shapes.values())


def word_of(shapes: Shapes) -> str | None:
    """The word under which diffusers' layout keeps the vectors; None in the other layouts."""
    word = next(iter(shapes))
    return word if len(shapes) == 1 and word != A1111 and word not in PAIR else None


def fits(shapes: Shapes, widths: Mapping[str, int]) -> bool:
    """Whether vectors of these shapes are as wide as the embeddings of each encoder that reads the prompt's words.

    `widths` is by component, such as `text_encoder`.
    """
    return bool(widths) and all(
        any(part == encoder and shape[-1] == width for part, shape in _by_encoder(shapes, widths).items())
        for encoder, width in widths.items()
    )


def read_vectors(entry: NetworkEntry, widths: Mapping[str, int]) -> dict[str, Tensor]:
    """Vectors (count, width) by encoder. Raises `BrokenModel`, or `UnsupportedFeature` where they do not fit."""
    from modules.networks.loading import read_file

    tensors, _ = read_file(entry.path)
    return vectors_by_encoder(entry.name, tensors, widths)


def bundles_of(values: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """Embeddings that a LoRA's file brings along, by word, each as a file of its own would hold it.

    Names are `bundle_emb.WORD.` and what A1111 calls the vectors (`string_to_param.*`, `emb_params`), or one set for
    each encoder of SDXL (`clip_l`, `clip_g`). Whatever else stands there says nothing of vectors and is left out.
    """
    found: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        part = _BUNDLED.fullmatch(name)
        if part is not None and part["word"].strip():
            found.setdefault(part["word"].strip(), {})[part["set"] or A1111] = value
    return found


def vectors_by_encoder(name: str, tensors: Mapping[str, Tensor], widths: Mapping[str, int]) -> dict[str, Tensor]:
    """Vectors (count, width) by encoder, of one embedding's tensors. Raises `UnsupportedFeature` for misfits."""
    if not is_embedding({key: tuple(tensor.shape) for key, tensor in tensors.items()}):
        raise UnsupportedFeature(f"The embedding {name} is no rows of vectors.")
    if not fits({key: tuple(tensor.shape) for key, tensor in tensors.items()}, widths):
        raise UnsupportedFeature(f"The embedding {name} has not the width of this model's text encoders.")
    found: dict[str, Tensor] = _by_encoder(tensors, widths)
    rows = {part: tensor.reshape(-1, tensor.shape[-1]) for part, tensor in found.items() if part in widths}
    if len({tensor.shape[0] for tensor in rows.values()}) > 1:
        raise UnsupportedFeature(f"The embedding {name} has not the same number of vectors for each encoder.")
    return rows


def _by_encoder(values: Mapping[str, Any], widths: Mapping[str, int]) -> dict[str, Any]:
    """What a file holds by encoder; one set of vectors is for the first."""
    if values.keys() <= PAIR.keys():
        return {PAIR[name]: value for name, value in values.items()}
    return {next(iter(widths)): next(iter(values.values()))}


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) > 1 else 1
