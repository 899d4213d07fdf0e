"""What people have of their own, settings and parts of the lanes; pictures a minute are counted elsewhere now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "accounts_2"
down_revision = "accounts_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make two tables and drop one, which held nothing older than a minute."""
    op.create_table(
        "weights",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("weight", sa.Float, nullable=False),
    )
    op.create_table(
        "preferences",
        sa.Column("user_id", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.drop_table("picture_starts")
