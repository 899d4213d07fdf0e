"""Turns a pickled checkpoint into a safetensors file, in a process of its own that can do nothing else.

A pickle is a program. It is opened by torch's `weights_only` reader, which builds tensors and refuses everything else,
in a separate process without network, without children and without the rights to write but one file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from modules.bootstrap.variables import snapshot
from modules.contracts.errors import BrokenModel, InvalidRequest
from modules.sd_models.header import read_header
from modules.support.paths import ROOT

PICKLED = (".ckpt", ".pt", ".pth", ".bin")
PASSED_ON = (
    "PATH",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "OMP_NUM_THREADS",
    "GOMP_SPINCOUNT",
    "TMPDIR",
    "TEMP",
)
"""Variables that the process gets; tokens and proxies are not among them."""
TIME_LIMIT = 3600.0


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of it."""

    target: Path
    tensors: int
    dropped: tuple[str, ...]
    """Entries of the checkpoint that are no weights, such as the state of an optimizer."""
    replaced: tuple[str, ...]
    """Classes that the file names and that were read as empty shells."""


def convert(source: Path, target: Path | None = None, *, force: bool = False) -> Conversion:
    """Write the weights of `source` to `target`, by default beside it with the ending `.safetensors`.

    The target appears whole or not at all. Raises `InvalidRequest` when there is nothing to convert or the target
    exists and `force` is not set, `BrokenModel` when the file is no checkpoint or wants to run something.
    """
    target = target or source.with_suffix(".safetensors")
    if not source.is_file():
        raise InvalidRequest(f"There is no file {source}.")
    if source.suffix.lower() not in PICKLED:
        raise InvalidRequest(f"{source.name} cannot be converted; {', '.join(PICKLED)} can.")
    if target.suffix != ".safetensors":
        raise InvalidRequest(f"The target {target.name} has to end in .safetensors.")
    if target.exists() and not force:
        raise InvalidRequest(f"{target} exists already; give --force to replace it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        answer = _run(source.resolve(), partial.resolve())
        header = read_header(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Conversion(target, len(header.tensors), tuple(answer["dropped"]), tuple(answer["replaced"]))


def _run(source: Path, partial: Path) -> dict[str, list[str]]:
    line = [sys.executable, "-P", "-m", "modules.sd_models.unpickling", str(source), str(partial)]
    passed_on = {name: value for name, value in snapshot().items() if name in PASSED_ON}
    variables = passed_on | {"PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            line, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BrokenModel(f"{source.name} was not read within {TIME_LIMIT:.0f} seconds.") from error
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise BrokenModel(f"{source.name} could not be read (exit code {done.returncode}): {last[:300]}.") from None
    if "error" in answer:
        raise BrokenModel(f"{source.name} was not converted: {str(answer['error']).rstrip('.')}.")
    return {"dropped": list(answer["dropped"]), "replaced": list(answer["replaced"])}
