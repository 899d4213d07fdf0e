"""The property of inpainting: what was asked for appears inside of the mask, and nothing changes outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modules.pocket.evaluation.bars import Bar, Finding, Shown, share
from modules.pocket.evaluation.difference import compare
from modules.pocket.evaluation.drawing import Draw, Manner
from modules.pocket.evaluation.judge import Verdict, judge
from modules.pocket.evaluation.obedience import obeys
from modules.pocket.evaluation.sources import Start

APPEARS = 0.9
"""Least share of pictures that show inside of the mask what was asked for."""
DECODED = 4.0
"""Most mean difference, of 255, outside of the mask where the whole picture comes out of the VAE."""
UNTOUCHED = 1.0
"""Most difference of any value outside of the mask where the old picture is laid over the new one."""


def measure_inpainting(draw: Draw, starts: Sequence[Start], manner: Manner, overlaid: bool = False) -> Finding:
    """Masks hide the one thing of a picture; another thing of other colour is asked for.

    `overlaid` says that what draws lays the old picture over the new one, as the studio does; then not one value may
    change outside. A bare pipeline decodes the whole picture anew, so there only the mean is held to a bound.
    """
    images = np.stack([start.picture for start in starts])
    masks = np.stack([start.mask for start in starts])
    order = manner.order([start.asked.prompt for start in starts])
    pictures = draw(replace(order, images=images, masks=masks, size=images.shape[1]))
    seen = [judge(picture) for picture in pictures]
    rows = list(zip(starts, seen, strict=True))
    hits = [obeys(start.asked, each) and _within(each, start) for start, each in rows]
    outside = [compare(one, other, mask > 0) for one, other, mask in zip(images, pictures, masks, strict=True)]
    mean, largest = float(np.mean([each.mean for each in outside])), max(each.largest for each in outside)
    changed = (
        Bar("outside_largest", largest, UNTOUCHED, least=False)
        if overlaid
        else Bar("outside_mean", mean, DECODED, least=False)
    )
    figures = {
        "pictures": len(starts),
        "colour": share([each.colour == start.asked.colour for start, each in rows]),
        "outside": {"mean": round(mean, 3), "largest": largest},
    }
    shown = [Shown(picture, True) for picture in images]
    shown += [Shown(picture, hit) for picture, hit in zip(pictures, hits, strict=True)]
    return Finding((Bar("appears", share(hits), APPEARS), changed), figures, tuple(shown))


def _within(seen: Verdict, start: Start) -> bool:
    """Whether there is one thing and its middle lies inside of the mask."""
    height, width = start.mask.shape
    x, y = seen.centre
    return seen.count == 1 and bool(start.mask[min(height - 1, int(y * height)), min(width - 1, int(x * width))])
