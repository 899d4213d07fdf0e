"""The gallery's table as it was before there were versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "pictures_1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of pictures."""
    op.create_table(
        "pictures",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("infotext", sa.Text, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("ready", sa.Boolean, nullable=False),
        sa.UniqueConstraint("job_id", "position", name="one_row_a_picture"),
        sqlite_autoincrement=True,
    )
    op.create_index("pictures_by_owner", "pictures", ["owner", "number"])
