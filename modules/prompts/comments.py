"""Comments in prompts: from `#` to the end of the line. A `\\#` is the character itself."""

from __future__ import annotations

import re

_LINE = re.compile(r"^[ \t]*#[^\n]*(?:\n|\Z)", re.MULTILINE)
_REST = re.compile(r"(?<!\\)[ \t]*#[^\n]*")


def strip_comments(text: str) -> str:
    """The text without its comments; a line that is nothing else goes as a whole."""
    return _REST.sub("", _LINE.sub("", text)) if "#" in text else text
