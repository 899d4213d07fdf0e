"""Files of textual inversions (Gal et al., arXiv:2208.01618): a few vectors that stand for a new word.

A1111 keeps them under `emb_params`, diffusers under the word itself, and files for SDXL have one set for each of its
encoders, `clip_l` and `clip_g`. Everything but `read_vectors` works on shapes and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.networks import NetworkEntry
from modules.networks.parameters import is_network

if TYPE_CHECKING:
    from torch import Tensor

A1111 = "emb_params"
PAIR = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
"""Sets of vectors of a file for SDXL, and the encoder that each is for."""
MOST_VECTORS = 1024
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
    if not fits({name: tuple(tensor.shape) for name, tensor in tensors.items()}, widths):
        raise UnsupportedFeature(f"The embedding {entry.name} has not the width of this model's text encoders.")
    found: dict[str, Tensor] = _by_encoder(tensors, widths)
    rows = {part: tensor.reshape(-1, tensor.shape[-1]) for part, tensor in found.items() if part in widths}
    if len({tensor.shape[0] for tensor in rows.values()}) > 1:
        raise UnsupportedFeature(f"The embedding {entry.name} has not the same number of vectors for each encoder.")
    return rows


def _by_encoder(values: Mapping[str, Any], widths: Mapping[str, int]) -> dict[str, Any]:
    """What a file holds by encoder; one set of vectors is for the first."""
    if values.keys() <= PAIR.keys():
        return {PAIR[name]: value for name, value in values.items()}
    return {next(iter(widths)): next(iter(values.values()))}


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) > 1 else 1
