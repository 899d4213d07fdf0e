"""Which networks there are: files below the folders for LoRA and embeddings, known by their headers.

Headers are read once for each file as it is and kept in the cache folder, so thousands of files cost a look at their
sizes and times at each start and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel, UnknownModel
from modules.contracts.networks import NetworkEntry, NetworkFacts, NetworkKind
from modules.networks.header import alias_of, facts_of
from modules.networks.parameters import PEFT_CONFIG, is_network
from modules.networks.vector_files import is_embedding, word_of
from modules.sd_models.hashes import HashStore
from modules.sd_models.header import read_header
from modules.sd_models.names import free_name, near_names
from modules.sd_models.scan import find_files, signature
from modules.support.atomic import write_text
from modules.support.paths import Paths

log = logging.getLogger(__name__)
FOLDERS: Mapping[NetworkKind, str] = {"lora": "lora", "embedding": "embeddings"}
REST_SECONDS = 2.0
"""From one look at the folders to the next that somebody asks for, or as long as the last one took, if that is more."""
FORMAT = 2
"""Counts up when what is kept of a header changes."""
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Scanned:
    entries: Mapping[NetworkKind, tuple[NetworkEntry, ...]]
    signatures: Mapping[Path, str]


class NetworkCatalog:
    """Implements `modules.contracts.networks.Networks`. Safe from any thread."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._hashes = HashStore(paths.cache / "network-hashes.json", hash_network)
        self._file = paths.cache / "networks.json"
        self._lock = threading.Lock()
        self._scanned: _Scanned | None = None
        self._due = False
        self._rested = 0.0

    def list(self, kind: NetworkKind) -> tuple[NetworkEntry, ...]:
        """All of one kind, usable ones first, each group by name. Missing hashes are computed in the background."""
        scanned = self._scan()
        for entry in scanned.entries[kind]:
            if entry.problem is None:
                self._hashes.request(scanned.signatures[entry.path], entry.path)
        return tuple(self._hashed(entry, scanned) for entry in scanned.entries[kind])

    def find(self, kind: NetworkKind, name: str) -> NetworkEntry:
        """The network of that name, alias or hash; names go before aliases, exact spelling before any other.

        Raises `UnknownModel` with near names, or `BrokenModel` with the reason.
        """
        scanned = self._scan()
        entry = _match(name.strip(), [self._hashed(entry, scanned) for entry in scanned.entries[kind]])
        if entry is None:
            raise UnknownModel(_nothing_of(kind, name, [entry.name for entry in scanned.entries[kind]]))
        if entry.problem is not None:
            raise BrokenModel(entry.problem)
        return entry

    def wait(self, entry: NetworkEntry, timeout: float | None = None) -> NetworkEntry:
        """The entry with its hashes; without them when the file is gone, or `timeout` seconds are not enough."""
        scanned = self._scan()
        sign = scanned.signatures.get(entry.path)
        return entry if sign is None else _with_hashes(entry, self._hashes.wait(sign, entry.path, timeout))

    def refresh(self) -> None:
        """Look at the folders again, at most every `REST_SECONDS`; a wish that comes sooner is met after that."""
        with self._lock:
            self._due = True
        self._scan()

    def close(self) -> None:
        """Stop hashing after the file that is being read."""
        self._hashes.forget_requests()

    def _scan(self) -> _Scanned:
        with self._lock:
            began = time.monotonic()
            if self._scanned is None or (self._due and began >= self._rested):
                self._due = False
                self._scanned = self._look()
                ended = time.monotonic()
                self._rested = ended + max(REST_SECONDS, ended - began)
            return self._scanned

    def _look(self) -> _Scanned:
        known, kept = self._read_index(), {}
        entries: dict[NetworkKind, tuple[NetworkEntry, ...]] = {}
        signatures: dict[Path, str] = {}
        for kind in FOLDERS:
            rows: dict[str, NetworkEntry] = {}
            for path in self._files(kind):
                try:
                    sign, size = signature(path)
                except OSError:
                    continue  # it went away while we looked
                name = free_name(_stem(path), path.parent.name, rows)
                kept[sign] = row = known.get(sign) or _inspect(kind, path)
                signatures[path] = sign
                rows[name] = _entry(name, kind, path, size, row)
            order = sorted(rows.values(), key=lambda entry: (entry.problem is not None, entry.name.casefold()))
            entries[kind] = tuple(order)
        if kept.keys() != known.keys():
            self._write_index(kept)
        return _Scanned(entries, signatures)

    def _files(self, kind: NetworkKind) -> Iterator[Path]:
        """Those that ship with the program, then the installation's own."""
        shipped = self._paths.pocket / FOLDERS[kind]
        if shipped.is_dir():
            yield from sorted(path for path in shipped.rglob("*.safetensors") if path.is_file())
        yield from (path for path in find_files(self._paths.models, FOLDERS[kind]) if path.is_file())

    def _read_index(self) -> dict[str, dict[str, Any]]:
        try:
            stored = json.loads(self._file.read_text("utf-8"))
            return dict(stored["files"]) if stored["format"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write_index(self, rows: Mapping[str, Any]) -> None:
        try:
            write_text(self._file, json.dumps({"format": FORMAT, "files": rows}, ensure_ascii=False))
        except OSError as error:
            log.warning("what is known of networks could not be kept: %s", error)

    def _hashed(self, entry: NetworkEntry, scanned: _Scanned) -> NetworkEntry:
        return _with_hashes(entry, self._hashes.known(scanned.signatures[entry.path]))


def hash_network(path: Path) -> str:
    """SHA-256 of the file and of what follows its header, in hex with a space between. Raises `OSError`."""
    whole, data = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as stream:
        start = stream.read(8)
        head = stream.read(int.from_bytes(start, "little")) if len(start) == 8 else b""
        whole.update(start + head)
        while block := stream.read(BLOCK):
            whole.update(block)
            data.update(block)
    return f"{whole.hexdigest()} {data.hexdigest()}"


def _inspect(kind: NetworkKind, path: Path) -> dict[str, Any]:
    """What is kept of a file: plain JSON."""
    try:
        header = read_header(path)
    except BrokenModel as error:
        return {"problem": error.message}
    except OSError as error:
        return {"problem": f"{path.name} cannot be read: {error.strerror}."}
    shapes = header.shapes
    if kind == "lora" and not is_network(shapes):
        return {"problem": f"{path.name} is no network that this version knows: no tensor has a name of one."}
    if kind == "embedding" and not is_embedding(shapes):
        return {"problem": f"{path.name} is no textual inversion: its tensors are not rows of vectors."}
    name = path.stem
    alias = alias_of(name, header.metadata) if kind == "lora" else word_of(shapes) or name
    return {"alias": alias, **asdict(facts_of(kind, shapes, header.metadata))}


def _entry(name: str, kind: NetworkKind, path: Path, size: int, row: Mapping[str, Any]) -> NetworkEntry:
    if "problem" in row:
        return NetworkEntry(name, kind, path, name, size_bytes=size, problem=str(row["problem"]))
    words = tuple((str(word), int(count)) for word, count in row["words"])
    facts = NetworkFacts(tuple(row["methods"]), row["base"], row["size"], row["width"], words, row["metadata"])
    alias = name if row["alias"] == path.stem else row["alias"]
    return NetworkEntry(name, kind, path, alias, facts, size_bytes=size)


def _stem(path: Path) -> str:
    """The file's name without ending; of what PEFT saves as a folder, the folder's."""
    return path.parent.name if (path.parent / PEFT_CONFIG).is_file() else path.stem


def _match(name: str, entries: list[NetworkEntry]) -> NetworkEntry | None:
    folded = name.casefold()
    tests = (
        lambda entry: entry.name == name,
        lambda entry: entry.alias == name,
        lambda entry: folded in (entry.name.casefold(), entry.path.name.casefold()),
        lambda entry: entry.alias.casefold() == folded,
        lambda entry: len(folded) >= 8 and any(full and full.startswith(folded) for full in _hashes_of(entry)),
    )
    for test in tests:
        found = [entry for entry in entries if test(entry)]
        if found:
            return next((entry for entry in found if entry.problem is None), found[0])
    return None


def _hashes_of(entry: NetworkEntry) -> tuple[str | None, ...]:
    stated = entry.facts.metadata.get("sshs_model_hash", "").lower()
    return entry.sha256, entry.data_hash, stated or None


def _with_hashes(entry: NetworkEntry, both: str | None) -> NetworkEntry:
    if not both:
        return entry
    sha256, _, data = both.partition(" ")
    return replace(entry, sha256=sha256, data_hash=data)


def _nothing_of(kind: NetworkKind, name: str, names: list[str]) -> str:
    what = {"lora": "network", "embedding": "embedding"}[kind]
    return f"There is no {what} {name!r}; {near_names(name, names)}."
