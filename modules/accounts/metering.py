"""A queue that asks the gate first: the same protocol as the queue behind it, charged and settled.

It stands between the fronts and the queue, so no front can forget to ask, and the queue knows nothing of credits.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from modules.contracts.accounts import Gate, Wish
from modules.contracts.catalog import Catalog
from modules.contracts.cost import NATIVE_PIXELS, largest_of, pictures_of, work_of
from modules.contracts.errors import StudioError
from modules.contracts.events import TERMINAL, Event
from modules.contracts.jobs import PLAIN, JobHandle, JobQueue, JobTerms
from modules.contracts.request import GenerationRequest
from modules.contracts.validation import validate
from modules.support.bus import EventBus

ENDED = frozenset({"done", "failed", "cancelled"})


class MeteredQueue:
    """A `JobQueue`: what it does not do itself is done by the queue behind it."""

    def __init__(self, inner: JobQueue, gate: Gate, catalog: Catalog, bus: EventBus) -> None:
        """Settles jobs as their last events come over `bus`."""
        self._inner = inner
        self._gate = gate
        self._catalog = catalog
        self._weights: dict[str, float] = {}
        """Of owners that have asked in this process, as the queue knows them."""
        self._unsubscribe: Callable[[], None] = bus.subscribe(self._hear)

    def __getattr__(self, name: str) -> Any:
        """Everything but submitting is the inner queue's."""
        return getattr(self._inner, name)

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
        """As the protocol says; raises `OverLimit` or `InvalidRequest` for what the owner's tier does not allow."""
        validate(request)
        chosen = job_id or uuid.uuid4().hex
        if self._inner.get(chosen) is None:
            self._admit(owner, request, chosen, self._inner.pending(owner))
        try:
            handle = self._inner.submit(request, owner, job_id=chosen, terms=terms)
        except BaseException:
            if self._inner.get(chosen) is None:
                self._gate.settle(chosen, 0)
            raise
        if handle.id != chosen:  # an earlier job under the same idempotency key, which is paid for
            self._gate.settle(chosen, 0)
        return handle

    def requeue(self, job_id: str) -> JobHandle:
        """As the protocol says; the repetition is charged like the first time."""
        handle = self._inner.requeue(job_id)
        record, request = self._inner.get(handle.id), self._inner.request(handle.id)
        if record is not None and request is not None:
            try:
                self._admit(record.owner, request, handle.id, self._inner.pending(record.owner) - 1)
            except StudioError:
                self._inner.cancel(handle.id)
                raise
        return handle

    def start(self) -> None:
        """Settles what an earlier process left unsettled, then starts the inner queue."""
        self.settle_old()
        self._inner.start()  # type: ignore[attr-defined]

    def stop(self, timeout: float = 15.0) -> None:
        """Stops the inner queue, and listening with it."""
        self._inner.stop(timeout)  # type: ignore[attr-defined]
        self._unsubscribe()

    def _hear(self, event: Event) -> None:
        if isinstance(event, TERMINAL):
            record = self._inner.get(event.job_id)
            self._gate.settle(event.job_id, 0 if record is None else record.pictures)

    def _admit(self, owner: str, request: GenerationRequest, job_id: str, pending: int) -> None:
        """Ask the gate, and let the owner have the part of the lanes that is due to the tier."""
        weight = self._gate.admit(owner, self._wish(request), job_id, pending).weight
        if self._weights.get(owner, 1.0) != weight:
            self._inner.set_weight(owner, weight)
        self._weights[owner] = weight

    def _wish(self, request: GenerationRequest) -> Wish:
        name, native = request.model.checkpoint or "", NATIVE_PIXELS
        try:
            entry = self._catalog.find_model(request.model.checkpoint)
        except StudioError:
            pass  # the engine says what is wrong with it, and the charge comes back
        else:
            name, native = entry.name, entry.native_size**2
        steps = max(request.sampling.steps, request.hires.steps if request.hires.enabled else 0)
        return Wish(work_of(request, native), pictures_of(request), largest_of(request, native), steps, name)
