"""`launch.py ext`: begin an extension, and see whether one can be loaded."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modules.bootstrap.options import Options
from modules.contracts.errors import ExtensionFailed, InvalidRequest
from modules.scripts.desk import ScriptDesk
from modules.scripts.loading import Extension, find_extensions
from modules.scripts.shelf import ScriptShelf
from modules.support.commands import Commands, run_command, say_json
from modules.support.paths import Paths

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
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
        shelf = ScriptShelf([folder.parent], [], Path(kept))
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
