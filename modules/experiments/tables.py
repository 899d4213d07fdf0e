"""The tables of experiments as their code sees them, in the database of the gallery.

The scripts in `migrations` make them.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, Table, Text, false

METADATA = MetaData()
VERSION = "experiments_2"
"""The newest of the scripts."""

EXPERIMENTS = Table(
    "experiments",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("keeper", Text, nullable=False),  # which kind of process runs it, so that no other takes it up
    Column("state", Text, nullable=False),  # running, done, cancelled; stopped is seen by `seen`
    Column("created", Float, nullable=False),  # seconds since 1970, UTC
    Column("ended", Float),
    Column("seen", Float),  # when the process that runs it was heard of last
    Column("spec", Text, nullable=False),  # JSON of modules.contracts.codec
    Index("experiments_by_owner", "owner", "number"),
    sqlite_autoincrement=True,
)

CELLS = Table(
    "experiment_cells",
    METADATA,
    Column("experiment_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("owner", Text, nullable=False),
    Column("digest", Text, nullable=False),  # of everything that the cell is drawn from
    Column("state", Text, nullable=False),  # waiting, queued, done, failed, cancelled
    Column("job_id", Text),  # written down before the job is stored
    Column("cached", Boolean, nullable=False, default=False, server_default=false()),
    Column("error", Text),
    Index("cells_by_digest", "owner", "digest"),
    Index("cells_by_job", "job_id"),
)
