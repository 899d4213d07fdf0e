"""Debian's packages that the tests use beside Python's: installed where that can be done without asking anybody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from modules.bootstrap import variables

POSTGRES_FOLDERS = Path("/usr/lib/postgresql")
"""Where Debian keeps each version's programs, which are on nobody's path."""


def may_install() -> bool:
    """Whether packages can be installed here: on Linux with apt-get, and as root."""
    return sys.platform == "linux" and bool(shutil.which("apt-get")) and os.geteuid() == 0


def install(name: str) -> None:
    """Ask for a package; whether it came is for the caller to see. Its services are not started."""
    # In run level 1 Debian's packages start no service; the tests start servers of their own.
    quietly = {**variables.snapshot(), "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for words in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", name)):
        subprocess.run(
            ["apt-get", *words],
            env=quietly,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def ensure_servers(say: Callable[[str], None]) -> None:
    """PostgreSQL and Redis for the tests that start one; what is missing afterwards is said, with its advice."""
    for package, there in (("postgresql", _has_postgres), ("redis-server", _has_redis)):
        if not there() and may_install():
            say(f"Installing {package} for the tests that start one")
            install(package)
        if not there():
            say(f"There is no {package}, so its tests will be skipped; on Debian: apt-get install {package}.")


def _has_postgres() -> bool:
    return bool(shutil.which("pg_ctl")) or any(POSTGRES_FOLDERS.glob("*/bin/pg_ctl"))


def _has_redis() -> bool:
    return bool(shutil.which("redis-server") or shutil.which("valkey-server"))
