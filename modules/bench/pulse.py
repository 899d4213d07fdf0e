"""Asks `/healthz` again and again, from a process of its own so that nothing but the server is measured.

Usage: `python -m modules.bench.pulse HOST PORT SECONDS-BETWEEN`. Ends when its input ends, and writes one JSON list of
[seconds since the start, milliseconds to the answer, status, milliseconds that a short sleep before it overran] to its
output; status 0 is a connection that failed. The last figure is what the machine itself adds: how long a process that
has nothing to do waits for a core.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

TIMEOUT_SECONDS = 30.0
NAP_SECONDS = 0.002


def beat(host: str, port: int) -> int:
    """One question over a connection of its own; the status of the answer, 0 for none."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    return answer.status


def main(argv: list[str]) -> int:
    """Beat until the input ends."""
    host, port, pause = argv[0], int(argv[1]), float(argv[2])
    ended, rows, began = threading.Event(), [], time.monotonic()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    while not ended.wait(pause):
        napped = time.monotonic()
        time.sleep(NAP_SECONDS)
        begun = time.monotonic()
        overrun = begun - napped - NAP_SECONDS
        status = beat(host, port)
        now = time.monotonic()
        rows.append((round(begun - began, 2), round((now - begun) * 1000, 2), status, round(overrun * 1000, 2)))
    sys.stdout.write(json.dumps(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
