"""Logging: coloured on a terminal, plain in a file, one JSON object a line on request; and what each line is about.

Whoever works on behalf of a request or a job says so once (`about`), and every line that is logged within, by whichever
library, carries it: `request_id`, `job_id`, or `job_ids` where jobs share a piece of work.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from rich.console import Console
from rich.logging import RichHandler

_subject: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("subject", default=MappingProxyType({}))


@contextlib.contextmanager
def about(**tags: str) -> Iterator[None]:
    """Lines that are logged within carry these tags beside those of the blocks around.

    It holds for this thread or task, and for whatever is started with a copy of its context: `asyncio.to_thread` and
    tasks do that by themselves, other threads need `contextvars.copy_context`.
    """
    token = _subject.set({**_subject.get(), **tags})
    try:
        yield
    finally:
        _subject.reset(token)


def subject() -> Mapping[str, str]:
    """The tags of this moment, to be handed on to `about` in another thread."""
    return _subject.get()


class Tagger(logging.Filter):
    """Writes the tags of the moment into records, where they have none of that name; lets everything pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        for name, value in _subject.get().items():
            vars(record).setdefault(name, value)
        return True


class JsonFormatter(logging.Formatter):
    """One line of JSON per record: `time` (UTC, ISO 8601), `level`, `logger`, `message`, tags and extras, `error`."""

    _known = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in vars(record).items():
            if key not in self._known:
                entry[key] = value
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def configure(*, json_lines: bool = False, level: int = logging.INFO) -> None:
    """Send the root logger to standard error; calling again replaces the earlier set-up."""
    handler: logging.Handler
    if json_lines:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
    elif not sys.stderr.isatty():
        # Rich folds lines to the width of a terminal, and takes milliseconds for one.
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    else:
        console = Console(stderr=True)
        handler = RichHandler(console=console, show_path=False, rich_tracebacks=False, log_time_format="%H:%M:%S")
        handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(Tagger())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "urllib3", "asyncio", "multipart", "PIL", "alembic"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
