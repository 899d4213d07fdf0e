"""How long a person waits: from `python launch.py` to an open port, the whole page, and readiness to draw."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

import httpx

from modules.bootstrap.options import Options
from modules.support.paths import ROOT

PATIENCE_SECONDS = 180.0
BOUNDS = {"port": 2.0, "page": 8.0, "ready": 25.0}
"""Seconds on two cores with a warm file cache."""


def run(options: Options, *, rounds: int) -> dict[str, Any]:
    """Seconds to each mark, per round; the first round may meet a cold file cache."""
    marks = [_once(options) for _ in range(rounds)]
    held = {name: all(round_.get(name, float("inf")) <= bound for round_ in marks) for name, bound in BOUNDS.items()}
    return {"bounds": BOUNDS, "held": held, "rounds": marks}


def _once(options: Options) -> dict[str, float]:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = int(door.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        models = str(options.paths.models_dir)
        command = [sys.executable, "launch.py", "--port", str(port), "--data-dir", folder, "--models-dir", models]
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            return _watch(f"http://127.0.0.1:{port}", begun, process)
        finally:
            process.terminate()
            process.wait(30)


def _watch(url: str, begun: float, process: subprocess.Popen[bytes]) -> dict[str, float]:
    marks: dict[str, float] = {}
    with httpx.Client(timeout=10) as client:
        while len(marks) < 3 and process.poll() is None and time.perf_counter() - begun < PATIENCE_SECONDS:
            with contextlib.suppress(httpx.TransportError):
                health = client.get(f"{url}/healthz")
                marks.setdefault("port", round(time.perf_counter() - begun, 2))
                if health.json().get("page") is not False and client.get(f"{url}/").is_success:
                    marks.setdefault("page", round(time.perf_counter() - begun, 2))
                if client.get(f"{url}/readyz").is_success:
                    marks.setdefault("ready", round(time.perf_counter() - begun, 2))
            time.sleep(0.05)
    return marks
