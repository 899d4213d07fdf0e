"""What a job shows in a list: the beginning of its prompt, and what kind of work it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jobs_7"
down_revision = "jobs_6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns. Jobs that are there already keep them empty: their requests may be megabytes of pictures."""
    op.add_column("jobs", sa.Column("words", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("mode", sa.Text, nullable=False, server_default=""))
