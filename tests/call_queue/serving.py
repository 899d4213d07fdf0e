"""A process that runs the queue with a slow engine, for a test to kill.

Usage: serving.py FOLDER LANES [DATABASE-URL]. Ends by itself when no job is left. Every finished run adds a line to
FOLDER/drawn.txt, and every picture a row to a table of its own, as a gallery would.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from sqlalchemy import text

from modules.call_queue.database import open_database, open_server
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.contracts.events import StepDone
from modules.contracts.pictures import StoredPicture
from modules.contracts.result import GenerationResult, Picture
from modules.support.bus import EventBus


class Pictures:
    """Rows that are unique by job and index."""

    def __init__(self, engine):
        self.engine = engine
        with engine.begin() as connection:
            connection.execute(
                text("CREATE TABLE IF NOT EXISTS gallery (job TEXT, number INTEGER, UNIQUE (job, number))")
            )

    def save(self, picture, *, job_id, owner, output, own=None):
        with self.engine.begin() as connection:
            statement = text("INSERT INTO gallery VALUES (:job, :number) ON CONFLICT DO NOTHING")
            connection.execute(statement, {"job": job_id, "number": picture.index})
        now = datetime.now(UTC)
        return StoredPicture("x", job_id, picture.index, owner, now, 1, 1, "image/png", "", {}, "x.png")


class SlowEngine:
    """Takes a third of a second a job, and says when it is in the middle of one."""

    def __init__(self, folder: Path):
        self.folder = folder

    def generate(self, request, context):
        for step in range(6):
            if context.cancelled.wait(0.05):
                return GenerationResult((), {}, interrupted=True)
            context.emit(StepDone(context.job_id, step + 1, 6, progress=(step + 1) / 6))
            (self.folder / f"busy-{request.prompt.text}").touch()
        picture = Picture(0, Image.new("RGB", (1, 1)), request.seeds.seed, 0, request.prompt.text, "", "", {})
        context.finished(picture)
        self.append(f"{request.prompt.text} {request.seeds.seed}\n")
        return GenerationResult((picture,), {})

    def append(self, line: str) -> None:
        target = os.open(self.folder / "drawn.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(target, line.encode())
        os.close(target)


def main() -> None:
    folder, lanes = Path(sys.argv[1]), int(sys.argv[2])
    database = open_server(sys.argv[3]) if len(sys.argv) > 3 else open_database(folder / "studio.sqlite3")
    store = JobStore(database)
    queue = CallQueue(lambda: SlowEngine(folder), store, EventBus(), Pictures(database), lanes=lanes)
    queue.start()
    while queue.pending():
        time.sleep(0.05)
    queue.stop()


if __name__ == "__main__":
    main()
