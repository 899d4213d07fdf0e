"""`doctor`: hardware, versions, memory and disk of this machine; what is missing and how to get it.

Needs nothing but the standard library, so that it can also examine an environment that is broken or not there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
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


def examine(options: Options) -> dict[str, Any]:
    """The whole report, ready for JSON; sizes in bytes."""
    report: dict[str, Any] = {
        "system": machine.system(),
        "environment": machine.environment(),
        "packages": machine.packages(),
        "hardware": machine.hardware(options),
        "memory": machine.memory(),
        "disk": machine.disk(options),
        "models": machine.models(options),
        "programs": machine.programs(),
    }
    report["findings"] = list(machine.findings(report))
    return report


def lines(report: dict[str, Any]) -> Iterator[str]:
    """The report for a person, line by line."""
    system, place = report["system"], report["environment"]
    yield f"System       {system['system']}, {system['processors']} processors"
    yield f"Python       {system['python']}  {system['executable']}"
    yield f"Environment  {place['folder']}  {'installed' if place['core'] else 'not installed'}"
    yield "Packages     " + ", ".join(f"{name} {version or 'missing'}" for name, version in report["packages"].items())
    for number, words in enumerate(_hardware(report["hardware"])):
        yield f"{'' if number else 'Hardware':<13}{words}"
    if report["memory"]:
        yield f"Memory       {_size(report['memory'])}"
    for name, space in report["disk"].items():
        yield f"{'Disk, ' + name:<13}{_size(space)}  {space['folder']}"
    yield f"Models       {report['models']['files']} files; embedded model: {report['models']['pocket'] or 'missing'}"
    yield "Programs     " + ", ".join(f"{name}: {path or 'missing'}" for name, path in report["programs"].items())
    yield ""
    yield "What is missing:" if report["findings"] else "Nothing is missing."
    for finding in report["findings"]:
        yield f"  {finding['what']}  ->  {finding['how']}"


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
