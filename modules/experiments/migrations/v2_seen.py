"""When the process that runs an experiment was heard of last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "experiments_2"
down_revision = "experiments_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; experiments of before were never heard of."""
    op.add_column("experiments", sa.Column("seen", sa.Float))
