"""What a request says of brightness, colour, sharpness and reach of its latents while they are drawn.

The names of the legacy fields are SD.Next's; what the numbers mean is told here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import param

TONE_MODES = ("relative", "absolute")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class ToneParams:
    """Corrections of brightness and colour. As declared nothing is changed."""

    mode: str = param(
        "relative",
        "Brightness mode",
        help="Brightness counts from what the model draws, or in absolute mode from mid-grey.",
        choices=TONE_MODES,
        legacy="hdr_mode",
        infotext="HDR mode",
    )
    brightness: float = param(
        0.0,
        "Brightness",
        help="By how much the picture gets lighter, as a share of the way from black to white.",
        minimum=-1,
        maximum=1,
        step=0.05,
        legacy="hdr_brightness",
        infotext="HDR brightness",
    )
    color: float = param(
        0.0,
        "Neutral colours",
        help="How much of the picture's colour cast, its mean distance from grey, is taken away.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="hdr_color",
        infotext="HDR color",
    )
    sharpen: float = param(
        0.0,
        "Sharpen",
        help="By what share of itself the finest detail grows in the last quarter of the steps; below 0 it shrinks.",
        minimum=-0.9,
        maximum=2,
        step=0.05,
        legacy="hdr_sharpen",
        infotext="HDR sharpen",
    )
    tint: str = param(
        "#000000",
        "Tint",
        help="A colour as #rrggbb; grey ones tint nothing.",
        legacy="hdr_color_picker",
        infotext="HDR tint",
    )
    tint_ratio: float = param(
        0.0,
        "Tint ratio",
        help="How far the picture's colour moves towards the tint at equal brightness; below 0 away from it.",
        minimum=-1,
        maximum=1,
        step=0.05,
        legacy="hdr_tint_ratio",
        infotext="HDR tint ratio",
    )
    start: float = param(
        0.5,
        "Corrections from",
        help="Share of the steps before which latents are left as they are.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="hdr_start",
        infotext="HDR start",
    )
    end: float = param(
        1.0,
        "Corrections to",
        help="Share of the steps from which on latents are left as they are.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="hdr_end",
        infotext="HDR end",
    )
    hires: bool = param(
        True,
        "Corrections in hires",
        help="The second pass has the corrections, too.",
        legacy="hdr_apply_hires",
        infotext="HDR apply hires",
    )

    @property
    def acts(self) -> bool:
        """Something of it changes the picture."""
        amounts = (self.brightness, self.color, self.sharpen, self.tint_ratio)
        return (self.mode != "relative" or any(amounts)) and self.start < self.end

    @property
    def colour(self) -> tuple[float, float, float]:
        """The tint, each of red, green and blue from 0 to 1."""
        red, green, blue = (int(self.tint[place : place + 2], 16) / 255 for place in (1, 3, 5))
        return red, green, blue


@dataclass(frozen=True, slots=True)
class ReachParams:
    """Corrections of how far latents reach, in their own units, of which a model's training makes the deviation 1.

    As declared nothing is changed. They act between the same shares of the steps as those of `ToneParams`.
    """

    clamp: bool = param(
        False,
        "Soft clamp",
        help="Latents that reach too far are pressed together.",
        legacy="hdr_clamp",
        infotext="HDR clamp",
    )
    boundary: float = param(
        4.0,
        "Clamp boundary",
        help="No latent value gets beyond it.",
        minimum=0.1,
        maximum=10,
        step=0.1,
        legacy="hdr_boundary",
        infotext="HDR boundary",
    )
    threshold: float = param(
        0.95,
        "Clamp threshold",
        help="Share of the boundary up to which values stay as they are.",
        minimum=0,
        maximum=0.99,
        step=0.01,
        legacy="hdr_threshold",
        infotext="HDR threshold",
    )
    maximize: bool = param(
        False,
        "Maximize",
        help="Each channel is moved towards its middle, and the picture is stretched to the reach below.",
        legacy="hdr_maximize",
        infotext="HDR maximize",
    )
    max_center: float = param(
        0.6,
        "Maximize centre",
        help="How much of each channel's mean is taken away first.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="hdr_max_center",
        infotext="HDR max center",
    )
    max_boundary: float = param(
        1.0,
        "Maximize boundary",
        help="How far the farthest value is to reach, in fours.",
        minimum=0.1,
        maximum=2,
        step=0.05,
        legacy="hdr_max_boundary",
        infotext="HDR max boundary",
    )

    @property
    def acts(self) -> bool:
        """Something of it changes the picture."""
        return self.clamp or self.maximize


PLAIN_TONE, PLAIN_REACH = ToneParams(), ReachParams()
"""Latents as the model draws them."""


def check_tone(tone: ToneParams) -> None:
    """Raise `InvalidRequest` for a tint that is no colour."""
    if not _COLOUR.fullmatch(tone.tint):
        raise InvalidRequest(f"Tint is {tone.tint[:40]!r}; a colour as '#rrggbb' is needed, e.g. '#ff8000'.")
