"""`python launch.py bench [NAME…]`: list the benchmarks, or run some and print one JSON object."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modules.bootstrap.options import Options
from modules.support.atomic import write_text


def _overhead(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import overhead

    return overhead.run(options, rounds=arguments.rounds, steps=arguments.steps)


def _batching(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import batching

    return batching.run(options, rounds=arguments.rounds, steps=arguments.steps)


def _serve(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import serve

    return serve.run(options, rounds=arguments.rounds, steps=arguments.steps)


def _grid(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import grid

    return grid.run(options, rounds=min(arguments.rounds, 3), steps=arguments.steps)


def _start(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import start

    return start.run(options, rounds=min(arguments.rounds, 3))


def _prompts(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import prompts

    return prompts.run(options, rounds=arguments.rounds)


def _thinning(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import thinning

    return thinning.run(options, rounds=min(arguments.rounds, 5), steps=arguments.steps)


def _caches(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import caches

    return caches.run(options, rounds=min(arguments.rounds, 5), steps=arguments.steps)


def _load(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import load

    return load.run(options, clients=arguments.clients, minutes=arguments.minutes, owners=arguments.owners)


def _crash(options: Options, arguments: argparse.Namespace) -> dict[str, Any]:
    from modules.bench import crash

    return crash.run(options, kills=arguments.kills)


BENCHMARKS: dict[str, tuple[str, Callable[[Options, argparse.Namespace], dict[str, Any]]]] = {
    "overhead": ("one API call against the bare diffusers pipeline, p50 over p50 (at most 1.15)", _overhead),
    "batching": (
        "eight clients against one static batch of eight, throughput over throughput (at least 0.6)",
        _batching,
    ),
    "serve": ("1, 4, 8 and 16 clients: overhead, throughput, waiting, mixed step counts, equal pictures", _serve),
    "grid": (
        "64 cells over seed, CFG and sampler against static batches (at most 1.1) and one by one (at least 3)",
        _grid,
    ),
    "prompts": (
        "a prompt of 1,000 tokens against its text encoder's own time (at most 1.2); known ones cost nothing",
        _prompts,
    ),
    "thinning": ("pictures with token merging and HyperTile against one without, seconds over seconds", _thinning),
    "caches": (
        "pictures with a cache over steps against one without: seconds over seconds, and how far apart",
        _caches,
    ),
    "start": ("seconds from launch.py to port, page and readiness to draw", _start),
    "load": (
        "a crowd that asks again and again: failures, memory, healthz under load (--clients, --minutes, --owners)",
        _load,
    ),
    "crash": ("kill -9 at random moments under load: nothing lost, doubled or half written (--kills)", _crash),
}


def run(argv: Sequence[str], options: Options) -> int:
    """Run the named benchmarks. Returns 0, or 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="launch.py bench", description=_listing())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds of each side (7)")
    parser.add_argument("--steps", type=int, default=20, help="sampling steps (20)")
    parser.add_argument("--clients", type=int, default=64, help="clients of load (64)")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long load goes on (3)")
    parser.add_argument("--owners", type=int, default=0, help="people with accounts who share load's clients (0: none)")
    parser.add_argument("--kills", type=int, default=10, help="how often crash kills the server (10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result here")
    arguments = parser.parse_args(list(argv))
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"No benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.\n")
        return 2
    if not arguments.names:
        sys.stdout.write(_listing() + "\n")
        return 0
    machine = _machine()
    results = {name: BENCHMARKS[name][1](options, arguments) for name in arguments.names}
    text = json.dumps({"machine": machine, **results}, indent=2)
    sys.stdout.write(text + "\n")
    if arguments.json:
        write_text(arguments.json, text + "\n")
    return 0


def _listing() -> str:
    return "\n".join(f"{name:<10} {text}" for name, (text, _) in BENCHMARKS.items())


def _machine() -> dict[str, Any]:
    from modules.app import versions

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": load,
        "versions": versions(),
    }
