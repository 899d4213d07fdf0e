"""kill -9 in the middle of ten queued jobs: all ten finish after the automatic restart, none twice."""

from __future__ import annotations

import concurrent.futures
import contextlib
import sqlite3
import time

import httpx
import pytest

from tests.e2e.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
JOBS = 10


def states(database) -> dict[str, int]:
    """Number of jobs by state, read beside the running server."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return dict(connection.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())


def wait_until(condition, seconds: float, what: str):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(sqlite3.OperationalError):
            if condition():
                return
        time.sleep(0.2)
    raise AssertionError(what)


def test_all_jobs_finish_once_after_the_server_was_killed(tmp_path):
    data = tmp_path / "data"
    database = data / "atelier.sqlite3"
    server = Server(data, "--lanes", "2", "--nowebui")
    try:
        server.wait_ready()

        def send(seed):
            body = {"prompt": "a blue star", "seed": seed, "steps": 60, "width": 128, "height": 128}
            body |= {"save_images": True, "send_images": False}
            with contextlib.suppress(httpx.TransportError):
                httpx.post(f"{server.url}/sdapi/v1/txt2img", json=body, timeout=300)

        with concurrent.futures.ThreadPoolExecutor(JOBS) as crowd:
            for seed in range(JOBS):
                crowd.submit(send, 1000 + seed)
            wait_until(lambda: sum(states(database).values()) == JOBS, 60, "ten jobs were not stored")
            wait_until(lambda: states(database).get("done", 0) >= 2, 240, "no job ended before the kill")
            server.worker().kill()
        assert states(database).get("done", 0) < JOBS, "the kill came too late to prove anything"
        server.wait_ready()
        wait_until(lambda: states(database) == {"done": JOBS}, 400, f"jobs are left over: {states(database)}")
        listed = list((data / "outputs").rglob("*.png"))
        assert len(listed) == JOBS
        with contextlib.closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT job_id, COUNT(*) FROM pictures GROUP BY job_id").fetchall()
        assert sorted(count for _, count in rows) == [1] * JOBS
    finally:
        assert server.stop() == 0
