"""Libraries that an extension asks for: lines like those of `requirements.txt`, and nothing but a name and versions.

A line that names another index, a file or an address is refused: where libraries come from is the installation's
business, and an extension that names a place of its own could bring anything under any name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from modules.contracts.errors import InvalidRequest

FILES = ("requirements.txt", "pyproject.toml")
"""Where an extension says it; the first that is there counts."""
_WISH = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"\s*(?:\[[A-Za-z0-9._,\s-]*\])?"
    r"\s*(?P<versions>\(?[<>=!~][^;@]*)?"
    r"\s*(?:;.*)?"
)
_OPTION = re.compile(r"(?:^|\s)-")


def read_wishes(folder: Path) -> tuple[str, ...]:
    """What the extension in that folder asks for. Raises `InvalidRequest` for what is no name with versions."""
    plain, project = (folder / name for name in FILES)
    try:
        if plain.is_file():
            return check_wishes(_lines(plain.read_text("utf-8-sig")), plain.name)
        if project.is_file():
            told = tomllib.loads(project.read_text("utf-8")).get("project", {}).get("dependencies", [])
            return check_wishes(map(str, told), project.name)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError) as error:
        raise InvalidRequest(f"What the extension needs cannot be read: {error}.") from error
    return ()


def check_wishes(lines: Iterable[str], place: str) -> tuple[str, ...]:
    """The lines, in order, each once. Raises `InvalidRequest` naming `place`."""
    found: dict[str, None] = {}
    for line in lines:
        wish = line.strip().replace("\t", " ")
        # It becomes a line of a file for uv: a line break, or a word that is an option, would be more than a wish.
        if not wish.isprintable() or _OPTION.search(wish) or not _WISH.fullmatch(wish):
            raise InvalidRequest(
                f"{place} asks for {wish!r:.120}; a library's name with versions is all that may stand there."
            )
        found[wish] = None
    return tuple(found)


def normalised(name: str) -> str:
    """A library's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _lines(text: str) -> list[str]:
    bare = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in bare if line]
