"""What the facade knows of the studio, and of the job in which an extension is being asked."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from modules.a1111.desk import Desk
from modules.contracts.catalog import Catalog
from modules.contracts.errors import NotReady, UnsupportedFeature
from modules.contracts.request import GenerationRequest
from modules.contracts.result import Picture
from modules.scripts.context import JobContext
from modules.support.paths import Paths
from modules.support.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Of the studio that extensions are loaded for."""

    paths: Paths
    settings: Settings
    catalog: Catalog


class House:
    """Holds the services. One for the process, as extensions import modules and get no arguments."""

    def __init__(self) -> None:
        self._services: Services | None = None

    def open(self, services: Services) -> None:
        """From now on extensions see these."""
        self._services = services

    @property
    def services(self) -> Services:
        """Raises `NotReady` before the studio is there."""
        if self._services is None:
            raise NotReady("The studio's settings are not there yet; ask for them inside of a job.")
        return self._services


HOUSE = House()


@dataclass(slots=True)
class Now:
    """The job in which an extension is being asked."""

    context: JobContext
    request: GenerationRequest
    """What the job draws; what a script leaves open when it draws is as it is here."""
    desk: Desk
    job_count: int = 0
    """How many drawings the script said that it would do."""
    drawn: list[Picture] = field(default_factory=list)
    runs: int = 0
    saved: list[tuple[Any, str]] | None = None
    """Pictures that the script saved itself, with their infotexts; None for one that cannot hand any out."""


_NOW: contextvars.ContextVar[Now | None] = contextvars.ContextVar("a1111_job", default=None)


def now() -> Now | None:
    """The job, None outside of any."""
    return _NOW.get()


@contextlib.contextmanager
def within(job: Now) -> Iterator[None]:
    """Calls made inside are about that job."""
    token = _NOW.set(job)
    try:
        yield
    finally:
        _NOW.reset(token)


def in_job(what: str) -> Now:
    """The job. Raises `UnsupportedFeature` outside of one."""
    job = now()
    if job is None:
        raise UnsupportedFeature(f"{what} works inside of a job only.")
    return job


class Withheld:
    """Stands where A1111 hands out something that this engine does not: every use of it raises one sentence."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Any:
        """Raises `UnsupportedFeature`, but for Python's own questions."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedFeature(f"{self._what} is not handed out to A1111 extensions here.")

    def __getitem__(self, key: Any) -> Any:
        """Raises `UnsupportedFeature`."""
        raise UnsupportedFeature(f"{self._what} is not handed out to A1111 extensions here.")
