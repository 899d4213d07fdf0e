"""What a request says of guidance by a model that sees less: perturbed attention, smoothed energy, skipped layers."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.parameters import param

WHOLE_PICTURE = 10_000.0
"""Blur of the queries from which on it is their mean."""


@dataclass(frozen=True, slots=True)
class AttentionParams:
    """Further rows of a call, each with something taken from the model; the picture is led away from their answers.

    Scales of 0 are without.
    """

    pag_scale: float = param(
        0.0,
        "PAG scale",
        help="Perturbed attention guidance: away from what the model draws when its parts do not look at each other.",
        minimum=0,
        maximum=30,
        step=0.5,
        legacy="pag_scale",
        infotext="PAG scale",
    )
    pag_adaptive: float = param(
        0.0,
        "PAG adaptive scale",
        help="By how much the PAG scale falls for each of the thousand time steps that lie behind.",
        minimum=0,
        maximum=1,
        step=0.001,
        legacy="pag_adaptive",
        infotext="PAG adaptive",
    )
    pag_layers: str = param(
        "mid",
        "PAG layers",
        help="In which parts: mid, down, up, down.1, up.0.attentions.1 …, with commas between them.",
        legacy="pag_layers",
        infotext="PAG layers",
    )
    seg_scale: float = param(
        0.0,
        "SEG scale",
        help="Smoothed energy guidance: away from what the model draws when it looks with blurred queries.",
        minimum=0,
        maximum=30,
        step=0.5,
        legacy="seg_scale",
        infotext="SEG scale",
    )
    seg_blur: float = param(
        WHOLE_PICTURE,
        "SEG blur",
        help="Standard deviation of the blur in cells of the layer; the largest is the mean of the whole picture.",
        minimum=0.1,
        maximum=WHOLE_PICTURE,
        step=0.1,
        legacy="seg_blur",
        infotext="SEG blur",
    )
    seg_layers: str = param(
        "mid",
        "SEG layers",
        help="As the PAG layers.",
        legacy="seg_layers",
        infotext="SEG layers",
    )
    slg_scale: float = param(
        0.0,
        "SLG scale",
        help="Skip-layer guidance, for transformers: away from what the model draws without some of its blocks.",
        minimum=0,
        maximum=30,
        step=0.1,
        legacy="slg_scale",
        infotext="SLG scale",
    )
    slg_layers: str = param(
        "7, 8, 9",
        "SLG layers",
        help="Numbers of the blocks that are left out, from 0.",
        legacy="slg_layers",
        infotext="SLG layers",
    )
    slg_start: float = param(
        0.01,
        "SLG start",
        help="Share of the steps before which there is no skip-layer guidance.",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="slg_start",
        infotext="SLG start",
    )
    slg_end: float = param(
        0.2,
        "SLG end",
        help="Share of the steps after which there is no skip-layer guidance.",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="slg_end",
        infotext="SLG end",
    )

    def rows(self) -> float:
        """How many further rows a picture has in a call, on average over the steps."""
        skipping = min(max(self.slg_end - self.slg_start, 0.0), 1.0) if self.slg_scale > 0 else 0.0
        return (self.pag_scale > 0) + (self.seg_scale > 0) + skipping


PLAIN_ATTENTION = AttentionParams()
"""No further rows."""
