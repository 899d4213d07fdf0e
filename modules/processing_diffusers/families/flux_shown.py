"""Flux.1 models that see a picture beside the one they draw: Kontext as further tokens, Fill as further channels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from modules.contracts.catalog import Family
from modules.processing_diffusers.families.flux import FluxAdapter

PLAIN = "FluxPipeline"


class FluxKontextAdapter(FluxAdapter):
    """Talks to `FluxPipeline` and shows the denoiser the picture to change.

    Black Forest Labs, FLUX.1 Kontext (arXiv:2506.15742), section 3: the picture's tokens stand behind those that are
    drawn, at the same places of another plane.
    """

    plane: ClassVar[int] = 1
    """The first number of the places of the picture's tokens."""

    def pipeline_name(self, family: Family) -> str:
        """The plain one, as the picture is shown here."""
        return PLAIN

    def show(self, arguments: dict[str, Any], seen: torch.Tensor) -> dict[str, Any]:
        """Tokens of the picture behind those drawn."""
        drawn, places = arguments["hidden_states"], arguments["img_ids"]
        there = places.clone()
        there[:, 0] = self.plane
        return {
            **arguments,
            "hidden_states": torch.cat([drawn, self.pack(seen).to(drawn)], dim=1),
            "img_ids": torch.cat([places, there]),
            "drawn": drawn.shape[1],
        }

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward, and of its answer the tokens that are drawn."""
        drawn = arguments.pop("drawn", None)
        return (denoiser(**arguments)[0][:, :drawn],)


class FluxFillAdapter(FluxAdapter):
    """Talks to `FluxPipeline` and shows the denoiser mask and masked picture as further channels of every token."""

    def pipeline_name(self, family: Family) -> str:
        """The plain one, as the picture is shown here."""
        return PLAIN

    def beside(self, white: torch.Tensor, latents: torch.Tensor) -> torch.Tensor | None:
        """Latents of the picture around the mask, and behind them the mask's pixels of each cell as channels."""
        pixels = torch.nn.functional.pixel_unshuffle(white, white.shape[-1] // latents.shape[-1])
        return torch.cat([latents, pixels.expand(len(latents), -1, -1, -1).to(latents)], dim=1)

    def show(self, arguments: dict[str, Any], seen: torch.Tensor) -> dict[str, Any]:
        """Channels of the masked picture behind those drawn."""
        drawn = arguments["hidden_states"]
        return {**arguments, "hidden_states": torch.cat([drawn, self.pack(seen).to(drawn)], dim=2)}
