"""Users, tokens, sessions, tiers and the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "accounts_1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False, unique=True),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float),
        sa.Column("used", sa.Float),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
    )
    op.create_table(
        "tiers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("limits", sa.Text, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("moment", sa.Float, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("credits", sa.Float, nullable=False),
        sa.Column("job_id", sa.Text),
        sa.Column("pictures", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.UniqueConstraint("job_id", "kind", name="one_line_a_job_and_kind"),
        sqlite_autoincrement=True,
    )
    op.create_index("ledger_by_owner", "ledger", ["owner", "moment"])
    op.create_table(
        "picture_starts",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("moment", sa.Float, nullable=False),
        sa.Column("pictures", sa.Integer, nullable=False),
    )
    op.create_index("starts_by_owner", "picture_starts", ["owner", "moment"])
