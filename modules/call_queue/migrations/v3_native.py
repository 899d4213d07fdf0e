"""Which jobs leave their size to the model, so that they are measured anew once that size has been seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jobs_3"
down_revision = "jobs_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", sa.Column("native", sa.Integer))
