"""Installs the locks into the environment: the right build of torch, repair of what was cut short, one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from modules.bootstrap import repair, stamp
from modules.bootstrap.environment import BootstrapError, Environment, Say, bring_uv, make

PROBE_SECONDS = 15
"""Most that the question whether torch's own index answers may cost; without a network it is a fraction of a second."""

TORCH_OWN = ("nvidia-", "cuda-", "triton")
"""Pins that belong to the default build of torch. Another build brings its own in their place."""


def ensure(environment: Environment, extras: tuple[str, ...], *, offline: bool, say: Say) -> None:
    """Makes the environment hold the core lock and those of the extras, as they are now.

    Returns at once, without a process and without network, when the stamp says so. Raises BootstrapError with the
    reason otherwise; what is half done is finished by the next call.
    """
    names = (stamp.CORE, *extras)
    if not stamp.missing(environment, names):
        return
    with _alone(environment, say):
        make(environment, say)
        todo = stamp.missing(environment, names)
        if todo:
            bring_uv(environment, offline=offline, say=say)
            _install(environment, todo, offline=offline, say=say)


def _install(environment: Environment, names: tuple[str, ...], *, offline: bool, say: Say) -> None:
    started = time.monotonic()
    if environment.marker.exists():
        damaged = repair.discard_damaged(environment)
        say(f"The last installation was cut short; {', '.join(damaged) or 'nothing'} was left damaged")
    environment.marker.touch()
    backend = None if offline else _torch_backend(environment)
    # The lock of an extra holds the core too, so the core's own is laid down only when it comes alone.
    for name in [name for name in names if name != stamp.CORE] or [stamp.CORE]:
        pins = stamp.lock_file(environment.root, name)
        count = sum("==" in line for line in pins.read_text(encoding="utf-8").splitlines())
        say(f"Installing {count} packages of {pins.name} (several GB the first time)")
        flags = ["--offline"] if offline else []
        fitted = backend is not None and _uv_install(environment, name, flags, backend) == 0
        if not fitted and _uv_install(environment, name, flags, None):
            raise BootstrapError(
                f"uv could not install {pins.name} (its reasons are above); the next start goes on from here."
            )
    stamp.write(environment, names)
    environment.marker.unlink()
    say(f"The environment is ready after {time.monotonic() - started:.0f} s")


def _uv_install(environment: Environment, name: str, flags: list[str], backend: str | None) -> int:
    pins = stamp.lock_file(environment.root, name)
    command = [str(environment.uv), "pip", "install", "--python", str(environment.python), *flags]
    if backend is None:
        return _run([*command, "-r", str(pins)])
    # Named by what the project asks for, held to the lock: so the other build's own libraries may take their places.
    lines = [line for line in pins.read_text(encoding="utf-8").splitlines() if not line.startswith(TORCH_OWN)]
    held = environment.folder / f"atelier-{name}-constraints.txt"
    held.write_text("\n".join(lines), encoding="utf-8")
    wanted = ["-r", str(environment.root / "pyproject.toml"), *([] if name == stamp.CORE else ["--extra", name])]
    command += ["--torch-backend", backend, "-c", str(held), *wanted]
    return _run(command)


def _run(command: list[str]) -> int:
    """Runs uv: with its own bars on a terminal, elsewhere without the list of every package that it ends with."""
    if sys.stderr.isatty():
        return subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as uv:
        for line in uv.stderr or ():
            if not line.startswith((" + ", " - ", " ~ ")):
                sys.stderr.write(line)
                sys.stderr.flush()
    return uv.returncode


def _torch_backend(environment: Environment) -> str | None:
    """The build of torch to ask for, or None for the default index because torch's own does not answer.

    uv itself is asked to look the pinned version up, so no address of an index stands here.
    """
    backend = os.environ.get("UV_TORCH_BACKEND", "auto")
    lock = stamp.lock_file(environment.root, stamp.CORE).read_text(encoding="utf-8")
    pin = next((line.split(";")[0].strip() for line in lock.splitlines() if line.startswith("torch==")), None)
    if pin is None:
        return None
    command = [str(environment.uv), "pip", "compile", "-", "--quiet", "--no-deps", "--torch-backend", backend]
    command += ["--python", str(environment.python)]
    limits = {"UV_HTTP_TIMEOUT": "5", "UV_HTTP_RETRIES": "0"}
    try:
        asked = subprocess.run(
            command, input=pin, text=True, capture_output=True, timeout=PROBE_SECONDS, env={**os.environ, **limits}
        )
    except subprocess.TimeoutExpired:
        return None
    return backend if asked.returncode == 0 else None


@contextmanager
def _alone(environment: Environment, say: Say) -> Iterator[None]:
    """One installation at a time in one environment; a second start waits. The system frees the lock of a dead one."""
    with environment.lock.open("a+b") as handle:
        if not try_lock(handle.fileno()):
            say("Another start is installing; waiting for it")
            while not try_lock(handle.fileno()):
                time.sleep(0.5)
        yield


def try_lock(descriptor: int) -> bool:
    """Whether that open file could be locked, which it stays until it is closed or its process ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
