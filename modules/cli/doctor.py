"""`doctor`: hardware, versions, memory and disk of this machine; what is missing and how to get it.

Needs nothing but the standard library, so that it can also examine an environment that is broken or not there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.bootstrap.flags import Command
from modules.bootstrap.options import Options
from modules.cli import machine

GIB = 2**30


def run(command: Command) -> int:
    """Writes the report, as JSON with --json. 0 in any case in which it could be made: findings are no failure."""
    report = examine(command.options)
    text = json.dumps(report, indent=2, default=str) if command.arguments.json else "\n".join(lines(report))
    sys.stdout.write(text + "\n")
    return 0


def examine(options: Options, hardware: dict[str, Any] | None = None) -> dict[str, Any]:
    """The whole report, ready for JSON; sizes in bytes. `hardware` is what is known of it already, else it is looked
    for."""
    report: dict[str, Any] = {
        "system": machine.system(),
        "environment": machine.environment(),
        "packages": machine.packages(),
        "hardware": machine.hardware(options) if hardware is None else hardware,
        "memory": machine.memory(),
        "disk": machine.disk(options),
        "models": machine.models(options),
        "programs": machine.programs(),
    }
    report["findings"] = list(machine.findings(report))
    return report


def tell(options: Options, device: dict[str, Any]) -> dict[str, Any]:
    """The report for the API of a studio that runs on that device: `checks` as rows of `what` and `says`, and
    `findings`. Names folders and programs by their last word alone."""
    chosen = "device" in device
    hardware = {**device, "attention_wanted": options.device.attention} if chosen else {"problem": "not chosen yet"}
    report = _without_places(examine(options, hardware))
    checks = [{"what": what, "says": says} for what, says in rows(report)]
    return {"checks": checks, "findings": list(machine.findings(report))}


def _without_places(report: dict[str, Any]) -> dict[str, Any]:
    def last(path: str | None) -> str | None:
        return None if path is None else Path(path).name

    return {
        **report,
        "system": {**report["system"], "executable": last(report["system"]["executable"])},
        "environment": {**report["environment"], "folder": last(report["environment"]["folder"])},
        "disk": {name: {**space, "folder": ""} for name, space in report["disk"].items()},
        "models": {**report["models"], "pocket": last(report["models"]["pocket"])},
        "programs": {name: last(path) for name, path in report["programs"].items()},
    }


def lines(report: dict[str, Any]) -> Iterator[str]:
    """The report for a person, line by line."""
    said = ""
    for what, says in rows(report):
        yield f"{'' if what == said else what:<13}{says}"
        said = what
    yield ""
    yield "What is missing:" if report["findings"] else "Nothing is missing."
    for finding in report["findings"]:
        yield f"  {finding['what']}  ->  {finding['how']}"


def rows(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was looked at, and what is to be said of it; of one thing there may be several."""
    system, place = report["system"], report["environment"]
    yield "System", f"{system['system']}, {system['processors']} processors"
    yield "Python", f"{system['python']}  {system['executable']}"
    yield "Environment", f"{place['folder']}  {'installed' if place['core'] else 'not installed'}"
    yield "Packages", ", ".join(f"{name} {version or 'missing'}" for name, version in report["packages"].items())
    for words in _hardware(report["hardware"]):
        yield "Hardware", words
    if report["memory"]:
        yield "Memory", _size(report["memory"])
    for name, space in report["disk"].items():
        yield f"Disk, {name}", f"{_size(space)}  {space['folder']}".rstrip()
    yield "Models", f"{report['models']['files']} files; embedded model: {report['models']['pocket'] or 'missing'}"
    yield "Programs", ", ".join(f"{name}: {path or 'missing'}" for name, path in report["programs"].items())


def _hardware(found: dict[str, Any]) -> Iterator[str]:
    if "problem" in found:
        yield found["problem"]
        return
    yield f"{found['label']}, {found['name']}, device {found['device']}; {found['driver']}"
    memory = found["memory"]
    if memory["total"] and memory["free"] is not None:
        yield f"memory {_size(memory)}"
    yield f"computes in {', '.join(found['dtypes']['usable'])}; attention {', '.join(found['attention'])}"
    places = (f"{part} on {place['device']} in {place['dtype']}" for part, place in found["placements"].items())
    yield "; ".join(places)
    yield from found["reasons"]


def _size(space: dict[str, Any]) -> str:
    return f"{space['free'] / GIB:.1f} GiB free of {space['total'] / GIB:.1f}"
