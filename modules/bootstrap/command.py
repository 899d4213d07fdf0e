"""What launch.py does: read the flags, make the environment ready, hand over to `modules.cli` inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from modules.bootstrap import flags
from modules.bootstrap.environment import BootstrapError, Environment, Say
from modules.bootstrap.installation import ensure
from modules.bootstrap.options import ROOT
from modules.bootstrap.supervision import Supervisor

FAILURE = 1

FIXED = {
    # Two OpenMP pools that spin on the same cores are ten times slower than two that sleep.
    "GOMP_SPINCOUNT": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    # Remarks on image processors that the studio does not use, at every start.
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Variables of every process of the studio; a value that the user has set wins."""

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")

EXTRAS: dict[str, tuple[str, ...]] = {"test": ("test",)}
"""Commands that need more than the core."""


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    """Runs one command line and returns the exit code. `--help` and errors of usage need no environment."""
    command = flags.parse(argv)
    say = _teller(json_lines=command.options.run.log_json)
    environment = Environment(root)
    offline = command.options.run.offline
    extras = (*EXTRAS.get(command.name, ()), *getattr(command.arguments, "extra", ()))
    if command.name != "doctor":
        try:
            ensure(environment, extras, offline=offline, say=say)
        except (BootstrapError, OSError) as error:
            say(str(error))
            return FAILURE
    # The doctor looks and installs nothing: without an environment it runs under the Python at hand.
    python = environment.python if environment.python.exists() else Path(sys.executable)
    # -P keeps a folder named `modules` in the user's own directory from being taken for this one.
    line = [str(python), "-P", "-m", "modules.cli", *argv]
    variables = child_variables(os.environ, root, offline=offline)
    try:
        return Supervisor(line, variables, say).run() if command.name == "serve" else _replace(line, variables)
    except KeyboardInterrupt:
        return 130


def child_variables(given: Mapping[str, str], root: Path, *, offline: bool) -> dict[str, str]:
    """The variables of the studio's own process, made from those of this one."""
    variables = {**FIXED, **given, "PYTHONPATH": os.pathsep.join(filter(None, (str(root), given.get("PYTHONPATH"))))}
    if offline:
        variables["HF_HUB_OFFLINE"] = "1"
        # A proxy on this machine would carry requests out of it.
        for name in [name for name in variables if name.lower() in PROXIES]:
            del variables[name]
    return variables


def _replace(line: list[str], variables: dict[str, str]) -> int:  # noqa: RET503 - execve does not return
    """Becomes the command, so that signals and the exit code are its own; Windows has to wait for a child instead."""
    if sys.platform == "win32":
        return subprocess.run(line, env=variables).returncode
    else:  # noqa: RET505 - execve does not return; the type checker sees one branch only
        os.execve(line[0], line, variables)


def _teller(*, json_lines: bool) -> Say:
    def say(text: str) -> None:
        if json_lines:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            text = json.dumps({"time": stamp, "level": "info", "logger": "launch", "message": text}, ensure_ascii=False)
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    return say
