"""The page's own table: how far its sliders reach, which aspects it offers, which prompts it suggests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POCKET = "pocket"
"""Name that the catalogue gives to the model that ships with the repository."""


@dataclass(frozen=True, slots=True)
class PageTable:
    """`configs/ui/page.json`, read once while the page is built."""

    sliders: Mapping[str, tuple[float, float]]
    """Comfortable range per declared name. The number beside the slider still takes every lawful value."""
    aspects: tuple[str, ...]
    """Aspect ratios `W:H` in display order."""
    examples: Mapping[str, tuple[str, ...]]
    """Prompts to begin with, by model name; `default` for all others."""

    def prompts_for(self, model: str | None) -> tuple[str, ...]:
        """What a first-time visitor may try with that model."""
        key = POCKET if model is not None and POCKET in model.lower() else "default"
        return self.examples[key]


def read_table(configs: Path) -> PageTable:
    """Read the table below the folder `configs`."""
    raw = json.loads((configs / "ui" / "page.json").read_text("utf-8"))
    return PageTable(
        sliders={name: (span[0], span[1]) for name, span in raw["sliders"].items()},
        aspects=tuple(raw["aspects"]),
        examples={name: tuple(prompts) for name, prompts in raw["examples"].items()},
    )
