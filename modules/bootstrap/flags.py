"""The one declaration of the command line, used by launch.py before the environment exists, by modules.cli inside it.

Every command has its own small parser; the groups of flags that several commands share are added by the functions here.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from modules.bootstrap import options as opt

COMMANDS = {
    "serve": "open the page and the API (the default)",
    "generate": "draw a picture from a prompt into a file",
    "upscale": "make finished pictures larger",
    "grid": "draw an experiment out of a YAML or JSON file",
    "models": "list, inspect, pull, convert or merge models; keep the token for the hub",
    "networks": "list and inspect LoRA and embeddings, extract one from two models, write some into a model",
    "ext": "begin, check, test, install, update or remove an extension",
    "verify": "draw a kept picture again and say how far it comes out the same",
    "users": "accounts: add, change or remove users; tokens, tiers, credits",
    "doctor": "hardware, versions, memory, disk; what is missing and how to get it",
    "bench": "measure speed; without a name it lists the benchmarks",
    "pocket": "train, evaluate or sample the embedded model",
    "test": "format check, lint, types, import contracts and tests; with arguments pytest alone",
}

EXTRAS = ("kolors", "postgres", "quant", "redis", "socketio", "upscale", "video")
"""Extras that a person may ask for by name; that of the tests comes with `test`."""

BARE = frozenset({"pocket", "test"})
"""Commands whose arguments are all their own: nothing of them is read here."""

OPEN = frozenset({"bench", "ext", "models", "networks", "users", "verify"})
"""Commands that take the shared flags and hand on what is left, their own --help included."""

WORDLESS = frozenset({"serve", "doctor"})
"""Commands that take flags alone."""

USE_CPU = "--use-cpu"
USAGE_ERROR = 2


@dataclass(frozen=True)
class Command:
    """One parsed command line: its name, the checked options, its own arguments, and what is handed on unread."""

    name: str
    options: opt.Options = field(default_factory=opt.Options)
    arguments: argparse.Namespace = field(default_factory=argparse.Namespace)
    rest: tuple[str, ...] = ()


class _Parser(argparse.ArgumentParser):
    """Ends with one sentence instead of a screen of usage; flags are never guessed from their beginnings."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message}\nSee: {self.prog} --help\n")


def parse(argv: Sequence[str]) -> Command:
    """Reads a command line. Exits with code 2 and one sentence when it is wrong, with 0 after --help."""
    name, words = _split(argv)
    if name in BARE:
        return Command(name, rest=tuple(words))
    if name in WORDLESS:
        words = _join_parts(words)
    parser = _parser(name)
    found, rest = parser.parse_known_args(words)
    try:
        options = _options(found)
        if rest and name == "serve" and _has_flags(options.paths.extensions_dir):
            options = replace(options, run=replace(options.run, words=tuple(rest)))
        elif rest and name not in OPEN:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return Command(name, options, found, tuple(rest))
    except opt.OptionError as error:
        parser.error(str(error))


def _has_flags(extensions: Path) -> bool:
    """Whether any extension may bring flags; which, only the studio's own process finds out."""
    return any(extensions.glob("*/preload.py"))


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    words = list(argv)
    if not words or words[0].startswith("-"):
        return "serve", words
    if words[0] not in COMMANDS:
        sys.stderr.write(f"launch.py: '{words[0]}' is not a command; there are {', '.join(COMMANDS)}.\n")
        raise SystemExit(USAGE_ERROR)
    return words[0], words[1:]


def _join_parts(words: Sequence[str]) -> list[str]:
    """`--use-cpu all sd`, as A1111 takes it, becomes `--use-cpu all,sd`.

    Only where a command has no words of its own: elsewhere the flag would swallow the prompt.
    """
    joined: list[str] = []
    open_flag = False
    for word in words:
        if open_flag and not word.startswith("-") and joined[-1] != USE_CPU:
            joined[-1] += f",{word}"
            continue
        open_flag = word == USE_CPU or (open_flag and not word.startswith("-"))
        joined.append(word)
    return joined


def _parser(name: str) -> argparse.ArgumentParser:
    listing = "\n".join(f"  {command:<10}{text}" for command, text in COMMANDS.items())
    is_serve = name == "serve"
    parser = _Parser(
        prog="launch.py" if is_serve else f"launch.py {name}",
        usage="launch.py [COMMAND] [FLAGS]" if is_serve else None,
        description=f"commands:\n{listing}\n\nflags of serve:" if is_serve else COMMANDS[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=name not in OPEN,
        allow_abbrev=False,
    )
    for add in _GROUPS[name]:
        add(parser)
    return parser


def add_network(parser: argparse.ArgumentParser) -> None:
    """Flags of a listening server."""
    group = parser.add_argument_group("network")
    group.add_argument("--host", help="address to listen on (127.0.0.1)")
    group.add_argument("--port", type=int, help="port to listen on (7860; 7861 with --nowebui)")
    group.add_argument("--listen", action="store_true", help="listen on 0.0.0.0; needs an account or --api-auth")
    group.add_argument("--api", action=argparse.BooleanOptionalAction, default=True, help="the HTTP API (on)")
    group.add_argument("--nowebui", action="store_true", help="the API without the page")
    group.add_argument("--api-auth", metavar="USER:PASSWORD", help="who may use it; several separated by commas")
    group.add_argument("--subpath", default="", help="address prefix behind a reverse proxy, such as /atelier")
    group.add_argument("--cors-allow-origins", metavar="ORIGINS", help="other sites allowed to call the API, by comma")
    group.add_argument("--api-server-stop", action="store_true", help="let admins stop and restart it over the API")


def add_studio(parser: argparse.ArgumentParser) -> None:
    """Flags of everything that opens models: folders, hardware, behaviour of the process."""
    paths = parser.add_argument_group("files")
    paths.add_argument("--data-dir", metavar="DIR", help="settings, queue, gallery, pictures (data/)")
    paths.add_argument(
        "--database-url", metavar="URL", help="jobs and gallery in PostgreSQL: postgresql://USER@HOST/NAME"
    )
    paths.add_argument(
        "--counters-url", metavar="URL", help="limits a minute counted in Redis or Valkey: redis://HOST/0 (in memory)"
    )
    paths.add_argument("--models-dir", metavar="DIR", help="weights by kind (models/)")
    paths.add_argument("--extensions-dir", metavar="DIR", help="extensions, a folder each (extensions/)")
    paths.add_argument("--ckpt", metavar="MODEL", help="model to open first: a name, a file, a folder or a hub id")
    paths.add_argument("--vae", metavar="VAE", help="VAE to use in place of the model's own")
    device = parser.add_argument_group("hardware")
    device.add_argument("--no-half", action="store_true", help="compute in 32 bits")
    device.add_argument(
        USE_CPU, action="append", metavar="PART,…", help=f"parts to keep on the CPU: {', '.join(opt.PARTS)}"
    )
    device.add_argument("--device-id", metavar="ID", help="which device, as the doctor lists them")
    memory = device.add_mutually_exclusive_group()
    memory.add_argument("--medvram", action="store_true", help="move whole models out of video memory when idle")
    memory.add_argument("--lowvram", action="store_true", help="move single layers; slow, smallest memory")
    attention = device.add_mutually_exclusive_group()
    attention.add_argument("--attention", metavar="NAME", help=f"how it is computed: {', '.join(opt.ATTENTIONS)}")
    for flag, name in opt.ATTENTION_FLAGS.items():
        attention.add_argument(flag, dest="attention", action="store_const", const=name, help=f"--attention {name}")
    run = parser.add_argument_group("process")
    run.add_argument("--offline", action="store_true", help="open no socket but loopback, ever")
    run.add_argument("--lanes", type=int, default=opt.RunOptions.lanes, metavar="N", help="jobs drawn at a time (8)")
    run.add_argument("--extra", action="append", default=[], choices=EXTRAS, help="install this extra first, once")
    run.add_argument("--log-json", action="store_true", help="log as JSON lines")
    run.add_argument("--safe-mode", action="store_true", help="load no extensions and no scripts of your own")


RECIPE = {
    "--negative": "prompt.negative",
    "--seed": "seeds.seed",
    "--steps": "sampling.steps",
    "--sampler": "sampling.sampler",
    "--scheduler": "sampling.scheduler",
    "--cfg": "sampling.cfg_scale",
    "--width": "canvas.width",
    "--height": "canvas.height",
    "--batch": "canvas.batch_size",
    "--model": "model.checkpoint",
    "--denoise": "image.denoising_strength",
}
"""Flags of `generate` and the declared parameters they set; type, words and bounds come from the declaration."""


def add_generate(parser: argparse.ArgumentParser) -> None:
    """The recipe of a picture. What is left out takes the default that the request declares."""
    parser.add_argument("prompt", metavar="PROMPT")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", type=Path, help="several: FILE-1.png, …")
    recipe = parser.add_argument_group("recipe")
    _add_declared(recipe, RECIPE)
    recipe.add_argument("--init", type=Path, metavar="IMAGE", help="picture to start from")
    recipe.add_argument("--mask", type=Path, metavar="IMAGE", help="white is drawn anew; needs --init")


def _add_declared(group: argparse._ArgumentGroup, flags: Mapping[str, str]) -> None:
    """Flags that set declared parameters."""
    from modules.contracts.request import parameters

    by_name = {item.name: item for item in parameters()}
    for flag, name in flags.items():
        item = by_name[name]
        kind = item.annotation.partition(" ")[0]
        convert = {"int": int, "float": float}.get(kind, str)
        bounds = (
            "" if item.param.minimum is None else f", {item.param.minimum:g} to {item.param.maximum or math.inf:.15g}"
        )
        default = "" if item.default in (None, "") else f" ({item.default})"
        text = f"{item.param.label}{bounds}{default}".replace("%", "%%")
        group.add_argument(flag, dest=name, type=convert, metavar=kind[:5].upper(), help=text)


ENLARGE = {
    "--upscaler": "enlarge.upscaler",
    "--by": "enlarge.scale",
    "--width": "enlarge.width",
    "--height": "enlarge.height",
    "--second": "enlarge.second",
    "--second-visibility": "enlarge.second_share",
    "--face-restorer": "enlarge.restorer",
    "--face-visibility": "enlarge.restorer_share",
    "--face-weight": "enlarge.restorer_weight",
}
"""Flags of `upscale` and the declared parameters they set."""


def add_upscale(parser: argparse.ArgumentParser) -> None:
    """What is to be made larger, how, and where it goes."""
    parser.add_argument("pictures", metavar="FILE", type=Path, nargs="+")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", type=Path, help="several: FILE-1.png, …")
    _add_declared(parser.add_argument_group("how"), ENLARGE)
    parser.add_argument("--no-crop", action="store_true", help="keep what goes beyond --width and --height")


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Which experiment, and where its results go; or what is to be done with earlier ones."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="request, axes, exclude and name, as docs/experiments.md"
    )
    which.add_argument("--list", action="store_true", help="say which experiments of the terminal there are")
    which.add_argument("--resume", metavar="ID", help="draw what is missing of a stopped, cancelled or failed one")
    which.add_argument("--remove", metavar="ID", help="take one away")
    which.add_argument("--prune", action="store_true", help="take away ended ones beyond --keep-days and --keep-number")
    parser.add_argument("--keep-days", type=float, default=0.0, metavar="DAYS", help="of --prune; 0 is no bound")
    parser.add_argument("--keep-number", type=int, default=0, metavar="NUMBER", help="of --prune; 0 is no bound")
    parser.add_argument("--with-pictures", action="store_true", help="what is removed takes its pictures along")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="for sheets, page and tables (FILE without end)"
    )
    parser.add_argument("--dry-run", action="store_true", help="of FILE: say how many cells it has and what they take")


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Flags of the report on this machine."""
    parser.add_argument("--json", action="store_true", help="the report as JSON")


_GROUPS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], ...]] = {
    "serve": (add_network, add_studio),
    "generate": (add_generate, add_studio),
    "upscale": (add_upscale, add_studio),
    "grid": (add_grid, add_studio),
    "doctor": (add_doctor, add_studio),
    "models": (add_studio,),
    "networks": (add_studio,),
    "ext": (add_studio,),
    "users": (add_studio,),
    "verify": (add_studio,),
    "bench": (add_studio,),
}


def _options(found: argparse.Namespace) -> opt.Options:
    network = _network(found) if hasattr(found, "host") else opt.NetworkOptions()
    if found.lanes < 1:
        raise opt.OptionError(f"--lanes: {found.lanes} is too few; allowed is 1 or more.")
    run = opt.RunOptions(lanes=found.lanes, offline=found.offline, log_json=found.log_json, safe_mode=found.safe_mode)
    opt.check_network(network, run.offline)
    vram: opt.VramMode = "lowvram" if found.lowvram else "medvram" if found.medvram else "normal"
    return opt.Options(
        network=network,
        paths=opt.PathOptions(
            data_dir=_folder(found.data_dir, opt.PathOptions.data_dir),
            models_dir=_folder(found.models_dir, opt.PathOptions.models_dir),
            checkpoint=found.ckpt,
            vae=found.vae,
            extensions_dir=_folder(found.extensions_dir, opt.PathOptions.extensions_dir),
            database_url=opt.parse_database_url(found.database_url),
            counters_url=opt.parse_counters_url(found.counters_url),
        ),
        device=opt.DeviceOptions(
            use_cpu=opt.parse_parts(found.use_cpu),
            device_id=found.device_id,
            no_half=found.no_half,
            vram=vram,
            attention=None if found.attention is None else opt.parse_attention(found.attention),
        ),
        run=run,
    )


def _network(found: argparse.Namespace) -> opt.NetworkOptions:
    if found.listen and found.host:
        raise opt.OptionError(f"--listen means --host 0.0.0.0 and --host says {found.host}; give one of them.")
    default_port = opt.API_ONLY_PORT if found.nowebui else opt.WEB_PORT
    return opt.NetworkOptions(
        host="0.0.0.0" if found.listen else found.host or opt.NetworkOptions.host,
        port=default_port if found.port is None else found.port,
        api=found.api,
        webui=not found.nowebui,
        api_auth=opt.parse_api_auth(found.api_auth),
        subpath=opt.parse_subpath(found.subpath),
        cors_allow_origins=tuple(part.strip() for part in (found.cors_allow_origins or "").split(",") if part.strip()),
        api_server_stop=found.api_server_stop,
    )


def _folder(given: str | None, default: Path) -> Path:
    return Path(given).expanduser().resolve() if given else default
