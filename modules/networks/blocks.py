"""Factors by block of the denoiser, as people write them behind `lbw=`, and for the parts of a UNet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.sd_models.unet_names import ldm_block

_SEVENTEEN = {
    "NONE": "00000000000000000",
    "ALL": "11111111111111111",
    "INS": "11110000000000000",
    "IND": "10001110000000000",
    "INALL": "11111110000000000",
    "MIDD": "10001111111100000",
    "OUTD": "10000000111100000",
    "OUTS": "10000000000011111",
    "OUTALL": "10000000111111111",
}
PRESETS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {name: tuple(map(float, digits)) for name, digits in _SEVENTEEN.items()}
)
"""Names for lists of 17, as the extension LoRA Block Weight for A1111 ships them."""
Block = tuple[str, int]
"""Side and number of a block of a UNet in its original code; no side, and the number, in a transformer."""
SIDES = ("IN", "M", "OUT")
NAMES = {"IN": "in", "M": "mid", "OUT": "out"}
TRANSFORMER = re.compile(r"(single_)?transformer_blocks\.(\d+)\.")


def parse_blocks(text: str) -> tuple[float, ...]:
    """The factors of `lbw=`. Raises `InvalidRequest` for what is neither a preset nor a list of numbers."""
    preset = PRESETS.get(text.strip().upper())
    if preset is not None:
        return preset
    try:
        factors = tuple(float(word) for word in re.split(r"[,;]", text))
    except ValueError:
        known = ", ".join(PRESETS)
        raise InvalidRequest(f"lbw is {text!r}; allowed are numbers with commas between them, or {known}.") from None
    if not all(abs(factor) < 1e6 for factor in factors):
        raise InvalidRequest(f"lbw is {text!r}; its numbers have to be finite.")
    return factors


class Blocks:
    """Knows in which block of one denoiser a layer lies.

    A list of factors begins with `BASE`, for the text encoders and what lies outside all blocks. For a UNet it goes on
    with every block from the input to the output, or with those that have attention, which are the ones that a plain
    LoRA changes: 26 or 17 numbers for Stable Diffusion 1, 20 or 12 for SDXL. For a transformer it goes on with every
    block.
    """

    def __init__(self, denoiser: Any) -> None:
        config = denoiser.config
        self._unet = hasattr(denoiser, "mid_block")
        levels = len(config["block_out_channels"]) if self._unet else 0
        given = config.get("layers_per_block", 2) if self._unet else 0
        self._layers = [given] * levels if isinstance(given, int) else list(given)
        self._doubles = len(getattr(denoiser, "transformer_blocks", ()))
        self._singles = len(getattr(denoiser, "single_transformer_blocks", ()))
        self._lists = self._find_lists([path for path, _ in denoiser.named_modules()])

    def _find_lists(self, paths: Sequence[str]) -> dict[int, dict[Block, int]]:
        """By number of factors: the place of each block in the list."""
        if not self._unet:
            count = self._doubles + self._singles
            return {count + 1: {("", number): number + 1 for number in range(count)}}
        all_blocks = {block for path in paths if (block := ldm_block(path, self._layers)) is not None}
        attending = {block for path in paths if ".attentions." in path and (block := ldm_block(path, self._layers))}
        lists = {}
        for blocks in (attending, all_blocks):
            ordered = sorted(blocks, key=lambda block: (SIDES.index(block[0]), block[1]))
            lists[len(blocks) + 1] = {block: place for place, block in enumerate(ordered, 1)}
        return lists

    def check(self, factors: Sequence[float]) -> None:
        """Raise `InvalidRequest` when so many factors mean nothing for this denoiser."""
        if len(factors) not in self._lists:
            allowed = " or ".join(map(str, self._lists))
            raise InvalidRequest(f"lbw has {len(factors)} numbers; for this model {allowed} are needed.")

    def factor(self, path: str, factors: Sequence[float], parts: Mapping[str, float]) -> float:
        """What a layer's change is multiplied by: the factor of its block, 0 for a block that the list leaves out."""
        block = self._block_of(path)
        chosen = parts.get(NAMES[block[0]], 1.0) if block is not None and self._unet else 1.0
        if not factors:
            return chosen
        place = 0 if block is None else self._lists[len(factors)].get(block)
        return 0.0 if place is None else chosen * factors[place]

    def _block_of(self, path: str) -> Block | None:
        if self._unet:
            return ldm_block(path, self._layers)
        found = TRANSFORMER.match(path)
        return None if found is None else ("", int(found[2]) + (self._doubles if found[1] else 0))
