"""Servers for the tests: found, installed, or said to be missing; with an apt-get of our own on an empty PATH."""

import os
import sys

import pytest

from modules.cli import packages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="apt-get and its stand-in are Linux programs")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without servers, whose apt-get notes what it was asked for and installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "POSTGRES_FOLDERS", tmp_path / "postgresql")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    body = (
        '#!/bin/sh\necho "$@ $RUNLEVEL" >> {0}/log\n'
        'case "$*" in\n'
        "*redis-server) /bin/touch {0}/redis-server; /bin/chmod +x {0}/redis-server;;\n"
        "*postgresql) /bin/mkdir -p {0}/postgresql/15/bin; /bin/touch {0}/postgresql/15/bin/pg_ctl;;\n"
        "esac\n"
    )
    (tmp_path / "apt-get").write_text(body.format(tmp_path))
    (tmp_path / "apt-get").chmod(0o755)
    return tmp_path


def test_what_is_missing_is_installed_and_its_service_not_started(machine):
    said = []
    packages.ensure_servers(said.append)
    lines = (machine / "log").read_text().splitlines()
    assert [line.split()[-2:] for line in lines if line.startswith("install")] == [
        ["postgresql", "1"],
        ["redis-server", "1"],
    ]
    assert [text.split()[0] for text in said] == ["Installing", "Installing"]


def test_what_is_there_is_left_alone(machine):
    packages.ensure_servers(lambda text: None)
    (machine / "log").unlink()
    packages.ensure_servers(pytest.fail)
    assert not (machine / "log").exists()


def test_who_may_install_nothing_is_told_what_to_install(machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = []
    packages.ensure_servers(said.append)
    assert [text for text in said if "apt-get install redis-server" in text]
    assert [text for text in said if "apt-get install postgresql" in text]
    assert not (machine / "log").exists()
