"""A1111's `modules.errors`: reports go to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger("extension")


def report(message: str, *, exc_info: bool = False) -> None:
    """A sentence, with the traceback of what is being handled if that is wanted."""
    log.error("%s", message, exc_info=exc_info)


def display(error: BaseException, task: str, *, full_traceback: bool = False) -> None:
    """An error with what was being done."""
    log.error("%s: %s: %s", task or "error", type(error).__name__, error, exc_info=error)


def display_once(error: BaseException, task: str) -> None:
    """As `display`."""
    display(error, task)


def print_error_explanation(message: str) -> None:
    """A sentence."""
    log.error("%s", message)


def run(code: Callable[[], Any], task: str) -> None:
    """Call it; what it raises goes to the log, as extensions that call this rely on."""
    try:
        code()
    except Exception as error:  # border 'extension'
        display(error, task)
