"""Tables of accounts, in the database of the jobs."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text, UniqueConstraint

METADATA = MetaData()

USERS = Table(
    "users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False, unique=True),  # the name without regard to case
    Column("password", Text, nullable=False),  # Argon2 hash with its salt and cost
    Column("role", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("created", Float, nullable=False),  # seconds since 1970, UTC, as everywhere here
    Column("disabled", Boolean, nullable=False),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("digest", Text, nullable=False, unique=True),  # SHA-256 of the text, which is long and random
    Column("label", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("used", Float),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("expires", Float, nullable=False),
)

TIERS = Table(
    "tiers",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("limits", Text, nullable=False),  # JSON, the fields of `Tier`
)

LEDGER = Table(
    "ledger",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("owner", Text, nullable=False),
    Column("moment", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("credits", Float, nullable=False),
    Column("job_id", Text),
    Column("pictures", Integer, nullable=False),  # of the job; 0 for a grant
    Column("note", Text, nullable=False),
    UniqueConstraint("job_id", "kind", name="one_line_a_job_and_kind"),
    Index("ledger_by_owner", "owner", "moment"),
    sqlite_autoincrement=True,
)

SUMS = Table(
    "ledger_sums",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("span", Text, primary_key=True),  # day or month, of UTC
    Column("start", Float, primary_key=True),
    Column("used", Float, nullable=False),  # charged, less what came back of it
    Column("granted", Float, nullable=False),
)
"""What the ledger adds up to; the database writes it, with each line of the ledger, and nobody else does."""

WEIGHTS = Table(
    "weights",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("weight", Float, nullable=False),
)
"""Parts of the lanes that an admin has given to somebody in place of the tier's."""

PREFERENCES = Table(
    "preferences",
    METADATA,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
)
"""Settings of users' own."""
