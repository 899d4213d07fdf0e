"""`launch.py models`: list what there is, look into a file, fetch from the hub, keep its token, convert a pickle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table

from modules.bootstrap.options import Options
from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import InvalidRequest
from modules.sd_models.catalog import StudioCatalog, Tables
from modules.sd_models.convert import convert
from modules.sd_models.detect import Outcome, Recognised, inspect_file
from modules.sd_models.families import load_families, load_rules
from modules.sd_models.folders import inspect_folder
from modules.sd_models.hashes import SHORT, hash_model
from modules.sd_models.hub import DownloadPlan, DownloadProgress, Hub
from modules.sd_models.hub_token import find_token, forget_token, store_token
from modules.sd_models.scan import KIND_FOLDERS, find_checkpoints, find_files
from modules.support.commands import Commands, run_command, say_json, show_unusable
from modules.support.paths import Paths

GIB = 2**30


def run(argv: Sequence[str], options: Options) -> int:
    """Run one command line and return its exit code; errors are one sentence on standard error."""
    try:
        return run_command(_parser(), argv, options)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped; a download goes on from here the next time.")
        return 130


def _parser() -> argparse.ArgumentParser:
    commands = Commands("models", "Models: what there is.")
    add = commands.add
    add("list", _list, "the models there are")
    look = add("inspect", _inspect, "what a file or folder is, and why it can or cannot be used")
    look.add_argument("path", metavar="FILE", type=Path)
    look.add_argument("--hash", action="store_true", help="compute its SHA-256 too")
    pull = add("pull", _pull, "fetch a model from the hub")
    pull.add_argument("id", metavar="OWNER/NAME")
    pull.add_argument("--revision", metavar="NAME", help="branch, tag or commit (main)")
    pull.add_argument("--file", action="append", default=[], metavar="GLOB", help="fetch these files only")
    pull.add_argument("--full", action="store_true", help="full precision where the hub has half too")
    pull.add_argument("--token-file", type=Path, metavar="FILE", help="file with an access token (the stored one)")
    pull.add_argument("--endpoint", metavar="URL", help="another hub that speaks the same language")
    pull.add_argument("--yes", "-y", action="store_true", help="start without asking")
    keep = add("token", _token, "store the access token for the hub, read from standard input or a file")
    keep.add_argument("--file", type=Path, metavar="FILE", help="file that holds it (standard input)")
    keep.add_argument("--forget", action="store_true", help="take the stored one away")
    turn = add("convert", _convert, "make a safetensors file of a pickled checkpoint, safely")
    turn.add_argument("path", metavar="FILE", type=Path)
    turn.add_argument("-o", "--output", metavar="FILE", type=Path)
    turn.add_argument("--force", action="store_true", help="replace the file if it is there")
    merge = add("merge", _merge, "make a model of two, or add to one what a second learnt over a third")
    merge.add_argument("first", metavar="FIRST", type=Path, help="file or folder; what is not merged is its")
    merge.add_argument("second", metavar="SECOND", type=Path)
    merge.add_argument("third", metavar="THIRD", type=Path, nargs="?", help="what the second one was made of")
    merge.add_argument("-o", "--output", metavar="PLACE", type=Path, required=True)
    merge.add_argument("--share", type=float, default=0.5, metavar="M", help="how much of the second (0.5)")
    merge.add_argument("--blocks", metavar="M,…", help="shares by block instead: for the rest first, then each block")
    merge.add_argument("--dtype", metavar="TYPE", help="float16, bfloat16 or float32 (the first model's)")
    merge.add_argument("--with-vae", action="store_true", help="merge the autoencoders, too")
    merge.add_argument("--force", action="store_true", help="replace what is there")
    return commands.parser


def _list(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    catalog = StudioCatalog(paths, Tables(families=load_families(paths.configs / "families.json")), given=options.paths)
    entries = catalog.models()
    if found.json:
        say_json([_row(entry) for entry in entries])
        return 0
    table = Table(Column("name", overflow="fold"), "family", "layout", "size", "pixels", "type")
    for entry in entries:
        if entry.problem is None:
            facts = (entry.family, entry.layout, _size(entry.size_bytes), str(entry.native_size))
            table.add_row(escape(entry.title), *facts, str(entry.details.get("dtype", "–")))
    Console(highlight=False).print(table)
    show_unusable(entries)
    return 0


def _find(path: Path, paths: Paths) -> Path:
    """The file that was named, or the checkpoint of that name among the models, or the file of another kind."""
    if path.exists():
        return path
    by_name = (item.path for item in find_checkpoints(paths.models) if str(path) in (item.path.name, item.relative))
    others = (file for kind in KIND_FOLDERS for file in find_files(paths.models, kind) if file.name == str(path))
    return next(by_name, None) or next(others, path)


def _row(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "path": str(entry.path),
        "layout": entry.layout,
        "family": entry.family,
        "native_size": entry.native_size,
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "problem": entry.problem,
        "details": dict(entry.details),
    }


def _inspect(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    rules = load_rules(paths.configs / "families.json")
    path = _find(found.path, paths)
    outcome: Outcome = inspect_folder(path, rules) if path.is_dir() else inspect_file(path, rules)
    answer: dict[str, Any] = {"file": path.name, "outcome": type(outcome).__name__.lower()}
    if isinstance(outcome, Recognised):
        answer |= {"family": outcome.family, "naming": outcome.layout, **outcome.facts}
    else:
        answer["reason"] = outcome.reason
    if found.hash:
        answer["sha256"] = hash_model(path)
        answer["hash"] = answer["sha256"][:SHORT]
    if found.json:
        say_json(answer)
    else:
        table = Table(show_header=False)
        for key, value in answer.items():
            table.add_row(key, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        Console().print(table)
    return 0 if isinstance(outcome, Recognised) else 1


def _pull(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    hub = Hub(
        paths.hub, token=find_token(found.token_file, paths), endpoint=found.endpoint, offline=options.run.offline
    )
    plan = hub.plan_download(found.id, found.revision, allow=found.file, full_precision=found.full)
    console = Console(stderr=True)
    count = f"{len(plan.files)} file{'' if len(plan.files) == 1 else 's'}"
    console.print(
        f"{plan.hub_id} at {plan.commit[:12]}: {count}, {_size(plan.bytes)}, "
        f"of which {_size(plan.missing)} have to be fetched.",
        highlight=False,
    )
    is_asking = plan.missing and not found.yes and not found.json and sys.stdin.isatty()
    if is_asking and console.input("Fetch them? [y/N] ").strip().lower() not in ("y", "yes"):
        return 1
    target = _fetch(hub, plan, console)
    if found.json:
        row = {"id": plan.hub_id, "commit": plan.commit, "path": str(target), "bytes": plan.bytes}
        say_json(row | {"files": [file.name for file in plan.files]})
    else:
        console.print(f"It lies in {target}", highlight=False)
    return 0


def _token(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    if found.forget:
        forget_token(paths)
    else:
        store_token(found.file, paths)
    said = "The token was forgotten." if found.forget else "The token is stored; models pull uses it."
    if found.json:
        say_json({"stored": not found.forget})
    else:
        Console(highlight=False).print(said)
    return 0


def _fetch(hub: Hub, plan: DownloadPlan, console: Console) -> Path:
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(plan.hub_id, total=plan.bytes)

        def show(event: DownloadProgress) -> None:
            bar.update(task, completed=event.done, description=event.file)

        return hub.download(plan, progress=show)


def _convert(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    done = convert(_find(found.path, paths), found.output, force=found.force)
    if found.json:
        answer = {"target": str(done.target), "tensors": done.tensors}
        say_json(answer | {"dropped": done.dropped, "replaced": done.replaced})
        return 0
    console = Console(highlight=False)
    console.print(f"{done.target.name}: {done.tensors} tensors.")
    if done.dropped:
        shown = ", ".join(done.dropped[:8]) + (" …" if len(done.dropped) > 8 else "")
        console.print(f"Left out, because it is no weight: {shown}", markup=False)
    return 0


def _merge(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    from modules.sd_models.merging import Merge, merge_models

    first, second = _find(found.first, paths), _find(found.second, paths)
    third = None if found.third is None else _find(found.third, paths)
    for path in (first, second, third):
        if path is not None and not path.exists():
            raise InvalidRequest(f"There is no model {path}.")
    try:
        blocks = tuple(float(word) for word in found.blocks.split(",")) if found.blocks else ()
    except ValueError:
        raise InvalidRequest(f"--blocks is {found.blocks!r}; numbers with commas between them are needed.") from None
    wish = Merge(first, second, third, found.share, blocks, found.dtype, found.with_vae)
    done = merge_models(wish, found.output, force=found.force)
    if found.json:
        say_json({"target": str(done.target), "merged": done.merged, "kept": done.kept})
    else:
        kept = f"; {len(done.kept)} are the first model's alone" if done.kept else ""
        Console(highlight=False).print(f"{done.target.name}: {done.merged} tensors merged{kept}.", markup=False)
    return 0


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB / 10 else f"{count / 2**20:.1f} MiB"
