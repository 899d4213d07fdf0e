"""The tables of the queue as its code sees them. What makes them are the scripts in `migrations`."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
)

from modules.contracts.errors import StudioError

METADATA = MetaData()
VERSION = "jobs_7"
"""The newest of the scripts."""

JOBS = Table(
    "jobs",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),  # the order in which jobs came
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", Text),  # JSON of modules.contracts.codec; of an ended job perhaps with names of `INPUTS`
    Column("created", Float, nullable=False),  # times are seconds since 1970, UTC
    Column("started", Float),
    Column("ended", Float),
    Column("attempts", Integer, nullable=False, default=0),  # how often a lane took it
    Column("crashes", Integer, nullable=False, default=0),  # how often the process died while it ran
    Column("cancelling", Boolean, nullable=False, default=False),  # cancellation was asked for while it ran
    Column("pictures", Integer, nullable=False, default=0),
    Column("error_kind", Text),
    Column("error", Text),
    # The order within one owner's queue, lower first: the moment of submission less the privilege of its priority.
    Column("place", Float, nullable=False, default=0.0, server_default="0"),
    Column("priority", Integer, nullable=False, default=0, server_default="0"),
    Column("deadline", Float),
    Column("timeout", Float),  # seconds of running
    Column("keep_partial", Boolean, nullable=False, default=False, server_default=false()),
    Column("idempotency_key", Text),
    Column("digest", Text),  # of what was asked for under that key
    Column("paused", Boolean, nullable=False, default=False, server_default=false()),
    Column("model", Text, nullable=False, default="", server_default=""),  # as the request names it; empty: the default
    Column("work", Float, nullable=False, default=0.0, server_default="0"),  # megapixel-steps
    Column("native", Integer),  # pixels of a picture that `work` supposes, where the size is left to the model
    Column("predicted", Float, nullable=False, default=0.0, server_default="0"),  # seconds its owner was charged
    Column("measured", Float),  # seconds that it ran
    Column("passed", Float),  # when another job was first preferred because its model was there
    Column("worker", Text),  # which process runs it
    Column("origin", Text),  # the job that it repeats
    Column("partial", LargeBinary),  # the last look at an unfinished picture
    Column("size", Integer, nullable=False, default=0, server_default="0"),  # bytes of the request as it came
    Column("name", Text, nullable=False, default="", server_default=""),  # what its owner calls it
    Column("bookmarked", Boolean, nullable=False, default=False, server_default=false()),  # it is not pruned
    Column("words", Text, nullable=False, default="", server_default=""),  # the beginning of the prompt
    Column("mode", Text, nullable=False, default="", server_default=""),  # as `GenerationRequest.mode` says
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="known_state"),
    Index("jobs_by_state", "state", "number"),
    Index("jobs_by_owner", "owner", "number"),
    Index("jobs_by_place", "state", "owner", "place", "number"),
    Index("jobs_by_size", "state", "owner", "size"),
    Index("one_job_a_key", "owner", "idempotency_key", unique=True),
    sqlite_autoincrement=True,
)

SHARES = Table(  # what each owner has had; see modules.call_queue.fairness
    "shares",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("tag", Float, nullable=False),
    Column("weight", Float, nullable=False),
    Column("used", Float, nullable=False),  # seconds of lanes, in all
)

SCHEDULE = Table(  # one row
    "schedule",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("virtual", Float, nullable=False),
    Column("paused", Boolean, nullable=False),
)

SPEEDS = Table(  # the latest measurements of each model
    "speeds",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("machine", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("company", Integer, nullable=False),  # lanes that ran at the time
    Column("work", Float, nullable=False),  # megapixel-steps
    Column("seconds", Float, nullable=False),
    Column("native", Integer),  # pixels of a picture, where its size was left to the model
    Index("speeds_by_model", "machine", "model", "number"),
)

LOG = Table(  # what a job said while it ran
    "job_log",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("job_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("moment", Float, nullable=False),
    Column("level", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("log_by_job", "job_id", "number"),
)

INPUTS = Table(  # pictures that came with ended jobs; see modules.call_queue.inputs
    "inputs",
    METADATA,
    Column("hash", Text, primary_key=True),  # SHA-256 of the data
    Column("size", Integer, nullable=False),
    Column("used", Float, nullable=False),  # when the last job that came with it ended
    Column("data", LargeBinary, nullable=False),
    Index("inputs_by_use", "used", "hash", "size"),
)

JOB_INPUTS = Table(  # which job came with which
    "job_inputs",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("hash", Text, primary_key=True),
    Index("job_inputs_by_hash", "hash"),
)

CRASHES_ALLOWED = 1
"""A job that was running in more than this many processes that died is set aside."""

SET_ASIDE_KIND = StudioError.kind
SET_ASIDE = "The job was running when the studio died, twice, so it was set aside; submit it again to try it once more."
