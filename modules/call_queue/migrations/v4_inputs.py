"""Pictures that came with ended jobs, once each, and which job came with which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "jobs_4"
down_revision = "jobs_3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables. What an older version has dropped from ended jobs does not come back."""
    op.create_table(
        "inputs",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("inputs_by_use", "inputs", ["used", "hash", "size"])
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, primary_key=True),
    )
    op.create_index("job_inputs_by_hash", "job_inputs", ["hash"])
