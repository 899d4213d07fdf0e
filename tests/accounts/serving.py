"""A process that lets jobs in, draws, cancels and repeats them as fast as it can, for a test to kill.

Usage: serving.py FOLDER SEED. Writes a dot for every job that was let in, and never ends by itself.
"""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

from modules.accounts.metering import MeteredQueue
from modules.accounts.service import StoredAccounts
from modules.call_queue.database import open_database
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.contracts.errors import InvalidRequest, OverLimit
from modules.support.bus import EventBus
from tests.accounts.test_metering import Catalog, wish
from tests.call_queue.fakes import FakeEngine, MemoryPictures

NOON = 1_773_144_000.0
OWNERS = ("bob", "ann", "guy")


def open_studio(folder):
    """Accounts and a queue over the database of that folder, not started yet."""
    database, bus = open_database(folder / "studio.sqlite3"), EventBus()
    accounts = StoredAccounts(database, lambda: NOON)  # no day ends in the middle of the test
    inner = CallQueue(FakeEngine, JobStore(database), bus, MemoryPictures(), lanes=2)
    return database, accounts, MeteredQueue(inner, accounts.gate, Catalog(), bus)


def ask(queue, owner, chance):
    """One person, who never stops."""
    ended = []
    while True:
        try:
            if ended and chance.random() < 0.2:
                handle = queue.requeue(ended.pop())
            else:
                steps, count = chance.randint(1, 4), chance.randint(1, 3)
                handle = queue.submit(wish(steps=steps, count=count, width=256), owner)
        except (OverLimit, InvalidRequest):
            continue
        sys.stdout.write(".")
        sys.stdout.flush()
        if chance.random() < 0.3:
            handle.cancel()
        elif chance.random() < 0.5:
            handle.wait(30)
            ended.append(handle.id)


def main():
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    _, _, queue = open_studio(folder)
    queue.start()
    for number, owner in enumerate(OWNERS):
        chance = random.Random(seed * 100 + number)
        threading.Thread(target=ask, args=(queue, owner, chance), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
