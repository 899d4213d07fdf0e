"""The ledger is only added to, and the database itself sees to that: a line can be neither changed nor taken away.

It guards against a fault in the program and against a hand in the database. Whoever owns the database can take the
guard away again, but not by accident.
"""

from __future__ import annotations

from alembic import op

revision = "accounts_3"
down_revision = "accounts_2"
branch_labels = None
depends_on = None

SENTENCE = "the ledger is only added to"

SQLITE = (
    f"CREATE TRIGGER ledger_unchanged BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END",
    f"CREATE TRIGGER ledger_undeleted BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END",
    # INSERT OR REPLACE takes a row away without asking the trigger for that.
    f"""CREATE TRIGGER ledger_unreplaced BEFORE INSERT ON ledger
  WHEN EXISTS (SELECT 1 FROM ledger WHERE number = NEW.number)
    OR EXISTS (SELECT 1 FROM ledger WHERE job_id = NEW.job_id AND kind = NEW.kind)
  BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END""",
)

POSTGRESQL = (
    f"""CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '{SENTENCE}' USING ERRCODE = 'restrict_violation'; END $$""",
    """CREATE TRIGGER ledger_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION keep_ledger()""",
)


def upgrade() -> None:
    """Make the triggers. Both databases answer what breaks them as a violated constraint."""
    for statement in SQLITE if op.get_context().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)
