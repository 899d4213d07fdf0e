"""What a request says of guidance beyond its scale."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.parameters import param

CFG_SCHEDULES = ("constant", "linear up", "linear down", "cosine up", "cosine down")


@dataclass(frozen=True, slots=True)
class GuidanceParams:
    """How the answer to the prompt and the one to the negative prompt become one. As declared nothing is changed."""

    start: float = param(
        0.0,
        "CFG start",
        help="Share of the steps before which there is no guidance, as at CFG scale 1.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="cfg_start",
        infotext="CFG start",
    )
    end: float = param(
        1.0,
        "CFG end",
        help="Share of the steps after which there is no guidance, as at CFG scale 1.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="cfg_end",
        infotext="CFG end",
    )
    schedule: str = param(
        "constant",
        "CFG schedule",
        help="How the scale goes between start and end: up from 1 to the CFG scale, or down from it to 1.",
        choices=CFG_SCHEDULES,
        legacy="cfg_schedule",
        infotext="CFG schedule",
    )
    mimic_scale: float = param(
        0.0,
        "Mimic scale",
        help="Dynamic thresholding: a higher CFG scale gets the contrast of this one; 0 is without.",
        minimum=0,
        maximum=100,
        step=0.5,
        legacy="mimic_scale",
        infotext="Mimic scale",
    )
    threshold_percentile: float = param(
        100.0,
        "Threshold percentile",
        help="Dynamic thresholding: values beyond that percentile are cut off before contrast is taken down.",
        minimum=50,
        maximum=100,
        step=0.5,
        legacy="threshold_percentile",
        infotext="Threshold percentile",
    )
    apg: bool = param(
        False,
        "Adaptive projected guidance",
        help="Takes out of guidance what only saturates, so that high scales keep their colours.",
        legacy="apg",
        infotext="APG",
    )
    apg_parallel: float = param(
        0.0,
        "APG parallel part",
        help="How much is kept of the part of guidance that saturates; 1 keeps all of it.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="apg_parallel",
        infotext="APG parallel",
    )
    apg_threshold: float = param(
        15.0,
        "APG norm threshold",
        help="Longest that guidance may be, in latent units; 0 is without a limit.",
        minimum=0,
        maximum=1000,
        step=0.5,
        legacy="apg_threshold",
        infotext="APG threshold",
    )
    apg_momentum: float = param(
        -0.5,
        "APG momentum",
        help="How much of the guidance of earlier steps is added; negative pushes away from it.",
        minimum=-1,
        maximum=0.95,
        step=0.05,
        legacy="apg_momentum",
        infotext="APG momentum",
    )
    zero_star: bool = param(
        False,
        "CFG-Zero*",
        help="For flow models: the answer to the negative prompt is scaled to fit the one to the prompt.",
        legacy="cfg_zero_star",
        infotext="CFG Zero star",
    )
    zero_steps: int = param(
        0,
        "CFG-Zero* steps without motion",
        help="For flow models: in so many first steps the picture stays as it is.",
        minimum=0,
        maximum=100,
        step=1,
        legacy="cfg_zero_steps",
        infotext="CFG Zero steps",
    )
    perp_neg: float = param(
        0.0,
        "Perpendicular negative",
        help="Only what of the negative prompt does not contradict the prompt is kept off, that strongly; 0 is the "
        "ordinary negative prompt. Asks the model for the empty prompt, too.",
        minimum=0,
        maximum=10,
        step=0.1,
        legacy="perp_neg",
        infotext="Perp-Neg",
    )

    @property
    def scheduled(self) -> bool:
        """The scale is not the same at all steps."""
        return self.start > 0 or self.end < 1 or self.schedule != CFG_SCHEDULES[0]

    @property
    def zeroing(self) -> bool:
        """Something of CFG-Zero* is asked for."""
        return self.zero_star or self.zero_steps > 0

    @property
    def mixing(self) -> bool:
        """The two answers are mixed in another way than by one scale."""
        return self.mimic_scale > 0 or self.apg or self.zeroing


PLAIN_GUIDANCE = GuidanceParams()
"""One scale and nothing else."""
