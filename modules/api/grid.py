"""Several pictures on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image


def make_grid(images: Sequence[Image.Image]) -> Image.Image:
    """The pictures in reading order, in as many rows as make the sheet nearest to a square of equal counts.

    Cells have the size of the first picture; what does not fill its last row stays black. RGB.
    """
    rows = max(1, round(math.sqrt(len(images))))
    columns = math.ceil(len(images) / rows)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, image in enumerate(images):
        sheet.paste(image.convert("RGB"), (index % columns * width, index // columns * height))
    return sheet
