"""The last lines of the log, in memory, for whoever looks after the studio; without secrets and without folders."""

from __future__ import annotations

import itertools
import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from modules.bootstrap.options import ROOT, Options
from modules.support.log import Tagger
from modules.support.settings import Settings

MOST = 500
"""Lines that are kept."""
LONGEST = 8000
"""Characters of a message or a stack trace; of longer ones the end is kept, which says what went wrong."""
HIDDEN = "…"
QUOTED = r"[\"']?\s*[=:]\s*[\"']?"
SECRETS = (
    re.compile(r"(?P<kept>://)[^\s/@]+(?=@)"),
    re.compile(rf"(?i)(?P<kept>\b(?:set-)?cookie{QUOTED})[^\r\n\"']+"),
    re.compile(rf"(?i)(?P<kept>\bauthorization{QUOTED}(?:[a-z]+ )?)[^\s\"',;]+"),
    re.compile(r"(?i)(?P<kept>\b(?:bearer|basic) )[^\s\"',;]+"),
    re.compile(rf"(?i)(?P<kept>(?:passwo?r?d|token|secret|api[-_]?key){QUOTED})[^\s\"',;&]+"),
    re.compile(r"(?i)(?P<kept>key=)[^\s\"',;&]+"),
    re.compile(r"(?P<kept>)\b(?:hf|atl)_[A-Za-z0-9_-]{12,}"),
)
"""What looks like a secret, whoever wrote it: passwords in addresses, credentials in headers, tokens."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. Numbers count up from 1 and are not used again."""

    number: int
    time: datetime
    level: int
    logger: str
    message: str
    error: str | None = None
    """Its stack trace, if it has one."""
    job_id: str | None = None
    request_id: str | None = None


def _nothing() -> Mapping[str, str]:
    return {}


class Recent(logging.Handler):
    """Keeps the last `MOST` lines that reach the root logger between `listen` and `leave`; safe in many threads.

    `hidden` gives texts that nobody is to read, each with what stands in its place. It is asked when lines are read, so
    that a secret which was set after the line was written is hidden in it too.
    """

    def __init__(self, hidden: Callable[[], Mapping[str, str]] = _nothing) -> None:
        super().__init__()
        self.addFilter(Tagger())
        self._hidden = hidden
        self._count = itertools.count(1)
        self._kept: deque[LogLine] = deque(maxlen=MOST)
        self._writing = threading.Lock()
        self._formatter = logging.Formatter()

    def listen(self) -> Recent:
        """From now on lines are kept."""
        logging.getLogger().addHandler(self)
        return self

    def leave(self) -> None:
        """No more lines are kept; those that were stay. Not `close`, which libraries call that set logging up anew."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line. One whose arguments do not fit its words is told of on standard error, as everywhere."""
        try:
            message = record.getMessage()
        except Exception:  # whatever an argument's own words raise; who logs a line is not to fail by it
            self.handleError(record)
            return
        error = self._formatter.formatException(record.exc_info) if record.exc_info else None
        line = LogLine(
            number=0,
            time=datetime.fromtimestamp(record.created, UTC),
            level=record.levelno,
            logger=record.name,
            message=_end_of(message),
            error=None if error is None else _end_of(error),
            job_id=getattr(record, "job_id", None),
            request_id=getattr(record, "request_id", None),
        )
        with self._writing:
            self._kept.append(replace(line, number=next(self._count)))

    def lines(self, *, since: int = 0, level: int = logging.NOTSET, text: str = "") -> tuple[LogLine, ...]:
        """Those behind the number `since`, of that level or a graver one, that hold the text, case aside; oldest first.

        The text is looked for in what is told: a secret cannot be guessed by searching.
        """
        with self._writing:
            kept = tuple(self._kept)
        behind = [line for line in kept if line.number > since and line.level >= level]
        found, wanted = self._told(behind), text.casefold()
        return tuple(line for line in found if wanted in f"{line.logger} {line.message} {line.error or ''}".casefold())

    @property
    def last(self) -> int:
        """Number of the newest line; 0 while there is none."""
        with self._writing:
            return self._kept[-1].number if self._kept else 0

    def _told(self, lines: list[LogLine]) -> Iterator[LogLine]:
        places = {text: word for text, word in self._hidden().items() if text}
        longest_first = sorted(places, key=len, reverse=True)
        known = re.compile("|".join(map(re.escape, longest_first))) if places else None

        def clean(text: str) -> str:
            if known is not None:
                text = known.sub(lambda found: places[found.group()], text)
            return _without_secrets(text)

        for line in lines:
            error = None if line.error is None else clean(line.error)
            yield replace(line, message=clean(line.message), error=error)


def _without_secrets(text: str) -> str:
    for pattern in SECRETS:
        text = pattern.sub(lambda found: f"{found['kept']}{HIDDEN}", text)
    return text


def _end_of(text: str) -> str:
    """The end of a long text, in which no secret is cut in two and no longer looks like one."""
    return text if len(text) <= LONGEST else _without_secrets(text)[-LONGEST:]


def hidden_of(options: Options, settings: Settings) -> Mapping[str, str]:
    """What the log of that studio is not to show: passwords and tokens, and where its folders lie."""
    places = {
        str(Path.home()): "~",
        sys.prefix: "environment",
        str(ROOT): "studio",
        str(options.paths.extensions_dir): "extensions",
        str(options.paths.models_dir): "models",
        str(options.paths.data_dir): "data",
    }
    addresses = (options.paths.database_url, options.paths.counters_url)
    secrets = [
        *(password for _, password in options.network.api_auth),
        *(urlsplit(address).password for address in addresses if address),
        *(str(settings[item.key]) for item in settings.declared() if item.scope == "secret"),
    ]
    return {**places, **{secret: HIDDEN for secret in secrets if secret}}
