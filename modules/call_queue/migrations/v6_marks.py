"""What owners note of their jobs: a name, and that a job is to stay in the table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jobs_6"
down_revision = "jobs_5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns; no job has either yet."""
    op.add_column("jobs", sa.Column("name", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("bookmarked", sa.Boolean, nullable=False, server_default=sa.false()))
