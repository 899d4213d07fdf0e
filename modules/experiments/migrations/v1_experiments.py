"""The first tables of experiments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "experiments_1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of experiments and their cells."""
    op.create_table(
        "experiments",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("keeper", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("spec", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("experiments_by_owner", "experiments", ["owner", "number"])
    op.create_table(
        "experiment_cells",
        sa.Column("experiment_id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text),
        sa.Column("cached", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("error", sa.Text),
    )
    op.create_index("cells_by_digest", "experiment_cells", ["owner", "digest"])
    op.create_index("cells_by_job", "experiment_cells", ["job_id"])
