"""Does the server bear a crowd: nothing that was admitted fails, memory stays flat, and `/healthz` answers at once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from modules.bench.crowd import Crowd, percentile, summary
from modules.bench.fairness import Referee, deal
from modules.bench.process import ServerProcess, served
from modules.bench.residents import ADMIN, enlist
from modules.bootstrap.options import Options
from modules.contracts.errors import InvalidRequest
from modules.support.paths import ROOT

HEALTH_BOUND_MS = 100.0
MEMORY_BOUND = 1.1
PULSE_PAUSE = 0.25
SAMPLE_PAUSE = 0.5


def run(options: Options, *, clients: int, minutes: float, owners: int = 0) -> dict[str, Any]:
    """Figures beside their bounds; `held` says which of the bounds were kept.

    With `owners` accounts are on, every client has the token of one of that many owners, who have unequal numbers of
    clients, and `fairness` says what each owner had of the lanes. Raises `InvalidRequest` for fewer clients than that.
    """
    if not 0 <= owners <= clients:
        raise InvalidRequest(f"{owners} owners for {clients} clients; everybody needs one.")
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        names = [f"owner{number + 1}" for number in range(owners)]
        tokens = enlist(data, names) if owners else {}
        with served(options, data, "--nowebui", "--offline") as server:
            answer = measure(server, Crowd(server.url, clients, deal(clients, names), tokens), minutes * 60)
        answer["log_errors"] = sum(" ERROR " in line for line in server.log.read_text("utf-8", "replace").splitlines())
    return answer


async def _ask(crowd: Crowd, referee: Referee | None, seconds: float) -> None:
    watching = () if referee is None else (referee.watch(seconds),)
    await asyncio.gather(crowd.ask(seconds), *watching)


def measure(server: ServerProcess, crowd: Crowd, seconds: float) -> dict[str, Any]:
    """Let the crowd ask for that long, and watch the server meanwhile."""
    worker = server.worker()
    assert worker is not None, "a server that is ready has a process"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    referee = Referee(server.url, crowd.tokens[ADMIN]) if crowd.owners else None
    with Watch(worker) as watch, Pulse(server.url) as pulse:
        begun, busy = time.monotonic(), sum(worker.cpu_times()[:2])
        asyncio.run(_ask(crowd, referee, seconds))
        lasted = time.monotonic() - begun
        busy = sum(worker.cpu_times()[:2]) - busy
    memory, health = watch.report(), pulse.report()
    asked = summary(crowd.outcomes, lasted)
    held = {
        "no admitted request failed": asked["admitted_failed"] == 0,
        f"memory at the end at most {MEMORY_BOUND} of that after a third": memory["end_over_third"] <= MEMORY_BOUND,
        f"healthz under {HEALTH_BOUND_MS:.0f} ms throughout": health["max_ms"] < HEALTH_BOUND_MS
        and not health["failed"],
    }
    return {
        "clients": crowd.clients,
        "seconds": round(lasted, 1),
        "held": held,
        **asked,
        **({} if referee is None else {"fairness": referee.report(crowd.owners, crowd.outcomes)}),
        "memory": memory,
        "healthz": health,
        "server_cores": round(busy / lasted, 2),
        "load_before": load,
        "load_after": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


class Watch:
    """Samples memory, threads and open files (0 on Windows) of a process for the length of a block."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._ended = threading.Event()
        self._rows: list[tuple[int, int, int]] = []
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _live(self) -> None:
        while True:
            try:
                files = self._process.num_fds() if sys.platform != "win32" else 0
                self._rows.append((self._process.memory_info().rss, self._process.num_threads(), files))
            except psutil.NoSuchProcess:
                return
            if self._ended.wait(SAMPLE_PAUSE):
                return

    def report(self) -> dict[str, Any]:
        """MiB at the start, after a third and at the end (each the mean of a twelfth of the time)."""
        sizes = [row[0] / 2**20 for row in self._rows]
        part = max(len(sizes) // 12, 1)
        places = {"start": 0, "third": len(sizes) // 3, "end": len(sizes) - part}
        found = {name: sum(sizes[place : place + part]) / part for name, place in places.items()}
        return {
            **{f"{name}_mib": round(size, 1) for name, size in found.items()},
            "most_mib": round(max(sizes), 1),
            "end_over_third": round(found["end"] / found["third"], 3),
            "most_threads": max(row[1] for row in self._rows),
            "most_open_files": max(row[2] for row in self._rows),
        }


class Pulse:
    """Asks `/healthz` for the length of a block, in a process of its own."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        command = [sys.executable, "-m", "modules.bench.pulse", str(address.hostname), str(address.port)]
        self._command = [*command, str(PULSE_PAUSE)]
        self._rows: list[tuple[float, float, int, float]] = []

    def __enter__(self) -> Pulse:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        output, _ = self._process.communicate("")
        self._rows = json.loads(output)

    def report(self) -> dict[str, Any]:
        """Milliseconds over all beats, the slowest ones with their moments, and what the machine itself adds."""
        waits, overruns = [row[1] for row in self._rows], [row[3] for row in self._rows]
        worst = sorted(self._rows, key=lambda row: -row[1])[:5]
        return {
            "beats": len(waits),
            "failed": sum(row[2] != 200 for row in self._rows),
            **{f"{name}_ms": round(percentile(waits, part), 1) for name, part in (("p50", 0.5), ("p99", 0.99))},
            "max_ms": max(waits, default=0.0),
            "slowest": [{"second": second, "ms": wait} for second, wait, *_ in worst],
            "idle_process_waits_for_a_core": {
                "p99_ms": round(percentile(overruns, 0.99), 1),
                "max_ms": max(overruns, default=0.0),
            },
        }
