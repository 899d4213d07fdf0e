"""Terms, order, cost and log of jobs; shares of owners; measured speeds."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "jobs_2"
down_revision = "jobs_1"
branch_labels = None
depends_on = None


def _columns() -> list[sa.Column[Any]]:
    """New ones with every call: a column belongs to one table."""
    return [
        sa.Column("place", sa.Float, nullable=False, server_default="0"),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("deadline", sa.Float),
        sa.Column("timeout", sa.Float),
        sa.Column("keep_partial", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("digest", sa.Text),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("model", sa.Text, nullable=False, server_default=""),
        sa.Column("work", sa.Float, nullable=False, server_default="0"),
        sa.Column("predicted", sa.Float, nullable=False, server_default="0"),
        sa.Column("measured", sa.Float),
        sa.Column("passed", sa.Float),
        sa.Column("worker", sa.Text),
        sa.Column("origin", sa.Text),
        sa.Column("partial", sa.LargeBinary),
    ]


def upgrade() -> None:
    """Add the columns, the indexes that the scheduler reads by, and the tables beside the jobs.

    Jobs that wait keep the order in which they came.
    """
    for column in _columns():
        op.add_column("jobs", column)
    op.execute("UPDATE jobs SET place = created")
    op.create_index("jobs_by_place", "jobs", ["state", "owner", "place", "number"])
    op.create_index("one_job_a_key", "jobs", ["owner", "idempotency_key"], unique=True)
    op.create_table(
        "shares",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("tag", sa.Float, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
    )
    schedule = op.create_table(
        "schedule",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("virtual", sa.Float, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
    )
    op.bulk_insert(schedule, [{"number": 1, "virtual": 0.0, "paused": False}])
    op.create_table(
        "speeds",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("company", sa.Integer, nullable=False),
        sa.Column("work", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("native", sa.Integer),
    )
    op.create_index("speeds_by_model", "speeds", ["machine", "model", "number"])
    op.create_table(
        "job_log",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("moment", sa.Float, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("log_by_job", "job_log", ["job_id", "number"])
