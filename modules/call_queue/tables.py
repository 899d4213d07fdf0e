"""The table of jobs."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Float, Index, Integer, MetaData, Table, Text

from modules.contracts.errors import StudioError

METADATA = MetaData()

JOBS = Table(
    "jobs",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),  # the order in which jobs came
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", Text),  # JSON of modules.contracts.codec; dropped from ended jobs when it is large
    Column("created", Float, nullable=False),  # times are seconds since 1970, UTC
    Column("started", Float),
    Column("ended", Float),
    Column("attempts", Integer, nullable=False, default=0),  # how often a lane took it
    Column("crashes", Integer, nullable=False, default=0),  # how often the process died while it ran
    Column("cancelling", Boolean, nullable=False, default=False),  # cancellation was asked for while it ran
    Column("pictures", Integer, nullable=False, default=0),
    Column("error_kind", Text),
    Column("error", Text),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="known_state"),
    Index("jobs_by_state", "state", "number"),
    Index("jobs_by_owner", "owner", "number"),
    sqlite_autoincrement=True,
)

CRASHES_ALLOWED = 1
"""A job that was running in more than this many processes that died is set aside."""

SET_ASIDE_KIND = StudioError.kind
SET_ASIDE = "The job was running when the studio died, twice, so it was set aside; submit it again to try it once more."
