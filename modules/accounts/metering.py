"""A queue that asks the gate first: the same protocol as the queue behind it, charged and settled.

It stands between the fronts and the queue, so no front can forget to ask, and the queue knows nothing of credits.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace

from modules.accounts.relay import Relay
from modules.contracts.accounts import Gate, Wish
from modules.contracts.catalog import Catalog
from modules.contracts.cost import NATIVE_PIXELS, largest_of, pictures_of, work_of
from modules.contracts.errors import StudioError
from modules.contracts.events import TERMINAL, Event
from modules.contracts.jobs import PLAIN, JobHandle, JobService, JobTerms, freely
from modules.contracts.request import GenerationRequest
from modules.support.bus import EventBus

ENDED = frozenset({"done", "failed", "cancelled"})
TURNS = 64
"""Locks that owners share: somebody's requests are counted one after the other, so that none slips past the depth."""


class MeteredQueue(Relay):
    """A `JobService` that lets in what the owner's tier allows. Everything but that is done by the queue behind it."""

    def __init__(self, inner: JobService, gate: Gate, catalog: Catalog, bus: EventBus) -> None:
        """Settles jobs as their last events come over `bus`."""
        super().__init__(inner)
        self._gate = gate
        self._catalog = catalog
        self._turns = tuple(threading.RLock() for _ in range(TURNS))
        self._coming: dict[str, frozenset[str]] = {}
        """Jobs by owner that were let in and perhaps not stored yet; read and changed in the owner's turn."""
        self._weights: dict[str, float] = {}
        """Of owners that have asked in this process, as the queue was told."""
        self._unsubscribe: Callable[[], None] = bus.subscribe(self._hear)

    def settle_old(self) -> int:
        """Settle jobs that ended, or were never stored, while an earlier process died. Returns how many."""
        count = 0
        for job_id in self._gate.open_charges():
            record = self._inner.get(job_id)
            if record is None or record.state in ENDED:
                self._gate.settle(job_id, 0 if record is None else record.pictures)
                count += 1
        return count

    def submit(
        self,
        request: GenerationRequest,
        owner: str,
        *,
        job_id: str | None = None,
        terms: JobTerms = PLAIN,
        admit: Callable[[str], None] = freely,
    ) -> JobHandle:
        """As the protocol says; raises `OverLimit` or `InvalidRequest` for what the owner's tier does not allow.

        What was asked for before under the same idempotency key is paid for and let in whatever is left by now.
        """
        # Two at once under one key would both be charged, and the second refused for what the first has used up.
        turn = self._turn(owner) if terms.idempotency_key is not None else contextlib.nullcontext()
        with turn:
            return self._enter(
                owner,
                request,
                admit,
                lambda pay: self._inner.submit(request, owner, job_id=job_id, terms=terms, admit=pay),
            )

    def check(self, request: GenerationRequest, owner: str, terms: JobTerms = PLAIN) -> bool:
        """As the protocol says; what the owner's tier does not allow raises as in `submit`."""
        fresh = self._inner.check(request, owner, terms)
        if fresh:
            self._gate.check(owner, self._wish(request), self._inner.pending(owner))
        return fresh

    def requeue(self, job_id: str, *, new_id: str | None = None, admit: Callable[[str], None] = freely) -> JobHandle:
        """As the protocol says; the repetition is charged like the first time, before it is stored."""
        record, request = self._inner.get(job_id), self._inner.request(job_id)
        if record is None or request is None:
            return self._inner.requeue(job_id, new_id=new_id)  # says what is wrong
        return self._enter(
            record.owner, request, admit, lambda pay: self._inner.requeue(job_id, new_id=new_id, admit=pay)
        )

    def set_weight(self, owner: str, weight: float) -> None:
        """As the protocol says. At the owner's next job the account book's word counts again."""
        self._inner.set_weight(owner, weight)
        self._weights[owner] = weight

    def start(self) -> None:
        """Settles what an earlier process left unsettled, then starts the inner queue."""
        self.settle_old()
        self._inner.start()

    def stop(self, timeout: float = 15.0) -> None:
        """Stops the inner queue, and listening with it."""
        self._inner.stop(timeout)
        self._unsubscribe()

    def _turn(self, owner: str) -> threading.RLock:
        return self._turns[zlib.crc32(owner.encode("utf-8", "surrogatepass")) % TURNS]

    def _hear(self, event: Event) -> None:
        if isinstance(event, TERMINAL):
            record = self._inner.get(event.job_id)
            self._gate.settle(event.job_id, 0 if record is None else record.pictures)

    def _enter(
        self,
        owner: str,
        request: GenerationRequest,
        admit: Callable[[str], None],
        store: Callable[[Callable[[str], None]], JobHandle],
    ) -> JobHandle:
        """What `store` gives, which is handed what the inner queue is to ask.

        What a job cost comes back where it was not stored after all: refused, or another process was quicker with the
        same key.
        """
        charged: list[str] = []
        stored = None

        def pay(job_id: str) -> None:
            admit(job_id)
            weight = self._charge(owner, self._wish(request), job_id)
            charged.append(job_id)
            self._weigh(owner, weight)

        try:
            handle = store(pay)
            stored = handle.id
            return handle
        finally:
            for job_id in charged:
                if job_id != stored and self._inner.get(job_id) is None:
                    self._gate.settle(job_id, 0)
                self._arrived(owner, job_id)

    def _charge(self, owner: str, wish: Wish, job_id: str) -> float:
        """Ask the gate; the part of the lanes that is due to the owner.

        Only counting and charging have to be one after the other. A job that is on its way into the table meanwhile
        counts once, whether it is there already or not.
        """
        with self._turn(owner):
            coming = self._coming.get(owner, frozenset())
            pending = self._inner.pending(owner, besides=coming) + len(coming)
            weight = self._gate.admit(owner, wish, job_id, pending).weight
            self._coming[owner] = coming | {job_id}
        return weight

    def _arrived(self, owner: str, job_id: str) -> None:
        """That job is in the table, or will never be."""
        with self._turn(owner):
            coming = self._coming.pop(owner, frozenset()) - {job_id}
            if coming:
                self._coming[owner] = coming

    def _weigh(self, owner: str, weight: float) -> None:
        if self._weights.get(owner) != weight:
            self._inner.set_weight(owner, weight)
        self._weights[owner] = weight

    def _wish(self, request: GenerationRequest) -> Wish:
        if request.enlarge is not None:
            return Wish(work_of(request), pictures_of(request), largest_of(request), 1, ())
        request = self._filmed(request)
        name, native = self._model(request.model.checkpoint)
        hires, steps, models = request.hires, request.steps, [name]
        if hires.enabled:
            steps = max(steps, hires.steps)
            models += [self._model(hires.checkpoint)[0]] if hires.checkpoint else []
        script = "" if request.scripts.run is None else request.scripts.run.name
        largest = largest_of(request, native)
        return Wish(work_of(request, native), pictures_of(request), largest, steps, tuple(models), script)

    def _filmed(self, request: GenerationRequest) -> GenerationRequest:
        """The request with as many frames as its model draws: its own number where none is said, none where it draws
        pictures. A film that begins with a picture is drawn in all of its steps."""
        try:
            family = self._catalog.family(str(self._catalog.find_model(request.model.checkpoint).family))
        except (StudioError, KeyError):
            return request  # the engine says what is wrong with the model
        own = family.defaults.get("frames") if request.film.frames is None else request.film.frames
        if request.image is not None and family.first_frame:
            request = replace(request, image=replace(request.image, denoising_strength=1.0))
        return replace(request, film=replace(request.film, frames=own if family.frame_factor else None))

    def _model(self, wanted: str | None) -> tuple[str, int]:
        """The name of a checkpoint in the catalogue, and how many pixels it draws when it is left to it."""
        try:
            entry = self._catalog.find_model(wanted)
        except StudioError:
            return wanted or "", NATIVE_PIXELS  # the engine says what is wrong with it, and the charge comes back
        return entry.name, entry.native_size**2
