"""What scripts do with pictures besides drawing them: encode them, and lay them out on a sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def encode(image: Image) -> bytes:
    """The picture as PNG, every pixel kept: what `request.image.images` takes."""
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=1)
    return target.getvalue()


def sheet(
    images: Sequence[Image | None], columns: Sequence[str], rows: Sequence[str] = ("",), margin: int = 0
) -> tuple[Image, ...]:
    """Pictures in reading order below the captions of columns and beside those of rows, `margin` pixels apart.

    Captions are left out where all are empty, and places stay empty that there are no pictures for. A sheet is as long
    as 8192 pixels a side at most; what does not fit goes on to the next one.
    """
    from modules.support.sheets import Layout, draw_sheet, fit_cell, tiles_of

    layout = Layout(fit_cell([image.size for image in images if image is not None]), margin)

    def shown(row: int, column: int) -> Image | None:
        place = row * len(columns) + column
        return images[place] if place < len(images) else None

    def drawn(down: range, across: range) -> Image:
        def part(row: int, column: int) -> Image | None:
            return shown(down[row], across[column])

        return draw_sheet([columns[place] for place in across], [rows[place] for place in down], part, layout)

    return tuple(drawn(down, across) for down, across in tiles_of(columns, rows, layout))
