"""Which layer of a loaded model a file's layer name means.

Names are compared with dots as underscores, because kohya writes them so and the others can be brought to it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modules.sd_models.transformer_names import FLUX, SD3, Row
from modules.sd_models.unet_names import original_names

DENOISER = (
    *("lora_unet_", "lora_transformer_", "oft_unet_", "lycoris_unet_", "lycoris_"),
    *("unet_", "transformer_", "model_diffusion_model_", "diffusion_model_"),
)
"""What may stand before the name of a denoiser's layer."""
ENCODERS = (
    ("lora_te3_", "third"),
    ("lora_te2_", "second"),
    ("lora_te1_", "first"),
    ("lora_te_", "first"),
    ("lycoris_te3_", "third"),
    ("lycoris_te2_", "second"),
    ("lycoris_te1_", "first"),
    ("lycoris_te_", "first"),
    ("text_encoders_t5xxl_transformer_", "t5"),
    ("text_encoders_clip_g_transformer_", "second"),
    ("text_encoders_clip_l_transformer_", "first"),
    ("text_encoder_3_", "third"),
    ("text_encoder_2_", "second"),
    ("text_encoder_", "first"),
)
"""What may stand before the name of a text encoder's layer, longer words first, and which encoder it means."""
WRAPPED = "base_model_model_"
PATTERNS = {r"(\d+)": None, "(2?)": ("", "2"), "(q|k)": ("q", "k")}
"""Groups in the tables of original names, and what each may be; None is the number of a block."""


@dataclass(frozen=True, slots=True)
class Place:
    """A layer of a model, and which of the outputs that a file's layer has are this one's."""

    part: str
    """Component, such as `unet` or `text_encoder_2`."""
    path: str
    """Dotted path inside the component."""
    outputs: tuple[int, int] | None = None
    """First and one past the last; None is all."""
    swapped: bool = False
    """The halves of the outputs change places."""


class LayerIndex:
    """Looks names up for one model. `parts` are its components that networks may change, by name."""

    def __init__(self, denoiser: str, parts: Mapping[str, Any]) -> None:
        self._denoiser = denoiser
        self._names = {part: dict(_names_of(module)) for part, module in parts.items()}
        denoising = parts[denoiser]
        known = self._names[denoiser]
        if hasattr(denoising, "mid_block"):
            paths = [place.path for places in known.values() for place in places]
            for name, path in original_names(paths, denoising.config):
                known.setdefault(name, (Place("", path),))
        for table, block in ((FLUX, "transformer_blocks"), (SD3, "transformer_blocks")):
            if hasattr(denoising, block):
                for name, places in _original_transformer(denoising, table):
                    known.setdefault(name, places)
        self._encoders = self._encoder_names(parts)

    def find(self, layer: str) -> tuple[Place, ...]:
        """The places of a file's layer; none when the model has no such layer."""
        name = layer.replace(".", "_").removeprefix(WRAPPED)
        for prefix, which in ENCODERS:
            if name.startswith(prefix):
                part = self._encoders.get(which)
                return self._look(part, name[len(prefix) :]) if part else ()
        for prefix in DENOISER:
            if name.startswith(prefix) and (found := self._look(self._denoiser, name[len(prefix) :])):
                return found
        return self._look(self._denoiser, name)

    def _look(self, part: str, name: str) -> tuple[Place, ...]:
        known = self._names[part]
        found = known.get(name) or known.get(name.removeprefix("text_model_")) or known.get(f"text_model_{name}") or ()
        return tuple(Place(part, place.path, place.outputs, place.swapped) for place in found)

    def _encoder_names(self, parts: Mapping[str, Any]) -> dict[str, str]:
        """Which component each word of ENCODERS means. T5 is the third for trainers wherever it stands."""
        encoders = [part for part in sorted(parts) if part.startswith("text_encoder")]
        t5 = next((part for part in encoders if hasattr(parts[part], "encoder") and hasattr(parts[part], "shared")), "")
        named = {"first": "text_encoder", "second": "text_encoder_2", "third": "text_encoder_3"}
        found = {word: part for word, part in named.items() if part in parts}
        if t5:
            found["t5"] = t5
            found.setdefault("third", t5)
        if "first" not in found and len(encoders) == 1:
            found["first"] = encoders[0]
        return found


def _names_of(module: Any) -> Iterator[tuple[str, tuple[Place, ...]]]:
    """Every layer with weights of its own, by its own path."""
    for path, layer in module.named_modules():
        if path and getattr(layer, "weight", None) is not None:
            yield path.replace(".", "_"), (Place("", path),)


def _original_transformer(module: Any, table: tuple[Row, ...]) -> Iterator[tuple[str, tuple[Place, ...]]]:
    """Layers under the names of the original code; one of those may be several of ours."""
    layers = {path: layer for path, layer in module.named_modules() if getattr(layer, "weight", None) is not None}
    blocks = max(len(getattr(module, name, ())) for name in ("transformer_blocks", "single_transformer_blocks"))
    for row in table:
        for name in _spellings(row.original, blocks):
            match = re.fullmatch(row.original, name)
            if match is None:
                continue
            targets = [match.expand(target) for target in row.targets]
            if not all(target in layers for target in targets):
                continue
            places, start = [], 0
            for target in targets:
                size = int(layers[target].weight.shape[0])
                span = (start, start + size) if len(targets) > 1 else None
                places.append(Place("", target, span, row.swapped))
                start += size
            yield name.replace(".", "_"), tuple(places)


def _spellings(pattern: str, blocks: int) -> Iterator[str]:
    """All names that a pattern of the tables stands for in a model with so many blocks."""
    pieces = re.split("|".join(f"({re.escape(group)})" for group in PATTERNS), pattern)
    choices: list[tuple[str, ...]] = []
    for piece in filter(None, pieces):
        if piece in PATTERNS:
            choices.append(PATTERNS[piece] or tuple(map(str, range(blocks))))
        else:
            choices.append((piece.replace("\\", ""),))
    for words in itertools.product(*choices):
        yield "".join(words)
