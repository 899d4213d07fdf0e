"""Where the engine comes from: built in the background while the page stands, asked for by the lanes of the queue."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from modules.contracts.errors import NotReady, StudioError, reason_of
from modules.contracts.request import GenerationRequest
from modules.monitoring.prober import Prober
from modules.support.bus import EventBus
from modules.support.studio import Status

if TYPE_CHECKING:
    from modules.contracts.run import Engine
    from modules.device.select import DeviceChoice
    from modules.processing_diffusers.engine import DiffusersEngine

log = logging.getLogger(__name__)
SETTLE_SECONDS, ALONE_SECONDS = 10.0, 120.0
"""How long closing waits for an engine that is just being built: beside a supervisor, which loses patience, and in a
process of its own. One that ends while a thread imports compiled code aborts."""


class EngineRoom:
    """The engine that is on its way: everybody may ask for it, and whoever needs it waits."""

    def __init__(self, status: Status, settle: float = SETTLE_SECONDS) -> None:
        """`settle` is how many seconds closing waits for an engine that is being built."""
        self._status, self._settle = status, settle
        self._lock = threading.Lock()
        self._closed = False
        self._coming: Future[DiffusersEngine] = Future()
        self._idle = threading.Event()
        self._idle.set()
        self._prober: Prober | None = None
        self.choice: DeviceChoice | None = None

    def get(self) -> Engine:
        """The engine, waiting until it stands. Raises what hindered it, or `NotReady` once the studio closes."""
        return self._coming.result()

    def prove(self, bus: EventBus | None) -> None:
        """From the first model on, find out by test pictures whether one can be drawn; see `Prober`. None does not."""
        self._prober = None if bus is None else Prober(self._status, bus, self.attempt)

    def build(
        self,
        assemble: Callable[[], tuple[DeviceChoice, DiffusersEngine]],
        *,
        warm: bool = True,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """Import, choose a device, load the default model unless `warm` is false; meant to run in a thread of its own.

        `settle` is called once the engine stands, before it is said to be ready. Never raises.
        """
        self._status.set("libraries", "Loading torch and diffusers")
        self._idle.clear()
        try:
            self.choice, engine = assemble()
            if self._keep(engine):
                message = self._warm_up(engine) if warm else "Ready"
                settle()
                self._status.set("ready", message)
                if self._prober is not None:
                    self._prober.start()
            else:
                engine.close()
        except Exception as error:
            # Border of a thread: without it whoever waits for the engine would wait for ever.
            self._fail(error)
        finally:
            self._idle.set()

    def _keep(self, engine: DiffusersEngine) -> bool:
        with self._lock:
            if not self._closed:
                self._coming.set_result(engine)
            return not self._closed

    def _warm_up(self, engine: DiffusersEngine) -> str:
        """Load the default model; what to say then. When that fails the engine stays in service for other models."""
        self._status.set("model", "Loading the model")
        try:
            engine.warm_up()
        except StudioError as error:
            log.error("the default model could not be loaded: %s", error.message)
            return f"Ready, but not with the default model: {error.message}"
        except Exception as error:
            # The same border; running out of memory, for one, comes in many types.
            log.exception("the default model could not be loaded")
            return f"Ready, but the default model failed to load: {type(error).__name__}."
        log.info("ready to draw")
        return "Ready"

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, StudioError):
            log.error("the engine could not be built", exc_info=error)
            error = NotReady(f"The engine could not be built: {type(error).__name__}: {reason_of(error)}.")
        log.error("%s", error.message)
        self._status.set("failed", error.message)
        with self._lock:
            if not self._closed:
                self._coming.set_exception(error)

    def unload(self) -> None:
        """Let go of all models. Nothing to do before there is an engine."""
        if self._coming.done() and self._coming.exception() is None:
            self._coming.result().unload()

    def attempt(self, cancelled: threading.Event) -> None:
        """Draw a test picture, waiting for the engine. Raises what hinders either."""
        self._coming.result().attempt(cancelled)

    def report(self) -> Mapping[str, Any]:
        """What the engine did since its start; empty before there is one."""
        standing = self._coming.done() and self._coming.exception() is None
        return self._coming.result().stats() if standing else {}

    def foresee(self, request: GenerationRequest) -> int | None:
        """Bytes at the peak that a request would take; None where nothing is known, as before there is an engine."""
        standing = self._coming.done() and self._coming.exception() is None
        return self._coming.result().foresee(request) if standing and request.enlarge is None else None

    def reload(self) -> None:
        """Load the default model, waiting for the engine. Raises what hinders either."""
        self._coming.result().warm_up()

    def close(self) -> None:
        """Release the engine, or turn away whoever still waits for it; one that comes later is closed at once.

        Waits for one that is just being built: a process that ends in the middle of it aborts.
        """
        if self._prober is not None:
            self._prober.stop(self._settle)
        with self._lock:
            self._closed = True
            if not self._coming.done():
                self._coming.set_exception(NotReady("The studio is closing."))
        self._idle.wait(self._settle)
        if self._coming.exception() is None:
            self._coming.result().close()
