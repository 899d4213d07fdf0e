"""Sheets: the pictures of a grid beside and below each other, with captions of columns and rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

LONGEST_SIDE = 8192
"""Pixels of a sheet's longer side; what does not fit goes on to the next one."""
PAPER, INK, EMPTY, FAULT = (255, 255, 255), (32, 32, 32), (232, 232, 232), (150, 40, 30)
Shown = Image.Image | str | None
"""A picture, a sentence that stands in its place, or nothing."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Pixels and words of a sheet."""

    cell: tuple[int, int]
    """Width and height of a cell."""
    margin: int = 4
    """Between cells."""
    legend: bool = True

    @property
    def font(self) -> int:
        """Height of letters: legible beside the pictures, and never as large as they are."""
        return max(10, min(28, min(self.cell) // 14))


def draw_sheet(
    columns: Sequence[str], rows: Sequence[str], shown: Callable[[int, int], Shown], layout: Layout
) -> Image.Image:
    """One sheet, RGB. `shown` gives what stands in a row and a column; captions are left out where all are empty."""
    head = _head(columns, layout) if layout.legend and any(columns) else 0
    side = _side(rows, layout) if layout.legend and any(rows) else 0
    (width, height), margin = layout.cell, layout.margin
    size = (side + _spread(len(columns), width, margin), head + _spread(len(rows), height, margin))
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, text in enumerate(columns if head else ()):
        _write(pen, (side + number * (width + margin), 0, width, head), text, layout.font)
    for row in range(len(rows)):
        top = head + row * (height + margin)
        if side:
            _write(pen, (0, top, side, height), rows[row], layout.font)
        for column in range(len(columns)):
            _place(sheet, pen, shown(row, column), (side + column * (width + margin), top, width, height), layout.font)
    return sheet


def tiles_of(columns: Sequence[str], rows: Sequence[str], layout: Layout) -> list[tuple[range, range]]:
    """Which rows and columns stand together on a sheet that is no longer than `LONGEST_SIDE`, in reading order."""
    across = _fitting(LONGEST_SIDE - _side(rows, layout), layout.cell[0], layout.margin)
    down = _fitting(LONGEST_SIDE - _head(columns, layout), layout.cell[1], layout.margin)
    return [
        (range(top, min(top + down, len(rows))), range(left, min(left + across, len(columns))))
        for top in range(0, len(rows), down)
        for left in range(0, len(columns), across)
    ]


def fit_cell(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size of a cell that takes all of these pictures, and of which a sheet can hold one."""
    width, height = max((size[0] for size in sizes), default=64), max((size[1] for size in sizes), default=64)
    share = min(1.0, LONGEST_SIDE / 2 / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def _fitting(room: int, side: int, margin: int) -> int:
    return max(1, (room + margin) // (side + margin))


def _spread(count: int, side: int, margin: int) -> int:
    return count * side + max(count - 1, 0) * margin


def _head(columns: Sequence[str], layout: Layout) -> int:
    """Height of the captions of columns."""
    lines = max((len(_wrap(text, layout.cell[0], layout.font)) for text in columns), default=0)
    return min(lines * _line(layout.font) + layout.font, layout.cell[1] * 2 + 4 * layout.font)


def _side(rows: Sequence[str], layout: Layout) -> int:
    """Width of the captions of rows: as wide as they are, up to that of a cell or twelve letters."""
    most = max(layout.cell[0], 12 * layout.font)
    widest = max((_font(layout.font).getlength(text) for text in rows), default=0)
    return int(min(widest + layout.font, most)) + 1


def _write(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], text: str, size: int, ink: tuple[int, ...] = INK
) -> None:
    """A text in the middle of a box, cut at its lower edge."""
    left, top, width, height = box
    lines = _wrap(text, width, size)[: max(1, height // _line(size))]
    down = top + (height - len(lines) * _line(size)) // 2
    for line in lines:
        across = left + (width - _font(size).getlength(line)) / 2
        pen.text((across, down), line, fill=ink, font=_font(size))
        down += _line(size)


def _place(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, what: Shown, box: tuple[int, int, int, int], size: int
) -> None:
    left, top, width, height = box
    if isinstance(what, Image.Image):
        picture = what.convert("RGB")
        if picture.width > width or picture.height > height:
            picture.thumbnail((width, height), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
    elif what is not None:
        pen.rectangle((left, top, left + width - 1, top + height - 1), fill=EMPTY)
        _write(pen, box, what, size, FAULT)


def _wrap(text: str, width: int, size: int) -> list[str]:
    """The text in lines no wider than that; words that are wider are cut."""
    lines, font = [""], _font(size)
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines if lines != [""] else []


def _line(size: int) -> int:
    return size * 5 // 4


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
