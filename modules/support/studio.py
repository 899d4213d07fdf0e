"""What the composition root hands to the fronts: one frozen bundle of services and the state of the start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modules.bootstrap.options import Options
from modules.contracts.accounts import Accounts, Doorkeeper
from modules.contracts.catalog import Catalog
from modules.contracts.controls import Controls, NoControls
from modules.contracts.detectors import Detectors, NoDetectors
from modules.contracts.experiments import Experiments, NoExperiments
from modules.contracts.installing import Installer, NoInstaller
from modules.contracts.jobs import JobQueue
from modules.contracts.networks import Networks, NoNetworks
from modules.contracts.pictures import PictureStore
from modules.contracts.prompts import NoPrompts, PromptShelf
from modules.contracts.scripts import NoScripts, Scripts
from modules.support.bus import EventBus
from modules.support.fetching import Fetcher
from modules.support.leaving import Leaving
from modules.support.paths import Paths
from modules.support.recent import Recent
from modules.support.settings import Settings

Phase = Literal["starting", "page", "libraries", "model", "ready", "failed"]

MOST_PHASES = 100


class Status:
    """How far the start has come. `ready` means that a picture can be drawn now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phase: Phase = "starting"
        self._message = "Starting"
        self._ready = threading.Event()
        self._began = time.monotonic()
        self._timeline: list[tuple[str, float]] = []
        self._trouble: str | None = None

    def set(self, phase: Phase, message: str) -> None:
        """Move on; `message` is shown to people."""
        with self._lock:
            if phase != self._phase:
                self._timeline = [*self._timeline, (phase, time.monotonic() - self._began)][-MOST_PHASES:]
            self._phase, self._message = phase, message
        if phase == "ready":
            self._ready.set()
        else:
            self._ready.clear()

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self._phase

    @property
    def message(self) -> str:
        """One sentence for a person."""
        return self._message

    @property
    def timeline(self) -> tuple[tuple[str, float], ...]:
        """Phases in the order in which they began, each with its seconds since the start; the latest 100."""
        with self._lock:
            return tuple(self._timeline)

    @property
    def ready(self) -> bool:
        """A picture can be drawn."""
        return self._ready.is_set()

    @property
    def trouble(self) -> str | None:
        """Why the last try to draw a picture came to nothing; None when it did not, or nobody tries."""
        return self._trouble

    def doubt(self, trouble: str | None) -> None:
        """Say why no picture can be drawn, or with None that one was."""
        self._trouble = trouble

    def wait(self, timeout: float | None = None) -> bool:
        """Block until ready; False after `timeout` seconds."""
        return self._ready.wait(timeout)


def _no_engine() -> Mapping[str, Any]:
    """The report of a studio without an engine."""
    return {}


def _no_doctor() -> Mapping[str, Any]:
    """The report of a studio that nobody examines."""
    return {"checks": (), "findings": ()}


@dataclass(frozen=True, slots=True)
class Studio:
    """The services. The fronts get this and nothing else."""

    options: Options
    paths: Paths
    settings: Settings
    bus: EventBus
    status: Status
    catalog: Catalog
    queue: JobQueue
    pictures: PictureStore
    accounts: Accounts
    door: Doorkeeper
    memory_report: Callable[[], Mapping[str, Any]]
    """Figures in the shape of `/sdapi/v1/memory`."""
    device_report: Callable[[], Mapping[str, Any]]
    """What hardware was found and chosen, with reasons."""
    unload_models: Callable[[], None]
    """Let go of every model in memory; one that a job draws with goes when the job ends, and the next job loads."""
    reload_model: Callable[[], None]
    """Load the model that a request without a name gets; returns when it stands. Raises `StudioError`."""
    start_engine: Callable[[], None]
    """Begin to load libraries and model in the background; safe to call twice."""
    close: Callable[[], None]
    """Stop lanes and release everything; safe to call twice."""
    fetcher: Fetcher = field(default_factory=Fetcher)
    """For pictures that requests name by their address, where that is allowed."""
    networks: Networks = field(default_factory=NoNetworks)
    """LoRA and its kin, and embeddings."""
    controls: Controls = field(default_factory=NoControls)
    """ControlNets and preprocessors."""
    detectors: Detectors = field(default_factory=NoDetectors)
    """What finds regions for the detailer."""
    prompts: PromptShelf = field(default_factory=NoPrompts)
    """Styles, wildcards and the token counter."""
    experiments: Experiments = field(default_factory=NoExperiments)
    """Grids of requests that vary along axes."""
    scripts: Scripts = field(default_factory=NoScripts)
    """Other people's scripts and extensions."""
    installer: Installer = field(default_factory=NoInstaller)
    """Brings extensions in and takes them out."""
    versions: Mapping[str, str] = field(default_factory=dict)
    leaving: Leaving = field(default_factory=Leaving)
    """How a front asks for the end of the server."""
    engine_report: Callable[[], Mapping[str, Any]] = _no_engine
    """What the engine did since its start: `targets`, `splits`, `caches`, `models`; empty before it stands."""
    recent: Recent = field(default_factory=Recent)
    """The last lines of the log."""
    doctor: Callable[[], Mapping[str, Any]] = _no_doctor
    """What the doctor says of this machine: `checks` with `what` and `says`, `findings` with `what` and `how`."""
