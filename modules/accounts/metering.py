"""A queue that asks the gate first: the same protocol as the queue behind it, charged and settled.

It stands between the fronts and the queue, so no front can forget to ask, and the queue knows nothing of credits.
"""

from __future__ import annotations

import threading
import uuid
import zlib
from collections.abc import Callable

from modules.accounts.relay import Relay
from modules.contracts.accounts import Gate, Wish
from modules.contracts.catalog import Catalog
from modules.contracts.cost import NATIVE_PIXELS, largest_of, pictures_of, work_of
from modules.contracts.errors import StudioError
from modules.contracts.events import TERMINAL, Event
from modules.contracts.jobs import PLAIN, JobHandle, JobService, JobTerms
from modules.contracts.request import GenerationRequest
from modules.contracts.validation import validate
from modules.support.bus import EventBus

ENDED = frozenset({"done", "failed", "cancelled"})
TURNS = 64
"""Locks that owners share: somebody's requests are let in one after the other, so that none slips past the depth."""


class MeteredQueue(Relay):
    """A `JobService` that lets in what the owner's tier allows. Everything but that is done by the queue behind it."""

    def __init__(self, inner: JobService, gate: Gate, catalog: Catalog, bus: EventBus) -> None:
        """Settles jobs as their last events come over `bus`."""
        super().__init__(inner)
        self._gate = gate
        self._catalog = catalog
        self._turns = tuple(threading.Lock() for _ in range(TURNS))
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
        self, request: GenerationRequest, owner: str, *, job_id: str | None = None, terms: JobTerms = PLAIN
    ) -> JobHandle:
        """As the protocol says; raises `OverLimit` or `InvalidRequest` for what the owner's tier does not allow.

        What was asked for before under the same idempotency key is paid for and let in whatever is left by now.
        """
        validate(request)
        chosen = job_id or uuid.uuid4().hex
        with self._turn(owner):
            known = self._inner.earlier(request, owner, terms)
            if known is not None:
                return known
            if self._inner.get(chosen) is not None:
                return self._inner.submit(request, owner, job_id=chosen, terms=terms)  # says that the id is taken
            self._inner.check(request, owner, terms)  # what nobody would draw is not charged, not even for a moment
            self._admit(owner, request, chosen)
            handle = self._or_settle(chosen, lambda: self._inner.submit(request, owner, job_id=chosen, terms=terms))
        if handle.id != chosen:  # another process was quicker with the same key
            self._gate.settle(chosen, 0)
        return handle

    def check(self, request: GenerationRequest, owner: str, terms: JobTerms = PLAIN) -> bool:
        """As the protocol says; what the owner's tier does not allow raises as in `submit`."""
        fresh = self._inner.check(request, owner, terms)
        if fresh:
            self._gate.check(owner, self._wish(request), self._inner.pending(owner))
        return fresh

    def requeue(self, job_id: str, *, new_id: str | None = None) -> JobHandle:
        """As the protocol says; the repetition is charged like the first time, before it is stored."""
        record, request = self._inner.get(job_id), self._inner.request(job_id)
        if record is None or request is None:
            return self._inner.requeue(job_id, new_id=new_id)  # says what is wrong
        chosen = new_id or uuid.uuid4().hex
        with self._turn(record.owner):
            if record.state in ENDED:
                self._inner.check(request, record.owner)
            self._admit(record.owner, request, chosen)
            return self._or_settle(chosen, lambda: self._inner.requeue(job_id, new_id=chosen))

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

    def _turn(self, owner: str) -> threading.Lock:
        return self._turns[zlib.crc32(owner.encode("utf-8", "surrogatepass")) % TURNS]

    def _hear(self, event: Event) -> None:
        if isinstance(event, TERMINAL):
            record = self._inner.get(event.job_id)
            self._gate.settle(event.job_id, 0 if record is None else record.pictures)

    def _or_settle(self, job_id: str, store: Callable[[], JobHandle]) -> JobHandle:
        """Store a job that was charged; what it cost comes back when it was refused."""
        try:
            return store()
        except BaseException:
            if self._inner.get(job_id) is None:
                self._gate.settle(job_id, 0)
            raise

    def _admit(self, owner: str, request: GenerationRequest, job_id: str) -> None:
        """Ask the gate, and let the owner have the part of the lanes that is due to them."""
        weight = self._gate.admit(owner, self._wish(request), job_id, self._inner.pending(owner)).weight
        if self._weights.get(owner) != weight:
            self._inner.set_weight(owner, weight)
        self._weights[owner] = weight

    def _wish(self, request: GenerationRequest) -> Wish:
        if request.enlarge is not None:
            return Wish(work_of(request), pictures_of(request), largest_of(request), 1, ())
        name, native = self._model(request.model.checkpoint)
        hires, steps, models = request.hires, request.sampling.steps, [name]
        if hires.enabled:
            steps = max(steps, hires.steps)
            models += [self._model(hires.checkpoint)[0]] if hires.checkpoint else []
        return Wish(work_of(request, native), pictures_of(request), largest_of(request, native), steps, tuple(models))

    def _model(self, wanted: str | None) -> tuple[str, int]:
        """The name of a checkpoint in the catalogue, and how many pixels it draws when it is left to it."""
        try:
            entry = self._catalog.find_model(wanted)
        except StudioError:
            return wanted or "", NATIVE_PIXELS  # the engine says what is wrong with it, and the charge comes back
        return entry.name, entry.native_size**2
