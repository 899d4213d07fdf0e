"""What an extension brings to the page: scripts, a style, translations; found by looking and never by a name given.

Only `javascript/*.js`, `style.css`, `locale/*.json` and A1111's `localizations/*.json` are served; whatever else lies
in an extension's folder is nobody's to fetch, and neither is a link to somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from modules.contracts.extending import PageFile
from modules.scripts.loading import Extension

LARGEST = 8 << 20
"""Bytes of one file."""
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z0-9]{2,8}))*")
_PLACES: tuple[tuple[str, Literal["script", "style", "words"], str], ...] = (
    ("javascript/*.js", "script", "text/javascript"),
    ("style.css", "style", "text/css"),
    ("locale/*.json", "words", "application/json"),
    ("localizations/*.json", "words", "application/json"),
)


def page_files(extension: Extension) -> Iterator[tuple[PageFile, Path]]:
    """Each with where it lies. Single scripts, which share their folder with others, bring none."""
    if extension.alone:
        return
    home = extension.folder.resolve()
    for pattern, kind, media_type in _PLACES:
        for file in sorted(extension.folder.glob(pattern)):
            # A link may lead anywhere, so what counts is where the file really is.
            if not file.is_file() or file.resolve() != home / file.relative_to(extension.folder):
                continue
            language = _language(file.stem) if kind == "words" else ""
            if file.stat().st_size > LARGEST or language is None:
                continue
            path = file.relative_to(extension.folder).as_posix()
            mark = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            yield PageFile(extension.name, path, kind, media_type, mark, language), file


def read_page_file(extension: Extension, path: str) -> tuple[PageFile, bytes] | None:
    """One of them with its bytes; None for anything else. Translations come with those entries only that are texts."""
    for found, file in page_files(extension):
        if found.path == path:
            data = file.read_bytes()
            return found, _words(data) if found.kind == "words" else data
    return None


def _language(stem: str) -> str | None:
    """`de_DE` and `de` as `de-de` and `de`; None for a file that is named after no language."""
    return stem.replace("_", "-").lower() if _LANGUAGE.fullmatch(stem) else None


def _words(data: bytes) -> bytes:
    try:
        found = json.loads(data)
    except ValueError:
        found = {}
    rows = found.items() if isinstance(found, dict) else ()
    return json.dumps({key: text for key, text in rows if isinstance(text, str) and text}, ensure_ascii=False).encode()
