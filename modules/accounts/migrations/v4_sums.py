"""What everybody has used and was granted, by day and by month, so that nothing has to be added up to ask for it.

The database keeps the sums itself, in the transaction that adds a line to the ledger, so they equal it whoever writes
the line and whoever dies in between. A refund counts where its charge does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "accounts_4"
down_revision = "accounts_3"
branch_labels = None
depends_on = None

STARTS = {
    "sqlite": {
        "day": "CAST({moment} / 86400 AS INTEGER) * 86400.0",
        "month": "CAST(strftime('%s', {moment}, 'unixepoch', 'start of month') AS REAL)",
    },
    "postgresql": {
        "day": "floor({moment} / 86400) * 86400",
        "month": "CAST(extract(epoch FROM date_trunc('month', to_timestamp({moment}) AT TIME ZONE 'UTC')) AS float)",
    },
}
"""The beginning of the day and of the month of UTC that a moment lies in, in seconds since 1970."""

FILLING = """
INSERT INTO ledger_sums (owner, span, start, used, granted)
SELECT line.owner, '{span}', {start},
  sum(CASE line.kind WHEN 'charge' THEN -line.credits - coalesce(back.credits, 0) ELSE 0 END),
  sum(CASE line.kind WHEN 'grant' THEN line.credits ELSE 0 END)
FROM ledger AS line
LEFT JOIN ledger AS back ON line.kind = 'charge' AND back.kind = 'refund' AND back.job_id = line.job_id
WHERE line.kind <> 'refund' GROUP BY 1, 3"""

ADDING = """
INSERT INTO ledger_sums (owner, span, start, used, granted)
  SELECT line.owner, '{span}', {start}, 0, 0 FROM ledger AS line WHERE {counted} {unless};
UPDATE ledger_sums SET
  used = used - CASE NEW.kind WHEN 'grant' THEN 0 ELSE NEW.credits END,
  granted = granted + CASE NEW.kind WHEN 'grant' THEN NEW.credits ELSE 0 END
WHERE span = '{span}' AND (owner, start) IN (SELECT line.owner, {start} FROM ledger AS line WHERE {counted});
"""

COUNTED = """((NEW.kind <> 'refund' AND line.number = NEW.number)
    OR (NEW.kind = 'refund' AND line.kind = 'charge' AND line.job_id = NEW.job_id))"""
"""The line under whose moment the new one counts. None is there for a refund of nothing, which counts nowhere."""

UNLESS = {
    # What SQLite is told to do on a conflict by the statement that adds the line would hold within the trigger, too.
    "sqlite": "AND NOT EXISTS (SELECT 1 FROM ledger_sums AS sums WHERE sums.owner = line.owner"
    " AND sums.span = '{span}' AND sums.start = {start})",
    "postgresql": "ON CONFLICT DO NOTHING",
}
TRIGGERS = {
    "sqlite": ("CREATE TRIGGER ledger_summed AFTER INSERT ON ledger BEGIN {steps} END",),
    "postgresql": (
        "CREATE FUNCTION sum_ledger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {steps} RETURN NULL; END $$",
        "CREATE TRIGGER ledger_summed AFTER INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION sum_ledger()",
    ),
}


def upgrade() -> None:
    """Make the table, fill it from the ledger, and let the database go on from there."""
    op.create_table(
        "ledger_sums",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("span", sa.Text, primary_key=True),
        sa.Column("start", sa.Float, primary_key=True),
        sa.Column("used", sa.Float, nullable=False),
        sa.Column("granted", sa.Float, nullable=False),
    )
    dialect = op.get_context().dialect.name
    steps = ""
    for span, start in STARTS[dialect].items():
        start = start.format(moment="line.moment")
        op.execute(FILLING.format(span=span, start=start))
        unless = UNLESS[dialect].format(span=span, start=start)
        steps += ADDING.format(span=span, start=start, counted=COUNTED, unless=unless)
    for statement in TRIGGERS[dialect]:
        op.execute(statement.format(steps=steps))
