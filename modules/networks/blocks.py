"""Factors by block of the denoiser, as people write them behind `lbw=`, and for the parts of a UNet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.networks.unet_names import ldm_block

UNET = ("BASE", *(f"IN{number:02}" for number in range(12)), "M00", *(f"OUT{number:02}" for number in range(12)))
"""All blocks of a UNet such as that of Stable Diffusion 1, the text encoders' first."""
SKIPPED = ("IN00", "IN03", "IN06", "IN09", "IN10", "IN11", "OUT00", "OUT01", "OUT02")
XL = (
    *("BASE", *(f"IN{number:02}" for number in range(9))),
    *("M00", *(f"OUT{number:02}" for number in range(9))),
)
LISTS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        26: UNET,
        17: tuple(name for name in UNET if name not in SKIPPED),
        20: XL,
        12: ("BASE", "IN04", "IN05", "IN07", "IN08", "M00", *(f"OUT{number:02}" for number in range(6))),
    }
)
"""Names of the blocks by how many factors there are: 26 and 17 for SD 1 (all, or those that a LoRA changes), 20 and 12
for SDXL, as in the extension LoRA Block Weight for A1111."""
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
"""Names for lists of 17."""
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
    """Knows in which block of one denoiser a layer lies."""

    def __init__(self, denoiser: Any) -> None:
        config = denoiser.config
        self._unet = hasattr(denoiser, "down_blocks")
        levels = len(config["block_out_channels"]) if self._unet else 0
        given = config.get("layers_per_block", 2) if self._unet else 0
        self._layers = [given] * levels if isinstance(given, int) else list(given)
        self._doubles = len(getattr(denoiser, "transformer_blocks", ()))
        self._singles = len(getattr(denoiser, "single_transformer_blocks", ()))

    def check(self, factors: Sequence[float]) -> None:
        """Raise `InvalidRequest` when so many factors mean nothing for this denoiser."""
        count, mine = len(factors), 1 + self._doubles + self._singles
        if self._unet and count not in LISTS:
            raise InvalidRequest(f"lbw has {count} numbers; for a UNet 12, 17, 20 or 26 are allowed.")
        if not self._unet and count != mine:
            raise InvalidRequest(f"lbw has {count} numbers; this model has {mine - 1} blocks, so {mine} are needed.")

    def factor(self, path: str, factors: Sequence[float], parts: Mapping[str, float]) -> float:
        """What a layer's change is multiplied by. Layers outside all blocks count as the first factor, `BASE`, where
        the denoiser has no such name for them."""
        chosen = 1.0
        if self._unet:
            block = ldm_block(path, self._layers)
            chosen *= parts.get({"IN": "in", "M": "mid", "OUT": "out"}[block[0]], 1.0) if block else 1.0
            if factors:
                name = "BASE" if block is None else "M00" if block[0] == "M" else f"{block[0]}{block[1]:02}"
                named = dict(zip(LISTS[len(factors)], factors, strict=True))
                # A block that the short list does not name is not changed by the files it was made for.
                chosen *= named.get(name, 0.0)
        elif factors:
            found = TRANSFORMER.match(path)
            number = 0 if found is None else 1 + int(found[2]) + (self._doubles if found[1] else 0)
            chosen *= factors[number]
        return chosen
