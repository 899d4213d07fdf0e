"""Styles: named words round a prompt, read from A1111's `styles.csv` and from JSON files."""

from __future__ import annotations

import csv
import io
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.contracts.errors import InvalidRequest, UnknownName
from modules.contracts.prompts import Style
from modules.contracts.validation import MAX_PROMPT_CHARACTERS
from modules.support.atomic import write_text

log = logging.getLogger(__name__)
PLACE = "{prompt}"
"""Where a style that holds it takes the prompt in."""
LARGEST = 8 * 2**20
"""Bytes of a file that is read."""
LONGEST_NAME = 200
COLUMNS = ("name", "prompt", "negative_prompt")


def apply_styles(text: str, styles: Iterable[str]) -> str:
    """The text with the words of each style, one after the other: in place of `{prompt}`, else after a comma."""
    for words in styles:
        if PLACE in words:
            text = words.replace(PLACE, text)
        else:
            text = ", ".join(part for part in (text.strip(), words.strip()) if part)
    return text


class Styles:
    """The styles of an installation: its own file, which the studio writes, and a folder of others, which it reads.

    Safe from any thread. A file that was changed is read again; one that cannot be read is logged and left out.
    """

    def __init__(self, own: Path | None = None, folder: Path | None = None) -> None:
        """`own` is a CSV as A1111 keeps it; of `folder` every `.csv` and `.json` is read. Neither need exist."""
        self._own, self._folder = own, folder
        self._lock = threading.RLock()
        self._read: dict[Path, tuple[tuple[int, int], tuple[Style, ...]]] = {}

    def all(self) -> tuple[Style, ...]:
        """All styles; of equal names the one of the own file counts, then the first by file name."""
        found: dict[str, Style] = {}
        for path in self._files():
            for style in self._styles_of(path):
                found.setdefault(style.name, style)
        return tuple(found.values())

    def find(self, names: Sequence[str]) -> tuple[tuple[Style, ...], tuple[str, ...]]:
        """The styles of those names in that order, and the names that are not known."""
        if not names:
            return (), ()
        known = {style.name: style for style in self.all()}
        lower = {name.casefold(): style for name, style in known.items()}
        found = [(name, known.get(name) or lower.get(name.casefold())) for name in names]
        return tuple(style for _, style in found if style), tuple(name for name, style in found if style is None)

    def keep(self, style: Style) -> None:
        """Write it into the own file, in place of one of the same name. Raises `InvalidRequest`."""
        name = style.name.strip()
        if not name or name != style.name or name.startswith("#") or len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(
                f"A style cannot be called {style.name[:80]!r}; 1 to {LONGEST_NAME} characters are needed, no # before "
                "and no space round them."
            )
        for text in (style.prompt, style.negative):
            if len(text) > MAX_PROMPT_CHARACTERS or "\0" in text:
                raise InvalidRequest(f"A style holds at most {MAX_PROMPT_CHARACTERS} characters, and no zero byte.")
        self._change(style.name, style)

    def drop(self, name: str) -> None:
        """Take it out of the own file. Raises `UnknownName` where it is not in there."""
        if self._own is None or name not in {style.name for style in self._styles_of(self._own)}:
            raise UnknownName(f"There is no style {name!r} among those that the studio keeps.")
        self._change(name, None)

    def _change(self, name: str, style: Style | None) -> None:
        if self._own is None:
            raise InvalidRequest("This studio keeps no styles; it has no folder for them.")
        with self._lock:
            kept = {item.name: item for item in self._styles_of(self._own)}
            if style is None:
                kept.pop(name, None)
            else:
                kept[name] = style
            if self._own.is_file():
                self._own.with_name(self._own.name + ".bak").write_bytes(self._own.read_bytes())
            sheet = io.StringIO(newline="")
            rows = csv.writer(sheet)
            rows.writerow(COLUMNS)
            rows.writerows((item.name, item.prompt, item.negative) for item in kept.values())
            self._own.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._own, sheet.getvalue())
            self._read.pop(self._own, None)

    def _files(self) -> list[Path]:
        files = [self._own] if self._own is not None else []
        if self._folder is not None and self._folder.is_dir():
            files += sorted(path for path in self._folder.iterdir() if path.suffix.lower() in (".csv", ".json"))
        return [path for path in files if path.is_file()]

    def _styles_of(self, path: Path) -> tuple[Style, ...]:
        with self._lock:
            try:
                state = path.stat()
            except OSError:
                return ()
            mark = (state.st_mtime_ns, state.st_size)
            known = self._read.get(path)
            if known is None or known[0] != mark:
                known = self._read[path] = (mark, _read_file(path, state.st_size))
            return known[1]


def _read_file(path: Path, size: int) -> tuple[Style, ...]:
    if size > LARGEST:
        log.warning("the styles in %s are more than %d bytes and are not read", path.name, LARGEST)
        return ()
    try:
        text = path.read_text("utf-8-sig")
        rows = _rows_of_json(json.loads(text)) if path.suffix.lower() == ".json" else _rows_of_csv(text)
        return tuple(rows)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        log.warning("the styles in %s cannot be read: %s", path.name, error)
        return ()


def _rows_of_csv(text: str) -> Iterator[Style]:
    """Rows of A1111's table; its oldest form calls the prompt `text`. A name that begins with `#` is a comment."""
    for row in csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True):
        name = (row.get("name") or "").strip()
        if name and not name.startswith("#"):
            prompt = row.get("prompt") if row.get("prompt") is not None else row.get("text")
            yield Style(name, prompt or "", row.get("negative_prompt") or "")


def _rows_of_json(data: Any) -> Iterator[Style]:
    """One style, a list of them, a list under `styles`, or texts or styles by name."""
    if isinstance(data, Mapping) and isinstance(data.get("styles"), list):
        data = data["styles"]
    if isinstance(data, Mapping) and not isinstance(data.get("name"), str):
        named = (
            {"name": name, **value} if isinstance(value, Mapping) else {"name": name, "prompt": value}
            for name, value in data.items()
        )
        data = list(named)
    for row in data if isinstance(data, list) else [data]:
        if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
            raise ValueError("a style needs a name")
        name = row["name"].strip()
        prompt, negative = row.get("prompt", ""), row.get("negative_prompt", row.get("negative", ""))
        if name and not name.startswith("#"):
            yield Style(name, str(prompt or ""), str(negative or ""))
