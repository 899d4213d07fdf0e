"""The terms of a job, checked before it is stored, and what its idempotency key stands for."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from datetime import UTC, datetime

from modules.call_queue.fairness import PRIORITIES
from modules.contracts.codec import encode
from modules.contracts.errors import InvalidRequest
from modules.contracts.jobs import JobTerms
from modules.contracts.request import GenerationRequest

TEXT_LENGTH = 128
"""Characters of an id or a key."""


def check_terms(terms: JobTerms, now: float) -> None:
    """Raise `InvalidRequest` for terms that cannot be kept; `now` in seconds since 1970."""
    if not -PRIORITIES <= terms.priority <= PRIORITIES:
        raise InvalidRequest(f"The priority is {terms.priority}; allowed is -{PRIORITIES} to {PRIORITIES}.")
    if terms.deadline is not None:
        if terms.deadline.tzinfo is None:
            raise InvalidRequest("The deadline has no time zone; give one, such as 2030-01-31T12:00:00Z.")
        if terms.deadline.timestamp() <= now:
            passed = terms.deadline.astimezone(UTC).isoformat(timespec="seconds")
            raise InvalidRequest(f"The deadline {passed} has passed; it is {_clock(now)}.")
    if terms.timeout is not None and not (math.isfinite(terms.timeout) and terms.timeout > 0):
        raise InvalidRequest(f"The timeout is {terms.timeout} seconds; a number above 0 is needed.")
    if terms.idempotency_key is not None:
        _check_text("An idempotency key", terms.idempotency_key)


def checked_id(job_id: str | None) -> str:
    """The caller's id when it is a decent one, else a new one; ids are random so that they cannot be guessed."""
    if job_id is None:
        return uuid.uuid4().hex
    _check_text("A job's id", job_id)
    return job_id


def digest_of(request: GenerationRequest) -> str:
    """The same for the same request, before seeds are drawn for it and its owner's settings go with it."""
    asked = encode(request)
    if not asked["own"]:
        del asked["own"]  # as it was before there were any, so that keys of then still hold
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_text(what: str, text: str) -> None:
    if not text.isprintable() or not 0 < len(text) <= TEXT_LENGTH:
        raise InvalidRequest(f"{what} has 1 to {TEXT_LENGTH} printable characters; {text[:TEXT_LENGTH]!r} was given.")


def _clock(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
