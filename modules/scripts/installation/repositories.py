"""One commit of a git repository, without its history, hooks, links and parts from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modules.bootstrap import variables
from modules.contracts.errors import InvalidRequest, NotReady
from modules.contracts.installing import Source
from modules.scripts.installation.processes import carry_out

SECONDS = 300.0
"""How long git may take."""
MOST_BYTES = 512 << 20
"""Of what git fetches and lays out, while it is at it; what is left of a commit for an extension is less."""
REMOTE = ("https", "ssh")
"""Ways to a repository that anybody may name; from the terminal also `file`."""
_COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,199}")
_HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Clone:
    """A work tree, and where it stands."""

    folder: Path
    name: str
    commit: str
    """In full."""


def clone(source: Source, folder: Path, *, offline: bool) -> Clone:
    """Fetch the commit that `source` names. Raises `InvalidRequest` for what may not be, `NotReady` if git fails."""
    name = _check(source, offline=offline)
    wanted = source.commit or "HEAD"
    folder.mkdir(parents=True)
    # Links become plain files with a line in them, so no checkout can write through one.
    _git(["init", "--quiet", "--template="], folder)
    for key, value in (("core.symlinks", "false"), ("core.hooksPath", ""), ("core.fsmonitor", "false")):
        _git(["config", key, value], folder)
    _git(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", source.address, wanted], folder)
    _git(["checkout", "--quiet", "--detach", "FETCH_HEAD"], folder)
    return Clone(folder, name, _git(["rev-parse", "HEAD"], folder).strip())


def _check(source: Source, *, offline: bool) -> str:
    """The repository's own name. Raises `InvalidRequest`."""
    allowed = (*REMOTE, "file") if source.local else REMOTE
    try:
        parts = urlsplit(source.address)
        host = parts.netloc.rpartition("@")[2].partition(":")[0]
    except ValueError as error:
        raise InvalidRequest(f"The address is no address: {error}.") from error
    if parts.scheme not in allowed or any(not mark.isprintable() or mark.isspace() for mark in source.address):
        raise InvalidRequest(f"The address of a git repository begins with one of {', '.join(allowed)}, and ://.")
    if parts.scheme != "file" and not _HOST.fullmatch(host):
        raise InvalidRequest("The address names no host.")
    if parts.password or (parts.scheme == "https" and parts.username):
        raise InvalidRequest("Leave names and passwords out of the address; git asks its own keeper of them.")
    for word in (source.commit, source.follow or ""):
        if word and (not _COMMIT.fullmatch(word) or ".." in word):
            raise InvalidRequest(f"{word!r:.80} cannot be a commit, a branch or a tag.")
    if offline and parts.scheme != "file":
        raise InvalidRequest("--offline opens no socket to another machine, so nothing can be fetched from there.")
    return parts.path.rstrip("/").rpartition("/")[2].removesuffix(".git")


def _git(words: Sequence[str], folder: Path) -> str:
    """What git says. It asks nobody anything and takes no other way than those that are allowed."""
    environment = {
        **variables.snapshot(),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
    try:
        done = carry_out(["git", *words], folder, environment, SECONDS, lambda: _weigh(folder))
    except FileNotFoundError as error:
        raise NotReady("git is not installed on this machine; a zip file needs none.") from error
    except subprocess.TimeoutExpired as error:
        raise NotReady(f"git took longer than {SECONDS:g} s.") from error
    if done.returncode:
        said = (done.stderr.strip() or "no reason was given").splitlines()[-1][:300]
        raise NotReady(f"git could not {words[0]} it: {said.rstrip('.')}.")
    return done.stdout


def _weigh(folder: Path) -> None:
    """Raise `InvalidRequest` for more than may be fetched. Files may go while this looks."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(parent, name).lstat().st_size
            except FileNotFoundError:
                continue
    if total > MOST_BYTES:
        raise InvalidRequest(
            f"The repository is larger than {MOST_BYTES / 2**20:g} MiB, the most that is fetched. Nothing was changed."
        )
