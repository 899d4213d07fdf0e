"""How many bytes a request has, so that what waits can be added up without being read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jobs_5"
down_revision = "jobs_4"
branch_labels = None
depends_on = None

BYTES = {"sqlite": "length(CAST(request AS BLOB))", "postgresql": "octet_length(request)"}


def upgrade() -> None:
    """Add the column and an index that answers for it; jobs that have not ended get theirs.

    The index is what makes the sum quick: SQLite would walk through each request to reach the column behind it.
    """
    op.add_column("jobs", sa.Column("size", sa.Integer, nullable=False, server_default="0"))
    measured = BYTES[op.get_context().dialect.name]
    op.execute(f"UPDATE jobs SET size = coalesce({measured}, 0) WHERE state IN ('queued', 'running')")
    op.create_index("jobs_by_size", "jobs", ["state", "owner", "size"])
