"""`launch.py networks`: what there is and what a file is, a LoRA made of two models, networks written into a model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from modules.bootstrap.options import Options
from modules.contracts.errors import InvalidRequest
from modules.contracts.networks import NetworkEntry, NetworkKind
from modules.networks.catalog import NetworkCatalog
from modules.sd_models.catalog import StudioCatalog, Tables
from modules.sd_models.families import load_families
from modules.sd_models.header import read_header
from modules.support.commands import Commands, run_command, say_json, show_unusable
from modules.support.paths import Paths

KINDS: tuple[NetworkKind, ...] = ("lora", "embedding")


def run(argv: Sequence[str], options: Options) -> int:
    """Run one command line and return its exit code; errors are one sentence on standard error."""
    return run_command(_parser(), argv, options)


def _parser() -> argparse.ArgumentParser:
    commands = Commands("networks", "LoRA and its kin, and embeddings.")
    add = commands.add
    add("list", _list, "the networks there are")
    look = add("inspect", _inspect, "what a network is, with its trigger words and hashes")
    look.add_argument("name", metavar="NAME")
    look.add_argument("--kind", choices=KINDS, default="lora", help="lora (the default) or embedding")
    make = add("extract", _extract, "make a LoRA of what one model has learnt over another")
    make.add_argument("original", metavar="ORIGINAL", type=Path, help="file or folder of the model that was trained on")
    make.add_argument("tuned", metavar="TUNED", type=Path, help="file or folder of what was made of it")
    make.add_argument("-o", "--output", metavar="FILE", type=Path, required=True)
    make.add_argument("--rank", type=int, default=32, help="components of each layer (32)")
    make.add_argument("--dtype", default="float16", help="float16 (the default), bfloat16 or float32")
    make.add_argument("--force", action="store_true", help="replace the file if it is there")
    write = add("bake", _bake, "write networks into a model's weights, as a diffusers folder")
    write.add_argument("model", metavar="MODEL", help="name of the model")
    write.add_argument("networks", metavar="NETWORK[:WEIGHT[:TEXT]]", nargs="+", help="name, weight, text encoders'")
    write.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True)
    write.add_argument("--dtype", default="float16", help="float16 (the default), bfloat16 or float32")
    write.add_argument("--force", action="store_true", help="replace the folder if it is there")
    return commands.parser


def _list(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    networks = NetworkCatalog(paths)
    entries = [entry for kind in KINDS for entry in networks.list(kind)]
    networks.close()
    if found.json:
        say_json([_row(entry) for entry in entries])
        return 0
    table = Table(Column("name", overflow="fold"), "kind", "method", "for", "size", "words")
    for entry in entries:
        if entry.problem is None:
            facts = entry.facts
            words = ", ".join(word for word, _ in facts.words[:3])
            size = "–" if facts.size is None else str(facts.size)
            shown = (entry.kind, "+".join(facts.methods), facts.base or "–", size, escape(words))
            table.add_row(escape(entry.name), *shown)
    Console(highlight=False).print(table)
    show_unusable(entries)
    return 0


def _inspect(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    networks = NetworkCatalog(paths)
    entry = networks.wait(networks.find(found.kind, found.name))
    row = {**_row(entry), "tensors": len(read_header(entry.path).tensors), "metadata": dict(entry.facts.metadata)}
    if found.json:
        say_json(row)
        return 0
    table = Table(show_header=False)
    for key, value in row.items():
        table.add_row(key, escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    Console().print(table)
    return 0


def _extract(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    from modules.networks.extraction import Extract, extract_network

    for path in (found.original, found.tuned):
        if not path.exists():
            raise InvalidRequest(f"There is no file or folder {path}.")
    wish = Extract(found.original, found.tuned, found.rank, found.dtype)
    done = extract_network(wish, found.output, force=found.force)
    if found.json:
        say_json({"target": str(done.target), "layers": done.layers, "kept": done.kept})
    else:
        told = f"{done.target.name}: {done.layers} layers, {done.kept:.1%} of the difference."
        Console(highlight=False).print(told, markup=False)
    return 0


def _bake(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    from modules.networks.baking import Ingredient, bake_networks

    catalog = StudioCatalog(paths, Tables(families=load_families(paths.configs / "families.json")), given=options.paths)
    model, networks = catalog.find_model(found.model), NetworkCatalog(paths)
    wanted = []
    for text in found.networks:
        name, *weights = text.split(":")
        numbers = [_number(text, weight) for weight in weights] or [1.0]
        wanted.append(Ingredient(networks.find("lora", name), numbers[0], numbers[-1]))
    folders = tuple(paths.models_of(kind) for kind in ("checkpoints", "text-encoders", "vae"))
    family = catalog.family(str(model.family))
    made = bake_networks(model, family, wanted, found.output, dtype=found.dtype, folders=folders, force=found.force)
    networks.close()
    catalog.close()
    if found.json:
        say_json({"target": str(made), "networks": [each.entry.name for each in wanted]})
    else:
        Console(highlight=False).print(f"The model lies in {made}.", markup=False)
    return 0


def _number(text: str, weight: str) -> float:
    try:
        return float(weight)
    except ValueError:
        raise InvalidRequest(f"{text!r} has the weight {weight!r}; a number is needed.") from None


def _row(entry: NetworkEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "alias": entry.alias,
        "file": str(entry.path),
        "methods": list(entry.facts.methods),
        "base": entry.facts.base,
        "size": entry.facts.size,
        "words": [[word, count] for word, count in entry.facts.words],
        "sha256": entry.sha256,
        "autov2": entry.sha256[:10] if entry.sha256 else None,
        "data_hash": entry.data_hash,
        "stated_hash": entry.facts.metadata.get("sshs_model_hash"),
        "size_bytes": entry.size_bytes,
        "problem": entry.problem,
    }
