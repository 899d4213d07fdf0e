"""Lists of words in one text: commas between them, quotes round those that hold one."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence


def read_words(text: str) -> list[str]:
    """The parts of the text, without blanks around them. Raises ValueError where it cannot be read."""
    try:
        rows = csv.reader(io.StringIO(text), skipinitialspace=True)
        return [part.strip() for row in rows for part in row]
    except csv.Error as error:
        raise ValueError(str(error)) from error


def write_words(words: Sequence[str]) -> str:
    """A text that `read_words` reads as these words."""
    target = io.StringIO()
    csv.writer(target, lineterminator="").writerow(words)
    return target.getvalue()
