"""Finding and getting a browser, with programs of our own on an otherwise empty PATH."""

import os
import sys

import pytest

from modules.cli import browser

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="apt-get and its stand-in are Linux programs")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A function that puts a shell script on the PATH, which holds nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, body="exit 0"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
        return str(tmp_path / name)

    return put


def test_a_browser_on_the_path_is_found(programs):
    assert browser.find() is None
    edge = programs("msedge")
    assert browser.find() == edge
    assert browser.find() != programs("chromium")
    assert browser.ensure(pytest.fail).endswith("chromium")


def test_debian_s_is_installed_where_that_is_allowed(programs, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = (
        'echo "$1" >> {0}/log; [ "$1" = update ] || {{ echo "#!/bin/sh" > {0}/chromium; /bin/chmod +x {0}/chromium; }}'
    )
    programs("apt-get", made.format(tmp_path))
    said = []
    assert browser.ensure(said.append) == str(tmp_path / "chromium")
    assert (tmp_path / "log").read_text().split() == ["update", "install"]
    assert said == ["Installing chromium for the browser tests"]


def test_otherwise_the_advice_is_given(programs, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    programs("apt-get", "exit 1")
    said = []
    assert browser.ensure(said.append) is None
    assert "apt-get install chromium" in said[0]
