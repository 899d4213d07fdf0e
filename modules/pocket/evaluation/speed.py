"""How long a picture takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from modules.pocket.evaluation.bars import Bar, Finding
from modules.pocket.evaluation.drawing import Draw, Manner

USUAL, FAST = 6.0, 1.5
"""Most seconds of one picture of 256 pixels on two cores: of 20 steps, and of the distilled model's four."""

PROMPT = "a red circle on a white background"


def measure_seconds(
    draw: Draw, manner: Manner, bound: float, clock: Callable[[], float] = time.perf_counter
) -> Finding:
    """Wall-clock seconds of one picture drawn alone, the shorter of two after one that is not counted.

    The bar means two free cores; what else runs on the machine is in the figure.
    """
    order = manner.order([PROMPT])
    draw(order)
    taken = []
    for _ in range(2):
        began = clock()
        draw(order)
        taken.append(clock() - began)
    return Finding((Bar("seconds", min(taken), bound, least=False),))
