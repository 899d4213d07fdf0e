"""An installer over empty folders, and libraries in wheels that it may take instead of an index."""

from __future__ import annotations

import io
import subprocess
import textwrap
import zipfile

import pytest

from modules.scripts.installation import libraries
from modules.scripts.installation.installer import ExtensionInstaller
from tests.factories.wheels import make_wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """`hazetools` 1.0 and 2.0, of which the first needs `hazebase`; `hazeold` wants an old numpy."""
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "hazetools", "1.0", ["numpy>=1", "hazebase"])
    make_wheel(folder, "hazetools", "2.0")
    make_wheel(folder, "hazebase", "3.1")
    make_wheel(folder, "hazeold", "1.0", ["numpy<2"])
    return folder


@pytest.fixture
def shop(wheels, monkeypatch):
    """From now on libraries come from there and nowhere else."""
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))


@pytest.fixture
def installer(tmp_path, shop):
    made = ExtensionInstaller(tmp_path / "extensions", tmp_path / "data")
    yield made
    libraries.mount(None)


@pytest.fixture
def folder(tmp_path):
    """Writes an extension's folder, wherever it comes from: `folder("haze", {"scripts/a.py": …})`."""

    def write(name, files):
        for path, text in files.items():
            file = tmp_path / "from" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text), "utf-8")
        return tmp_path / "from" / name

    return write


@pytest.fixture
def seen(tmp_path):
    """Everything that an installation has on the disk, byte by byte."""

    def look():
        files = (path for path in tmp_path.rglob("*") if "from" not in path.parts and path.is_file())
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in files if path.name != "lock"}

    return look


def packed(entries):
    """A zip file's bytes from (name or ZipInfo, text)."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries:
            archive.writestr(name, text)
    return data.getvalue()


def git(folder, *words):
    """What git says in that folder."""
    line = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main", *words]
    return subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
