"""Fetches models from the hub by id: the size is known before it starts, it goes on where it stopped, and what arrives
is checked against the hub's own checksums.

Files lie in our own cache folder in the hub's own layout (blobs, snapshots, refs), so that any other program can read
them. Names, sizes and checksums come from huggingface_hub; the bytes are fetched here, because its own download throws
half a file away when it fails and does not compare checksums.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel, JobCancelled, StudioError, UnknownModel
from modules.sd_models.folders import find_weights, holds_weights, read_parts
from modules.sd_models.header import INDEX
from modules.sd_models.hub_files import HubFile, check_id, choose
from modules.sd_models.transfer import Transfer, is_whole
from modules.support.atomic import write_text
from modules.support.offline import is_forbidden

COMMIT = re.compile(r"[0-9a-f]{40,64}")
SPARE_BYTES = 64 * 2**20
"""Left free on the disk beyond what the files take."""


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What a download will fetch. Nothing has been written yet."""

    hub_id: str
    revision: str
    """Branch, tag or commit as asked for."""
    commit: str
    files: tuple[HubFile, ...]
    present: int
    """Bytes of these files that are here already."""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files)

    @property
    def missing(self) -> int:
        """Bytes that have to be fetched."""
        return self.bytes - self.present


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """One event of a running download; figures in bytes, of the whole plan."""

    file: str
    done: int
    total: int


Listener = Callable[[DownloadProgress], None]


def _ignore(progress: DownloadProgress) -> None:
    """The listener of a download that nobody watches."""


class Hub:
    """The hub as this installation sees it."""

    def __init__(
        self,
        cache: Path,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        offline: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`cache` is our own folder; `endpoint` None is the public hub; `pause` waits between attempts, in seconds."""
        self._cache = cache
        self._token = token or None
        self._endpoint = endpoint
        self._offline = offline
        self._pause = pause

    def plan_download(
        self, hub_id: str, revision: str | None = None, *, allow: Sequence[str] = (), full_precision: bool = False
    ) -> DownloadPlan:
        """Ask the hub what there is and choose; writes nothing.

        Raises `UnknownModel` when the hub has no such model or revision, or none for this token, or when we are
        offline; `BrokenModel` when it holds no safetensors; `StudioError` when the hub cannot be reached.
        """
        check_id(hub_id, revision)
        if self._offline or is_forbidden():
            raise UnknownModel(self._offline_answer(hub_id, revision))
        info = self._ask(hub_id, revision)
        commit = str(info.sha or "")
        if not COMMIT.fullmatch(commit):
            raise BrokenModel(f"The hub gave no proper commit for {hub_id}.")
        files = choose([_file(sibling) for sibling in info.siblings or ()], allow=allow, full_precision=full_precision)
        present = sum(file.size for file in files if self._is_present(hub_id, commit, file))
        partial = sum(
            min(self._partial(hub_id, file), file.size) for file in files if not self._is_present(hub_id, commit, file)
        )
        return DownloadPlan(hub_id, revision or "main", commit, files, present + partial)

    def download(
        self, plan: DownloadPlan, *, progress: Listener = _ignore, cancelled: threading.Event | None = None
    ) -> Path:
        """Fetch what is missing and return the model's folder, or the file when the plan is one file without index.

        A download that was cut off, in this process or an earlier one, goes on where it stopped. Raises `BrokenModel`
        when a checksum is wrong (the file is removed), `JobCancelled` once `cancelled` is set (what came is kept),
        `StudioError` when the connection stays broken or the disk is too full.
        """
        self._check_room(plan)
        store = self._repository(plan.hub_id)
        snapshot = store / "snapshots" / plan.commit
        done = 0
        for file in plan.files:
            if not self._is_present(plan.hub_id, plan.commit, file):
                base = done

                def advance(count: int, name: str = file.name, base: int = base) -> None:
                    if cancelled is not None and cancelled.is_set():
                        raise JobCancelled(f"The download of {plan.hub_id} was stopped; it can go on later.")
                    progress(DownloadProgress(name, base + count, plan.bytes))

                blob = store / "blobs" / file.key
                if not is_whole(blob, file):
                    self._transfer(plan, file).run(blob, advance)
                _link(blob, snapshot / file.name)
            done += file.size
            progress(DownloadProgress(file.name, done, plan.bytes))
        if plan.revision != plan.commit and "/" not in plan.revision:
            write_text(store / "refs" / plan.revision, plan.commit)
        single = len(plan.files) == 1 and plan.files[0].name != INDEX
        return snapshot / plan.files[0].name if single else snapshot

    def _ask(self, hub_id: str, revision: str | None) -> Any:
        import httpx2
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        try:
            return api.model_info(hub_id, revision=revision, files_metadata=True)
        except GatedRepoError as error:
            raise UnknownModel(
                f"{hub_id} asks for consent: accept its terms on the hub and give a token of that account."
            ) from error
        except RepositoryNotFoundError as error:
            hint = "the token given does not open it" if self._token else "if it is private, give a token"
            raise UnknownModel(f"The hub has no model {hub_id}, or {hint}.") from error
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code == 404:
                raise UnknownModel(f"{hub_id} has no revision {revision!r}.") from error
            raise StudioError(f"The hub answered for {hub_id}: {_first_line(error)}") from error
        except (httpx2.HTTPError, OSError) as error:
            raise StudioError(f"The hub cannot be reached: {_first_line(error)}") from error

    def _transfer(self, plan: DownloadPlan, file: HubFile) -> Transfer:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        url = hf_hub_url(plan.hub_id, file.name, revision=plan.commit, endpoint=self._endpoint)
        headers = build_hf_headers(token=self._token or False)
        return Transfer(url, headers, file, self._pause)

    def _repository(self, hub_id: str) -> Path:
        return self._cache / f"models--{hub_id.replace('/', '--')}"

    def _is_present(self, hub_id: str, commit: str, file: HubFile) -> bool:
        """Only checked files are ever linked into a snapshot, so one that is there with its size is whole."""
        path = self._repository(hub_id) / "snapshots" / commit / file.name
        return path.is_file() and path.stat().st_size == file.size

    def _partial(self, hub_id: str, file: HubFile) -> int:
        blobs = self._repository(hub_id) / "blobs"
        for path in (blobs / file.key, blobs / f"{file.key}.incomplete"):
            if path.is_file():
                return path.stat().st_size
        return 0

    def _check_room(self, plan: DownloadPlan) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._cache).free
        if plan.missing + SPARE_BYTES > free:
            raise StudioError(
                f"{plan.hub_id} needs {plan.missing / 2**30:.1f} GiB more and the disk of {self._cache} has "
                f"{free / 2**30:.1f} GiB free."
            )

    def _offline_answer(self, hub_id: str, revision: str | None) -> str:
        """What is missing of a model and where it goes, for somebody who cannot fetch it now."""
        store = self._repository(hub_id)
        ref = store / "refs" / (revision or "main")
        commit = ref.read_text("utf-8").strip() if ref.is_file() else revision or ""
        snapshot = store / "snapshots" / commit
        begin = f"{hub_id} cannot be fetched while offline"
        if not COMMIT.fullmatch(commit) or not (snapshot / INDEX).is_file():
            name = hub_id.rpartition("/")[2]
            return f"{begin}: {INDEX} is missing; put the model's folder into models/checkpoints/{name}."
        try:
            for name, part in read_parts(snapshot)[1].items():
                if holds_weights(name):
                    find_weights(part.path)
        except BrokenModel as error:
            return f"{begin}: {error.message.rstrip('.')}; put it into {snapshot}."
        return f"{begin}, but it is here already; it needs no download."


def _file(sibling: Any) -> HubFile:
    lfs = sibling.lfs
    sha256 = getattr(lfs, "sha256", None)
    size = sibling.size if sibling.size is not None else getattr(lfs, "size", None)
    if not isinstance(size, int) or size < 0:
        raise BrokenModel(f"The hub does not tell the size of {sibling.rfilename}.")
    for digest in (sha256, sibling.blob_id):
        if digest is not None and not COMMIT.fullmatch(str(digest)):
            raise BrokenModel(f"The hub gives an impossible checksum for {sibling.rfilename}.")
    return HubFile(sibling.rfilename, size, sha256, None if sha256 else sibling.blob_id)


def _link(blob: Path, target: Path) -> None:
    """Show the blob under its name in the snapshot; as a copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    up = Path(*[".."] * (len(target.relative_to(blob.parent.parent).parts) - 1))
    try:
        target.symlink_to(up / "blobs" / blob.name)
    except OSError:
        shutil.copyfile(blob, target)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
