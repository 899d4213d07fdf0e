"""A private PostgreSQL server on loopback for the tests that need one, and a schema of its own for each of them."""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

NUMBERS = itertools.count()


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where Debian keeps them."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else [Path(one) for one in sorted(glob.glob("/usr/lib/postgresql/*/bin"))]
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def as_servant() -> list[str]:
    """What to put before a command so that it does not run as root, which the server refuses. Empty for others."""
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def hindrance() -> str | None:
    """Why there can be no server here."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (launch.py --extra postgres)"
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return None if pwd.getpwnam("postgres") and shutil.which("setpriv") else "setpriv is not installed"
        return "root may not run PostgreSQL and there is no user 'postgres'"
    return None


@pytest.fixture(scope="session")
def postgres_server():
    """The address of an empty server, without a database's name; skipped with the reason where there is none."""
    reason = hindrance()
    if reason is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="atelier-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        servant = as_servant()
        if servant:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
        data, tools, port = folder / "data", programs(), _free_port()
        run([*servant, tools / "initdb", "-D", data, "-U", "studio", "--auth=trust", "-E", "UTF8", "-N"], folder)
        flags = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=100"
        run([*servant, tools / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", flags, "start"], folder)
        try:
            yield f"postgresql://studio@127.0.0.1:{port}"
        finally:
            run([*servant, tools / "pg_ctl", "-D", data, "-m", "immediate", "stop"], folder)


@pytest.fixture
def postgres_url(postgres_server):
    """The address of an empty schema."""
    import psycopg

    schema = f"test_{next(NUMBERS)}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return f"{postgres_server}/postgres?options=-csearch_path%3D{schema}"


def run(command, folder):
    done = subprocess.run([str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={"PATH": os.defpath, "LC_ALL": "C"}, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()


def _free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]
