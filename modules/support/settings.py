"""Settings: each declared once, kept in the data folder, written atomically; secrets apart and never handed out.

Keys are A1111's option names where A1111 has the option, so that `/sdapi/v1/options` is this store and no copy of it.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from modules.contracts.errors import InvalidRequest
from modules.support.atomic import write_text

log = logging.getLogger(__name__)
LARGEST = sys.float_info.max
Scope = Literal["user", "admin", "secret"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One declaration."""

    key: str
    default: Any
    label: str
    section: str = "general"
    scope: Scope = "user"
    help: str = ""
    choices: tuple[str, ...] | str | None = None
    minimum: float | None = None
    maximum: float | None = None

    def coerce(self, value: Any) -> Any:
        """`value` in the setting's own type; raises `InvalidRequest` when that cannot be done without loss."""
        if value is None:
            return self.default
        kind = type(self.default)
        # Compared rather than converted: JSON holds whole numbers that no float does. NaN is in no range.
        number = isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
        if kind is int and number and value == int(value):
            return self._bounded(int(value))
        if kind is float and number:
            return self._bounded(float(value))
        if kind is str and isinstance(value, str):
            if isinstance(self.choices, tuple) and value not in self.choices:
                raise InvalidRequest(f"{self.key} is {value!r}; allowed are {', '.join(self.choices)}.")
            return value
        if self.default is None or (kind not in (int, float) and isinstance(value, kind)):
            return value
        raise InvalidRequest(f"{self.key} is {value!r}; a value of type {kind.__name__} is needed.")

    def _bounded(self, value: float) -> float:
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise InvalidRequest(f"{self.key} is {value}; allowed is {low} to {high}.")
        return value


class Settings:
    """The values of this installation. Reads are cheap and thread-safe; a snapshot never changes under its reader."""

    def __init__(self, declared: Iterable[Setting], folder: Path | None = None) -> None:
        """`folder` None keeps everything in memory. A file that cannot be read is kept aside and reported."""
        self._declared = {item.key: item for item in declared}
        self._folder = folder
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        self._watchers: list[Callable[[Mapping[str, Any]], None]] = []
        for name in ("settings.json", "secrets.json"):
            self._values.update(self._read(name))

    def _read(self, name: str) -> dict[str, Any]:
        if self._folder is None or not (self._folder / name).is_file():
            return {}
        path = self._folder / name
        values: dict[str, Any] = {}
        try:
            stored = json.loads(path.read_text("utf-8"))
            for key, value in stored.items():
                values[key] = self._declared[key].coerce(value) if key in self._declared else value
        except (ValueError, AttributeError, InvalidRequest) as error:
            aside = path.with_suffix(".broken")
            path.replace(aside)
            log.warning("%s could not be used (%s); it was kept as %s and defaults apply", name, error, aside.name)
            return {}
        return values

    def declared(self) -> tuple[Setting, ...]:
        """All declarations, secrets included, in order."""
        return tuple(self._declared.values())

    def __getitem__(self, key: str) -> Any:
        """The value, or the default; `KeyError` for an undeclared key."""
        return self._values.get(key, self._declared[key].default)

    def public(self) -> Mapping[str, Any]:
        """A snapshot of everything but secrets."""
        with self._lock:
            return MappingProxyType({key: self[key] for key, item in self._declared.items() if item.scope != "secret"})

    def update(self, changes: Mapping[str, Any], *, unknown: Literal["ignore", "refuse"] = "refuse") -> None:
        """Change several at once and store them; all or none. Secrets are changed with `set_secret` only."""
        accepted: dict[str, Any] = {}
        for key, value in changes.items():
            item = self._declared.get(key)
            if item is None or item.scope == "secret":
                if unknown == "ignore":
                    continue
                raise InvalidRequest(f"There is no setting {key!r}.")
            accepted[key] = item.coerce(value)
        with self._lock:
            values = {**self._values, **accepted}
            if self._folder is not None:
                secret = self._secrets()
                plain = {key: value for key, value in values.items() if key not in secret}
                write_text(self._folder / "settings.json", json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
            # Write first, believe afterwards: a full disk leaves memory and file as they were.
            self._values = values
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher(MappingProxyType(accepted))

    def set_secret(self, key: str, value: str) -> None:
        """Store a secret, readable by the owner of the data folder only.

        Nothing else is written, and what another process has stored among the secrets since is kept.
        """
        if self._declared[key].scope != "secret":
            raise ValueError(f"{key} is not a secret")
        with self._lock:
            if self._folder is not None:
                hidden = {**self._read("secrets.json"), key: value}
                write_text(self._folder / "secrets.json", json.dumps(hidden, indent=2) + "\n", mode=0o600)
            self._values = {**self._values, key: value}

    def _secrets(self) -> set[str]:
        return {key for key, item in self._declared.items() if item.scope == "secret"}

    def watch(self, watcher: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `watcher` with the accepted changes after each update."""
        self._watchers.append(watcher)
