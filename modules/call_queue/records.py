"""Rows of the table of jobs as the fronts see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, select

from modules.call_queue.tables import JOBS
from modules.contracts.jobs import LONGEST_WORDS, JobDetails, JobRecord, JobTerms
from modules.contracts.request import GenerationRequest

SEEN = tuple(column for column in JOBS.c if column.name not in ("request", "partial", "digest", "worker", "passed"))
"""Every column but the large ones and those that only the queue needs."""


def select_jobs() -> Select[Any]:
    """A query for whole records."""
    return select(*SEEN)


def record_of(row: Row[Any]) -> JobRecord:
    """The record in a row of `select_jobs`."""
    return JobRecord(
        id=row.id,
        owner=row.owner,
        state=row.state,
        created=datetime.fromtimestamp(row.created, UTC),
        started=moment(row.started),
        ended=moment(row.ended),
        attempts=row.attempts,
        pictures=row.pictures,
        error_kind=row.error_kind,
        error=row.error,
        terms=JobTerms(
            priority=row.priority,
            deadline=moment(row.deadline),
            timeout=row.timeout,
            idempotency_key=row.idempotency_key,
            keep_partial=row.keep_partial,
        ),
        details=JobDetails(
            paused=row.paused,
            model=row.model,
            megapixel_steps=row.work,
            predicted_seconds=row.predicted,
            measured_seconds=row.measured,
            origin=row.origin,
            crashes=row.crashes,
            name=row.name,
            bookmarked=row.bookmarked,
            words=row.words,
            mode=row.mode,
        ),
    )


def words_of(request: GenerationRequest) -> str:
    """The beginning of the prompt, for lists: at most `LONGEST_WORDS` characters, all of them printable."""
    return "".join(mark if mark.isprintable() else " " for mark in request.prompt.text[:LONGEST_WORDS]).strip()


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a moment in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
