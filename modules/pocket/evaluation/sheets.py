"""Contact sheets: the judged pictures side by side, green frames for what was right and red ones for what was not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from modules.pocket.evaluation.bars import Shown

RIGHT, WRONG = (34, 160, 60), (214, 40, 40)
_FRAME = 2
_GAP = 2


def lay_out(shown: Sequence[Shown], columns: int = 20, side: int = 96) -> Image.Image:
    """All pictures in rows of `columns`, each brought to `side` pixels and framed. Raises ValueError for none."""
    if not shown:
        raise ValueError("a contact sheet needs at least one picture")
    wide = min(columns, len(shown))
    rows = -(-len(shown) // wide)
    cell = side + 2 * _FRAME + _GAP
    canvas = np.full((rows * cell + _GAP, wide * cell + _GAP, 3), 255, np.uint8)
    for number, each in enumerate(shown):
        y, x = (part * cell + _GAP for part in divmod(number, wide))
        canvas[y : y + cell - _GAP, x : x + cell - _GAP] = RIGHT if each.right else WRONG
        inner = cv2.resize(each.picture, (side, side), interpolation=cv2.INTER_AREA)
        canvas[y + _FRAME : y + _FRAME + side, x + _FRAME : x + _FRAME + side] = inner
    return Image.fromarray(canvas)
