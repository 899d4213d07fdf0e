"""The virtual environment of the checkout: where its parts are, whether it works, making it, bringing uv into it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UV = "uv==0.13.8"
"""The installer, pinned like everything else."""

SUPPORTED = ((3, 11), (3, 13))

Say = Callable[[str], None]
"""Takes one line for the person who waits."""


class BootstrapError(RuntimeError):
    """The environment could not be made ready. The message says what failed and what to do."""


@dataclass(frozen=True)
class Environment:
    """`.venv` of one checkout. Describes; creates nothing by itself."""

    root: Path

    @property
    def folder(self) -> Path:
        """The environment itself."""
        return self.root / ".venv"

    @property
    def scripts(self) -> Path:
        """Where its programs are."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self._program("python")

    @property
    def uv(self) -> Path:
        """Its installer."""
        return self._program("uv")

    @property
    def marker(self) -> Path:
        """Present while an installation runs; left behind, it says that one was cut short."""
        return self.folder / "atelier-installing"

    @property
    def lock(self) -> Path:
        """Held while somebody works on the environment; beside it, because making it again empties the folder."""
        return self.root / ".venv.lock"

    def _program(self, name: str) -> Path:
        return self.scripts / (f"{name}.exe" if os.name == "nt" else name)

    def python_version(self) -> str:
        """Full version as written when the environment was made; empty when there is none. Starts no process."""
        try:
            lines = (self.folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
        except OSError:
            return ""
        found = dict(line.partition("=")[::2] for line in lines if "=" in line)
        return next((value.strip() for key, value in found.items() if key.strip().startswith("version")), "")

    def works(self) -> bool:
        """Whether the interpreter starts, is a supported one and has pip. Costs one process start."""
        version = tuple(int(part) for part in self.python_version().split(".")[:2] if part.isdigit())
        if not SUPPORTED[0] <= version <= SUPPORTED[1] or not self.python.exists():
            return False
        try:
            return subprocess.run([self.python, "-c", "import pip"], capture_output=True).returncode == 0
        except OSError:
            return False


def make(environment: Environment, say: Say) -> None:
    """Makes `.venv`, or makes it again when it does not work; a working one is left alone. Raises BootstrapError."""
    if environment.works():
        return
    if environment.folder.exists() and Path(sys.prefix).resolve() == environment.folder.resolve():
        raise BootstrapError(
            f"{environment.folder} is damaged and this very Python lives in it; start launch.py with another Python."
        )
    say(f"Making the environment {environment.folder} with Python {sys.version.split()[0]}")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(environment.folder)], capture_output=True, text=True
    )
    if made.returncode or not environment.works():
        hint = " On Debian and Ubuntu it needs the package python3-venv." if "ensurepip" in made.stdout else ""
        last = (made.stderr.strip() or made.stdout.strip() or "no reason was given").splitlines()[-1]
        raise BootstrapError(f"The environment could not be made: {last}.{hint}")


def bring_uv(environment: Environment, *, offline: bool, say: Say) -> None:
    """Puts the pinned uv into the environment unless it is there. Raises BootstrapError."""
    if _uv_version(environment) == UV.partition("==")[2]:
        return
    if offline:
        raise BootstrapError(
            f"{UV} is not in {environment.folder} and --offline forbids to fetch it; start once without."
        )
    say(f"Fetching {UV}")
    command = [str(environment.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise BootstrapError(f"pip could not install {UV}: {' '.join(reasons) or done.stderr.strip()}")


def _uv_version(environment: Environment) -> str:
    try:
        answer = subprocess.run([environment.uv, "--version"], capture_output=True, text=True)
    except OSError:
        return ""
    words = answer.stdout.split()
    return words[1] if len(words) > 1 else ""
