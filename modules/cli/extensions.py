"""`launch.py ext`: begin an extension, see whether one can be loaded, bring one in and take it out again."""

from __future__ import annotations

import argparse
import dataclasses
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from modules.bootstrap.options import Options
from modules.contracts.errors import ExtensionFailed, InvalidRequest
from modules.contracts.installing import Change, Source
from modules.scripts.desk import ScriptDesk
from modules.scripts.installation.sources import MOST_BYTES, NAME
from modules.scripts.loading import Extension, find_extensions
from modules.shelves import open_installer, open_shelf
from modules.support.commands import Commands, run_command, say_json
from modules.support.paths import Paths

TEMPLATE = {
    "metadata.ini": "[Extension]\nName = {name}\n",
    "scripts/{module}.py": '''"""What {name} does."""

from modules.scripts.v1 import Number, Script


class {kind}(Script):
    title = "{name}"
    amount = Number("Amount", 0.0, minimum=0.0, maximum=1.0, step=0.05)

    def picture(self, job, facts, image):
        """Every finished picture comes through here; None leaves it as it is."""
        if job.values["amount"] == 0:
            return None
        grey = image.convert("L").convert("RGB")
        from PIL import Image

        return Image.blend(image, grey, job.values["amount"])
''',
}
"""Files of a new extension by their places."""


def run(argv: Sequence[str], options: Options) -> int:
    """Run one command line and return its exit code; errors are one sentence on standard error."""
    return run_command(_parser(), argv, options)


def _parser() -> argparse.ArgumentParser:
    commands = Commands("ext", "Extensions.")
    new = commands.add("new", _new, "begin an extension with one script that works")
    new.add_argument("name", metavar="NAME")
    check = commands.add("check", _check, "load an extension as the studio would, and say what is in it")
    check.add_argument("path", metavar="PATH", type=Path, help="its folder")
    trial = commands.add("test", _test, "draw with one on the embedded model, and run the tests that it brings")
    trial.add_argument("name", metavar="NAME", help="of a folder in --extensions-dir")
    install = commands.add("install", _install, "bring an extension in, with the libraries that it needs")
    install.add_argument("source", metavar="SOURCE", help="a folder, a zip file, or https://, ssh:// or file:// of git")
    install.add_argument("--commit", default="", metavar="COMMIT", help="commit, branch or tag of the repository")
    install.add_argument(
        "--follow", metavar="BRANCH", help="branch or tag that updates take, where --commit is one of it"
    )
    install.add_argument("--name", default="", metavar="NAME", help="what it is to be called")
    update = commands.add("update", _update, "fetch one again from where it came")
    remove = commands.add("remove", _remove, "take one out")
    for each in (update, remove):
        each.add_argument("name", metavar="NAME")
    for each in (install, update, remove):
        each.add_argument("--dry-run", action="store_true", help="say what would be different, and change nothing")
    commands.add("list", _list, "list those that were installed, with where from and which commit")
    commands.add("rollback", _rollback, "undo the newest install, update or remove")
    return commands.parser


def _new(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    name: str = found.name
    if not NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r:.80} cannot be a name; letters, digits, - and _ are allowed, a letter first.")
    folder = options.paths.extensions_dir / name
    if folder.exists():
        raise InvalidRequest(f"There is an extension {name} already.")
    words = {
        "name": name,
        "module": re.sub("[^a-z0-9]", "_", name.lower()),
        "kind": "".join(part.capitalize() for part in re.split("[-_]", name)),
    }
    for place, text in TEMPLATE.items():
        file = folder / place.format(**words)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(**words), "utf-8")
    say_json({"extension": name, "files": [place.format(**words) for place in TEMPLATE]})
    return 0


def _check(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    """Raises `ExtensionFailed` with the traceback of one that cannot be loaded."""
    folder: Path = found.path.resolve()
    known = find_extensions([folder.parent], []) if folder.is_dir() else []
    if not any(one.name == folder.name for one in known):
        raise InvalidRequest(f"{found.path.name} is no folder of an extension.")
    with tempfile.TemporaryDirectory() as kept:
        shelf = open_shelf(options, paths, [folder.parent], Path(kept))
        try:
            shelf.scan(only=folder.name)
            extension = shelf.get(folder.name)
            _complain(extension)
            (entry,) = ScriptDesk(shelf).entries()
            rows = [
                {"title": one.title, "always_on": one.always_on, "parameters": [item.name for item in one.parameters]}
                for one in entry.scripts
            ]
            say_json({"extension": entry.name, "seconds": round(entry.seconds, 3), "scripts": rows})
        finally:
            shelf.close()
    return 0


def _complain(extension: Extension) -> None:
    if extension.error:
        raise ExtensionFailed(f"{extension.error}.\n{extension.trace}".rstrip())
    if not extension.scripts:
        raise ExtensionFailed(f"{extension.name} has no script: scripts/*.py has no class that is a Script.")


def _test(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    from modules.cli import extension_trial

    return extension_trial.test(found, options, paths)


def _install(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    given: str = found.source
    if "://" in given:
        source = Source(address=given, commit=found.commit, follow=found.follow, name=found.name, local=True)
    elif Path(given).is_dir():
        source = Source(Path(given), name=found.name, local=True)
    else:
        source = Source(archive=_read(Path(given)), name=found.name or Path(given).stem, local=True)
    return _say(open_installer(options).install(source, dry_run=found.dry_run), found)


def _read(path: Path) -> bytes:
    """The zip file's bytes. Raises `InvalidRequest`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidRequest(f"{path.name} is larger than an extension may be ({MOST_BYTES >> 20} MiB).")
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} is no folder, no address and no file that can be read.") from error


def _update(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    return _say(open_installer(options).update(found.name, dry_run=found.dry_run, local=True), found)


def _remove(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    return _say(open_installer(options).remove(found.name, dry_run=found.dry_run), found)


def _rollback(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    return _say(open_installer(options).rollback(), found)


def _list(found: argparse.Namespace, options: Options, paths: Paths) -> int:
    rows = [dataclasses.asdict(one) for one in open_installer(options).installed()]
    if found.json:
        say_json(rows)
        return 0
    console = Console(highlight=False)
    for row in rows:
        words = (row["name"], row["address"] or row["kind"], row["commit"], ", ".join(row["requirements"]))
        console.print("  ".join(filter(None, words)), markup=False, soft_wrap=True)
    return 0


DONE = {"install": "installed", "update": "updated", "remove": "removed", "rollback": "undone"}
"""What was done, in words."""


def _say(change: Change, found: argparse.Namespace) -> int:
    if found.json:
        say_json(dataclasses.asdict(change))
        return 0
    console = Console(highlight=False)

    def tell(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    done = DONE[change.action] if change.done else f"would be {DONE[change.action]}"
    tell(f"{change.name}: {done}" + (f", from {change.source}" if change.source else ""))
    if change.commit:
        tell(f"  commit {change.commit}")
    if change.files:
        tell(f"  {change.files} files, {change.bytes / 2**20:.1f} MiB")
    for package in change.packages:
        tell(f"  {package.name}: {package.before or 'none'} -> {package.after or 'none'}")
    if change.runs:
        tell(f"  carried out by themselves: {', '.join(change.runs)}")
    for note in change.notes:
        tell(f"  {note}")
    return 0
