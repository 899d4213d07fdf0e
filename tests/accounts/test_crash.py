"""kill -9 while jobs are let in, drawn and settled: after the next start the book balances, and nobody drew for free.

Each process is killed in the middle of what it does; the next one finds what the last one left.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from modules.accounts.service import StoredAccounts
from modules.call_queue.database import open_database
from modules.contracts.accounts import Tier
from tests.accounts.serving import OWNERS, open_studio
from tests.accounts.sums import assert_sums

ROOT = Path(__file__).resolve().parents[2]
KILLS = 3


def kill_one(folder, seed, chance):
    """Runs a process until it has let in some jobs, and kills it a random moment later."""
    command = [sys.executable, str(Path(__file__).with_name("serving.py")), str(folder), str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""}, stdout=subprocess.PIPE)
    try:
        wanted = chance.randint(5, 30)
        assert len(process.stdout.read(wanted)) == wanted
        time.sleep(chance.random() * 0.05)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def lines_by_job(accounts):
    found = defaultdict(lambda: defaultdict(list))
    for line in accounts.ledger(limit=100_000):
        found[line.job_id][line.kind].append(line)
    return found


def test_the_book_balances_after_every_kill(tmp_path):
    database = open_database(tmp_path / "studio.sqlite3")
    accounts, chance = StoredAccounts(database), random.Random(20260310)
    accounts.set_tier(Tier("standard", credits_per_day=1e6, queue_depth=6))
    accounts.add_user("ada", "correct horse", role="admin")
    for owner in OWNERS:
        accounts.add_user(owner, "correct horse")
    database.dispose()
    for seed in range(KILLS):
        kill_one(tmp_path, seed, chance)

    database, accounts, queue = open_studio(tmp_path)
    try:
        assert_sums(database)
        left_open = len(accounts.gate.open_charges())
        queue.start()
        end = time.monotonic() + 60
        while queue.pending() or accounts.gate.open_charges():
            assert time.monotonic() < end, (queue.pending(), accounts.gate.open_charges())
            time.sleep(0.02)
        assert left_open > 0  # the kills left something to settle
        check(accounts, queue)
        assert_sums(database)
    finally:
        queue.stop(5)
        database.dispose()


def check(accounts, queue):
    """Every job was charged once and settled once by what came of it, and the sums say so."""
    stored = {record.id: record for record in queue.list(limit=100_000)}
    assert {record.state for record in stored.values()} <= {"done", "cancelled"}
    assert len(stored) >= KILLS * 5
    book, used = lines_by_job(accounts), defaultdict(float)
    assert set(stored) <= set(book)  # nothing was drawn without being charged
    for job_id, kinds in book.items():
        ((charge,), (refund,)) = kinds["charge"], kinds["refund"]
        record, request = stored.get(job_id), queue.request(job_id)
        made = 0 if record is None else record.pictures
        asked = 1 if request is None else request.canvas.batch_count
        assert refund.credits == pytest.approx(-charge.credits * (1 - made / asked)), job_id
        used[charge.owner] -= charge.credits + refund.credits
    for owner in OWNERS:
        assert accounts.allowance(owner).used_today == pytest.approx(used[owner])
        assert accounts.allowance(owner).used_this_month == pytest.approx(used[owner])
