"""What a request says of the canvas being made larger round a given picture, whose new margins are then drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import param
from modules.contracts.repainting import FILL_MODES


def _side(name: str) -> Any:
    return param(
        0,
        f"Outpaint {name}",
        help=f"Pixels that the canvas grows by at the {name}.",
        minimum=0,
        maximum=4096,
        step=8,
        legacy=f"outpaint_{name}",
        infotext=f"Outpaint {name}",
    )


@dataclass(frozen=True, slots=True)
class OutpaintParams:
    """Margins to be drawn round a given picture. As declared there are none."""

    left: int = _side("left")
    right: int = _side("right")
    top: int = _side("top")
    bottom: int = _side("bottom")
    overlap: int = param(
        16,
        "Outpaint overlap",
        help="Pixels of the picture along a grown side that are drawn anew, so that both grow together.",
        minimum=0,
        maximum=512,
        step=4,
        legacy="outpaint_overlap",
        infotext="Outpaint overlap",
    )
    blur: int = param(
        8,
        "Outpaint blur",
        help="How softly what is drawn goes over into the picture; within the overlap.",
        minimum=0,
        maximum=128,
        step=1,
        legacy="outpaint_blur",
        infotext="Outpaint blur",
    )
    fill: str = param(
        "fill",
        "Outpaint content",
        help="What the margins begin with: the border's colours, nothing but noise, or nothing.",
        choices=tuple(mode for mode in FILL_MODES if mode != "original"),
        legacy="outpaint_fill",
        infotext="Outpaint content",
    )

    @property
    def acts(self) -> bool:
        """The canvas grows at some side."""
        return any((self.left, self.right, self.top, self.bottom))

    def size_of(self, given: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the canvas round a picture of that size."""
        return given[0] + self.left + self.right, given[1] + self.top + self.bottom

    def kept(self, given: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, on the canvas, of what is not drawn anew of a picture of that size.

        A side that does not grow keeps its border; the overlap takes at most a third of a side's length.
        """
        across, down = min(self.overlap, given[0] // 3), min(self.overlap, given[1] // 3)
        left, top = self.left, self.top
        return (
            left + (across if self.left else 0),
            top + (down if self.top else 0),
            left + given[0] - (across if self.right else 0),
            top + given[1] - (down if self.bottom else 0),
        )


NO_OUTPAINT = OutpaintParams()
"""Canvases as they are."""


def check_outpaint(outpaint: OutpaintParams, *, picture: bool, enlarged: bool) -> None:
    """Raise `InvalidRequest` for margins without a picture, and beside SD upscale."""
    if not outpaint.acts:
        return
    if not picture:
        raise InvalidRequest("Outpainting draws margins round a given picture; give one.")
    if enlarged:
        raise InvalidRequest("Outpainting and SD upscale both decide on the canvas; ask for one of them.")
