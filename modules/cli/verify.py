"""`verify PICTURE`: draws a kept picture again and says how far it comes out the same."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from modules.bootstrap.options import Options
from modules.contracts.accounts import TERMINAL
from modules.contracts.jobs import JobQueue
from modules.contracts.request import GenerationRequest

DIFFERS = 3
"""Exit status for a picture that did not come out the same."""


class _WithRequests:
    """A queue that also knows the requests of the server's jobs, which hold the pictures that others were made of."""

    def __init__(self, queue: JobQueue, store: Any) -> None:
        self._queue = queue
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def request(self, job_id: str) -> GenerationRequest | None:
        """The request of a job of the main table."""
        found: GenerationRequest | None = self._store.request(job_id)
        return found


def run(argv: Sequence[str], options: Options) -> int:
    """0 when the picture is the same within 1 of 255, 3 when not; JSON with `--json`. Errors go up as `StudioError`."""
    parser = argparse.ArgumentParser(prog="launch.py verify", description=__doc__, allow_abbrev=False)
    parser.add_argument("picture", metavar="PICTURE", help="its id, as the gallery and the API name it, or `last`")
    parser.add_argument("--company", type=int, default=3, help="pictures drawn beside it the second time (3)")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    found = parser.parse_args(list(argv))

    from modules.app import build_studio
    from modules.call_queue.database import open_database, open_server
    from modules.call_queue.store import JobStore
    from modules.outputs.verify import Verifier
    from modules.support.log import configure

    configure(json_lines=options.run.log_json, level=logging.WARNING)
    studio = build_studio(options, private=True)
    address = options.paths.database_url
    database = open_database(studio.paths.database) if address is None else open_server(address)
    try:
        picture = found.picture
        if picture == "last":
            picture = next((row.id for row in studio.pictures.list(limit=1)), picture)
        queue: Any = _WithRequests(studio.queue, JobStore(database))
        verdict = Verifier(studio.pictures, queue, lambda: int(studio.settings["jpeg_quality"])).verify(
            picture, TERMINAL, max(0, found.company)
        )
    finally:
        database.dispose()
        studio.close()
    if found.json:
        answer = {**dataclasses.asdict(verdict), "same": verdict.same}
        sys.stdout.write(json.dumps(answer, indent=2, default=str) + "\n")
        return 0 if verdict.same else DIFFERS
    for name, apart in (("alone", verdict.alone), ("in company", verdict.company)):
        sys.stdout.write(f"{name}: at most {apart.largest} of 255, {apart.mean:.4f} in the mean\n")
    for change in verdict.changes:
        sys.stdout.write(f"changed since: {change.part} was {change.then}, is {change.now}\n")
    sys.stdout.write("the same\n" if verdict.same else "not the same\n")
    return 0 if verdict.same else DIFFERS
