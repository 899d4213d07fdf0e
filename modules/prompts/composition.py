"""Composition: several prompts for one picture, joined by `AND`, each with a weight of its own.

Liu et al., Compositional Visual Generation with Composable Diffusion Models (2022).
"""

from __future__ import annotations

import re

from modules.contracts.errors import InvalidRequest

MOST = 64
"""Prompts of one picture; each costs as much at every step as a picture of its own."""
_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r":\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*\Z")


def split_composition(text: str) -> tuple[tuple[str, float], ...]:
    """The prompts with their weights: `a cat :1.2 AND a dog` gives a cat 1.2 and a dog 1.

    `AND` counts as a whole word in capitals, wherever it stands, so it must not be used within brackets. Raises
    `InvalidRequest` for more than 64 prompts.
    """
    parts = _AND.split(text) if "AND" in text else [text]
    if len(parts) > MOST:
        raise InvalidRequest(f"The prompt joins {len(parts)} prompts with AND; at most {MOST} are allowed.")
    return tuple(_weighted(part) for part in parts)


def _weighted(part: str) -> tuple[str, float]:
    found = _WEIGHT.search(part)
    return (part, 1.0) if found is None else (part[: found.start()], float(found[1]))
