"""Remembers what files turned out to be, so that a start with many models reads no headers again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modules.sd_models.detect import Broken, Outcome, Recognised, Unknown, inspect_file
from modules.sd_models.families import Rule
from modules.sd_models.folders import inspect_folder
from modules.support.atomic import write_text

log = logging.getLogger(__name__)
FORMAT = 2
KINDS: dict[str, type[Recognised] | type[Unknown] | type[Broken]] = {
    "recognised": Recognised,
    "unknown": Unknown,
    "broken": Broken,
}


class Inspections:
    """Outcomes by signature. A change of the rules, or of the code's own format, forgets them all."""

    def __init__(self, file: Path, rules: Sequence[Rule]) -> None:
        self._file = file
        self._rules = tuple(rules)
        self._stamp = hashlib.sha256(f"{FORMAT}{self._rules!r}".encode()).hexdigest()
        self._known: dict[str, Outcome] | None = None

    def outcome(self, signature: str, path: Path) -> Outcome:
        """What the model at `path` is, from memory if its files are as they were."""
        table = self._table()
        if signature not in table:
            inspect = inspect_folder if path.is_dir() else inspect_file
            table[signature] = inspect(path, self._rules)
        return table[signature]

    def keep(self, signatures: Sequence[str]) -> None:
        """Write down the outcomes of these and forget all others."""
        table = self._table()
        self._known = {key: table[key] for key in signatures if key in table}
        rows = {key: [_kind(outcome), asdict(outcome)] for key, outcome in self._known.items()}
        text = json.dumps({"stamp": self._stamp, "rows": rows}, ensure_ascii=False, default=str)
        try:
            if not self._file.is_file() or self._file.read_text("utf-8") != text:
                write_text(self._file, text)
        except (OSError, ValueError) as error:
            log.warning("the catalogue could not be kept: %s", error)

    def _table(self) -> dict[str, Outcome]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[str, Outcome]:
        try:
            stored = json.loads(self._file.read_text("utf-8"))
            if stored["stamp"] != self._stamp:
                return {}
            return {key: _restore(kind, values) for key, (kind, values) in stored["rows"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _kind(outcome: Outcome) -> str:
    return next(name for name, kind in KINDS.items() if isinstance(outcome, kind))


def _restore(kind: str, values: dict[str, Any]) -> Outcome:
    return KINDS[kind](**values)
