"""What the ledger adds up to, found by adding it up."""

from __future__ import annotations

from collections import defaultdict

import pytest
from sqlalchemy import select

from modules.accounts.ledger import day_start, month_start
from modules.accounts.tables import LEDGER, SUMS


def assert_sums(database):
    """The database's sums are those of its ledger, every owner's, of every day and month."""
    used, granted = defaultdict(float), defaultdict(float)
    with database.connect() as connection:
        lines = connection.execute(select(LEDGER)).all()
        kept = connection.execute(select(SUMS)).all()
    charges = {line.job_id: line for line in lines if line.kind == "charge"}
    for line in lines:
        counts_at = charges[line.job_id] if line.kind == "refund" else line
        sums = granted if line.kind == "grant" else used
        for span, start in (("day", day_start), ("month", month_start)):
            key = (counts_at.owner, span, start(counts_at.moment))
            sums[key] += line.credits if line.kind == "grant" else -line.credits
            used[key] += 0.0
    found = {(row.owner, row.span, row.start): row for row in kept}
    assert len(found) == len(kept)
    assert set(found) == set(used)
    for key, row in found.items():
        assert row.used == pytest.approx(used[key], abs=1e-6), key
        assert row.granted == pytest.approx(granted[key], abs=1e-6), key
    return found
