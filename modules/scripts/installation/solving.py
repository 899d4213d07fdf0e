"""Which libraries extensions need beside those of the studio, found without installing anything, and laid down apart.

The environment's own packages are fixed at the versions that stand there, and what the locks name and is not there is
fixed at the locks' versions. What is found in addition goes into a folder of its own, behind the environment in the
order in which Python looks, so nothing of an extension takes the place of anything of the studio. Only wheels are
taken: nothing of a library is carried out to install it.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from modules.bootstrap import variables
from modules.contracts.errors import InvalidRequest, NotReady
from modules.scripts.installation.processes import carry_out
from modules.scripts.installation.wishes import normalised
from modules.support.paths import ROOT

SECONDS = 900.0
"""How long finding or fetching may take."""
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(;[^\\]*)?")
_ADDED = re.compile(r" \+ (\S+?)==(\S+)")
_TAKEN = re.compile(r" [-~] (\S+?)==(\S+)")
_SOURCE_ONLY = re.compile(r"Wheels are required for `([^`]+)` because building from source is disabled")
_UNREACHABLE = re.compile(r"Failed to (fetch|download)|error sending request|network was disabled|dns error|timed out")


class Solver:
    """Asks uv, the installer that the studio itself is installed with."""

    def __init__(self, *, offline: bool, core: Mapping[str, str] | None = None, root: Path = ROOT) -> None:
        """`offline` takes what lies on this machine only. `core` are the fixed versions; usually they are looked up."""
        self._offline, self._root = offline, root
        self._core = core

    @property
    def core(self) -> Mapping[str, str]:
        """Versions that nothing may change, by name."""
        if self._core is None:
            self._core = installed()
        return self._core

    def solve(self, wishes: Sequence[str], prefer: Mapping[str, str]) -> dict[str, str]:
        """Versions of what is needed beside the core, by name. As few as possible differ from `prefer`.

        Raises `InvalidRequest` where no versions go together with the core's, `NotReady` where the index does not
        answer. Nothing is installed and nothing of a library is executed.
        """
        if not wishes:
            return {}
        try:
            return self._solve(wishes, prefer)
        except InvalidRequest:
            if not prefer:
                raise
            return self._solve(wishes, {})

    def _solve(self, wishes: Sequence[str], prefer: Mapping[str, str]) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as folder:
            wanted, fixed = Path(folder, "wanted.txt"), Path(folder, "fixed.txt")
            wanted.write_text("\n".join(wishes) + "\n", "utf-8")
            pins = [f"{name}=={version}" for name, version in {**prefer, **self.core}.items()]
            pins += self._locked({*prefer, *self.core})
            fixed.write_text("\n".join(pins) + "\n", "utf-8")
            done = self._uv(["--dry-run", "-c", str(fixed), "-r", str(wanted)])
        if done.returncode:
            raise self._refusal(done.stderr)
        taken = _TAKEN.findall(done.stderr)
        if taken:
            names = ", ".join(name for name, _ in taken)
            raise InvalidRequest(f"It would change packages of the studio: {names}. Nothing was changed.")
        return {normalised(name): version for name, version in _ADDED.findall(done.stderr)}

    def lay(self, pins: Mapping[str, str], folder: Path) -> None:
        """Put exactly those into `folder`, which is made. Raises `NotReady`; what there is of the folder then goes."""
        folder.mkdir(parents=True, exist_ok=True)
        if not pins:
            return
        words = ["--no-deps", "--target", str(folder), *(f"{name}=={version}" for name, version in pins.items())]
        done = self._uv(words)
        if done.returncode:
            shutil.rmtree(folder)
            raise self._refusal(done.stderr)

    def _locked(self, known: Iterable[str]) -> list[str]:
        """Pins of the studio's locks for what is not installed: an extra that comes later must find its place free."""
        names, found = set(known), []
        for lock in sorted(self._root.glob("requirements*.txt")):
            for line in lock.read_text("utf-8").splitlines():
                match = _PIN.match(line)
                if match and normalised(match[1]) not in names:
                    names.add(normalised(match[1]))
                    found.append(f"{match[1]}=={match[2]}{match[3] or ''}")
        return found

    def _uv(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        line = [str(program()), "pip", "install", "--python", sys.executable, "--only-binary", ":all:", "--color=never"]
        if self._offline:
            line.append("--offline")
        try:
            return carry_out([*line, *words], None, {**variables.snapshot(), "UV_NO_PROGRESS": "1"}, SECONDS)
        except subprocess.TimeoutExpired as error:
            raise NotReady(f"Finding the libraries took longer than {SECONDS:g} s. Nothing was changed.") from error

    def _refusal(self, said: str) -> InvalidRequest | NotReady:
        """The reason in a sentence."""
        if _UNREACHABLE.search(said):
            return NotReady(
                "The package index does not answer, so nobody can say which libraries the extension needs. "
                "Nothing was changed."
            )
        source_only = sorted({normalised(name) for name in _SOURCE_ONLY.findall(said)})
        if source_only:
            return InvalidRequest(
                f"{', '.join(source_only)}: there is the source only, and building it would carry its code out, so"
                " wheels alone are taken. Build a wheel yourself (pip wheel NAME), lay it into a folder that"
                " UV_FIND_LINKS names, and try again. Nothing was changed."
            )
        text = " ".join(re.sub(r"^(error|cause|hint):", "", line.strip()).strip() for line in said.splitlines())
        text = re.sub(r"Using Python \S+ environment at: \S+|No solution found when resolving dependencies", "", text)
        told = {normalised(name) for name in re.findall(r"([A-Za-z0-9][A-Za-z0-9._-]*)==", text)}
        core = sorted(told & set(self.core))
        reason = " ".join(text.split())[:600].rstrip(".")
        if core:
            fixed = ", ".join(f"{name} {self.core[name]}" for name in core)
            return InvalidRequest(
                f"It would change the studio's own packages ({fixed}): {reason}. Nothing was changed."
            )
        return InvalidRequest(f"The libraries that it asks for cannot be had: {reason}. Nothing was changed.")


def installed() -> dict[str, str]:
    """What stands in the environment itself, by name; folders that were added later do not count."""
    places = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return {
        normalised(one.metadata["Name"]): one.version
        for one in importlib.metadata.distributions(path=places)
        if one.metadata["Name"]
    }


def program() -> Path:
    """uv, beside this Python or on the path. Raises `NotReady`."""
    beside = Path(sys.executable).parent / ("uv.exe" if sys.platform == "win32" else "uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise NotReady("uv is not in the environment; python launch.py puts it there.")
    return Path(found)
