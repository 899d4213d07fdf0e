"""kill -9 at random moments under load, and what must be true afterwards: `books` says what is not.

Every job that was acknowledged has ended, exactly once; every picture of a finished job is a whole file with its
infotext, and there are no others; every charge in the account book is settled for what was made.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from modules.bench import residents
from modules.bench.process import ServerProcess
from modules.bootstrap.options import Options

OWNERS = ("ann", "bob")
ENDED = ("done", "failed", "cancelled")
QUIET_SECONDS = 600.0


class Victim(Protocol):
    """A server that comes back when it is killed."""

    url: str
    process: subprocess.Popen[Any]

    def wait_ready(self) -> float:
        """Return once it can draw."""

    def worker(self) -> psutil.Process | None:
        """The process that serves now."""


@dataclass(slots=True)
class Load:
    """People who submit jobs without waiting for them, whatever happens to the server."""

    url: str
    tokens: dict[str, str]
    interval: float
    steps: int
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Owner by id of every job that was answered with 202."""
    stopping: bool = False

    async def live(self) -> None:
        """Submit until told to stop."""
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as http:
            await asyncio.gather(*(self._submit(http, owner) for owner in self.tokens))

    async def _submit(self, http: httpx.AsyncClient, owner: str) -> None:
        chance = random.Random(owner)
        headers = residents.bearer(self.tokens[owner])
        while not self.stopping:
            body = {
                "prompt": {"text": f"a blue star, number {chance.randrange(20)}"},
                "canvas": {"width": 64, "height": 64, "batch_count": chance.randint(1, 2)},
                "sampling": {"steps": chance.randint(self.steps // 2, self.steps)},
            }
            with contextlib.suppress(httpx.TransportError):  # it may die at any moment; what it did not answer is void
                answer = await http.post("/api/v1/jobs", json=body, headers=headers)
                if answer.status_code == 202:
                    self.acknowledged[answer.json()["id"]] = owner
            await asyncio.sleep(chance.uniform(0.5, 1.5) * self.interval)


def enlist(data: Path) -> dict[str, str]:
    """Make an admin and the owners in a fresh data folder; tokens by owner."""
    tokens = residents.enlist(data, OWNERS)
    return {owner: tokens[owner] for owner in OWNERS}


def run(options: Options, *, kills: int, seed: int = 1) -> dict[str, Any]:
    """Kill the server that many times at random moments; `wrong` lists what does not hold and has to be empty."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        tokens = enlist(data)
        server = ServerProcess(options, data, "--nowebui", "--offline", "--lanes", "4")
        try:
            server.wait_ready()
            load = Load(server.url, tokens, interval=0.7, steps=24)
            killed = asyncio.run(trouble(server, load, kills, random.Random(seed)))
            lasted = settle(server, data)
        finally:
            status = server.stop()
        wrong = books(data, load.acknowledged)
        if status != 0:
            wrong.append(f"the server ended with status {status}")
        return {
            "kills": len(killed),
            "seconds_up_before_each": killed,
            "seconds_to_finish": round(lasted, 1),
            "bound": "wrong is empty",
            "wrong": wrong,
            **figures(data),
        }


async def trouble(server: Victim, load: Load, kills: int, chance: random.Random, longest: float = 6.0) -> list[float]:
    """Kill the serving process again and again while the load goes on; how long it was ready each time, in seconds."""
    loading = asyncio.create_task(load.live())
    lives = []
    for _ in range(kills):
        await asyncio.to_thread(server.wait_ready)
        pause = chance.uniform(0.1, longest)
        await asyncio.sleep(pause)
        worker = server.worker()
        if worker is not None:
            worker.kill()
            await asyncio.to_thread(worker.wait, 30)
            lives.append(round(pause, 2))
    load.stopping = True
    await loading
    await asyncio.to_thread(server.wait_ready)
    return lives


def settle(server: Victim, data: Path) -> float:
    """Wait until no job waits or runs; seconds that it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < QUIET_SECONDS and server.process.poll() is None:
        with contextlib.suppress(sqlite3.OperationalError):
            if not set(figures(data)["jobs"]) - set(ENDED):
                break
        time.sleep(0.5)
    return time.monotonic() - begun


@contextlib.contextmanager
def _reading(data: Path) -> Any:
    with contextlib.closing(
        sqlite3.connect(f"file:{data / 'atelier.sqlite3'}?mode=ro", uri=True, timeout=30)
    ) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def figures(data: Path) -> dict[str, Any]:
    """Jobs by state, runs that died, pictures, lines of the account book."""
    with _reading(data) as connection:

        def one(query: str) -> Any:
            return connection.execute(query).fetchone()[0]

        return {
            "jobs": dict(tuple(row) for row in connection.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state")),
            "runs_that_died": one("SELECT COALESCE(SUM(crashes), 0) FROM jobs"),
            "set_aside": one("SELECT COUNT(*) FROM jobs WHERE crashes > 1"),
            "pictures": one("SELECT COUNT(*) FROM pictures"),
            "ledger_lines": one("SELECT COUNT(*) FROM ledger"),
        }


def books(data: Path, acknowledged: dict[str, str]) -> list[str]:
    """Everything that is not as it has to be, in words. To be asked once the server has ended and no job is left."""
    with _reading(data) as connection:
        jobs = {row["id"]: row for row in connection.execute("SELECT * FROM jobs")}
        pictures = list(connection.execute("SELECT * FROM pictures"))
        lines = list(connection.execute("SELECT * FROM ledger WHERE job_id IS NOT NULL"))
    wrong = [f"job {job} was acknowledged and is lost" for job in acknowledged if job not in jobs]
    wrong += [f"job {job} is {row['state']}" for job, row in jobs.items() if row["state"] not in ENDED]
    wrong += [
        f"job {job} failed and was not set aside: {row['error']}"
        for job, row in jobs.items()
        if row["state"] == "failed" and row["crashes"] < 2
    ]
    return wrong + _gallery(data, jobs, pictures) + _ledger(jobs, lines)


def _gallery(data: Path, jobs: dict[str, Any], pictures: list[Any]) -> list[str]:
    from PIL import Image

    wrong, named = [], {data / "outputs" / row["folder"] / row["name"] for row in pictures}
    for job, row in jobs.items():
        places = sorted(picture["position"] for picture in pictures if picture["job_id"] == job and picture["ready"])
        if row["state"] == "done" and places != list(range(row["pictures"])):
            wrong.append(f"job {job} is done with {row['pictures']} pictures, and the gallery has {places}")
    for path in sorted(path for path in (data / "outputs").rglob("*") if path.is_file()):
        if path not in named:
            wrong.append(f"{path.name} belongs to no picture ({path.stat().st_size} bytes)")
            continue
        try:
            with Image.open(path) as image:
                image.load()
                text = image.info.get("parameters", "")
        except OSError as error:
            wrong.append(f"{path.name} is half written: {type(error).__name__}")
            continue
        (row,) = [row for row in pictures if row["name"] == path.name]
        if text != row["infotext"]:
            wrong.append(f"{path.name} does not carry its infotext")
    return wrong + [f"{path.name} is missing" for path in named if not path.is_file()]


def _ledger(jobs: dict[str, Any], lines: list[Any]) -> list[str]:
    wrong = []
    charges = {line["job_id"]: line for line in lines if line["kind"] == "charge"}
    refunds = {line["job_id"]: line for line in lines if line["kind"] == "refund"}
    if len(charges) + len(refunds) != len(lines):
        wrong.append("a job has two charges or two refunds")
    for job, charge in charges.items():
        row, refund = jobs.get(job), refunds.get(job)
        made = 0 if row is None else row["pictures"]
        due = -charge["credits"] * (1 - made / charge["pictures"])
        if refund is None:
            wrong.append(f"the charge of job {job} was never settled")
        elif abs(refund["credits"] - due) > 1e-6:
            wrong.append(f"job {job} made {made} of {charge['pictures']} and got {refund['credits']} back, not {due}")
    return wrong + [f"job {job} was never charged" for job in jobs if job not in charges]
