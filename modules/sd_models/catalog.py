"""The catalogue: which models, VAEs, samplers, schedules, upscalers and families there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from modules.bootstrap.options import PathOptions
from modules.contracts.catalog import (
    Family,
    FileEntry,
    ModelEntry,
    RestorerEntry,
    SamplerEntry,
    ScheduleEntry,
    UpscalerEntry,
)
from modules.contracts.errors import BrokenModel, UnknownModel
from modules.sd_models.detect import Outcome, Recognised
from modules.sd_models.distilled import find_distilled
from modules.sd_models.families import load_rules
from modules.sd_models.files import list_files
from modules.sd_models.folders import facts_beside
from modules.sd_models.hashes import SHORT, HashStore
from modules.sd_models.header import INDEX
from modules.sd_models.inspections import Inspections
from modules.sd_models.names import keys_of, look_up
from modules.sd_models.restorers import list_restorers
from modules.sd_models.scan import Candidate, find_checkpoints, find_snapshots, signature, unique_names
from modules.sd_models.upscalers import list_upscalers
from modules.support.paths import Paths

POCKET = "pocket"
REST_SECONDS = 2.0
"""From one look at the folders to the next that somebody asks for, or as long as the last one took, if that is more."""


@dataclass(frozen=True, slots=True)
class _Scanned:
    """The result of one look at the folders."""

    entries: tuple[ModelEntry, ...]
    signatures: Mapping[str, str]
    calls: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Tables:
    """What the program itself knows and looks for in no folder, in display order."""

    families: Sequence[Family] = ()
    samplers: Sequence[SamplerEntry] = ()
    schedulers: Sequence[ScheduleEntry] = ()
    upscalers: Sequence[UpscalerEntry] = ()


GIVEN_NOTHING = PathOptions()


class StudioCatalog:
    """Implements `modules.contracts.catalog.Catalog`. Safe from any thread.

    The folders are looked at on first use and again on `refresh`; what a file is and its hash are kept in the cache
    folder by path, size and time. Hashes are computed in the background and appear in the entries once known.
    """

    def __init__(
        self,
        paths: Paths,
        tables: Tables,
        *,
        default_model: Callable[[], str | None] = lambda: None,
        given: PathOptions = GIVEN_NOTHING,
        hub_caches: Sequence[Path] | None = None,
    ) -> None:
        """`default_model` gives the name that the settings hold, if any; `given` holds what `--ckpt` and `--vae` said.

        That checkpoint comes before what the settings held at the start, and behind what was chosen in them since; of a
        choice that leaves them as they were, `displace_given` has to be told.
        Both may be paths, because they come from whoever started the program; every other name may not.
        `hub_caches` None means our own cache and the one that the user's other programs share.
        """
        checkpoint, vae = given.checkpoint, given.vae
        self._paths = paths
        self._tables = tables
        self._families = {family.id: family for family in tables.families}
        self._default_model, self._checkpoint = default_model, checkpoint
        self._held_before = default_model() if checkpoint else None
        self._flag_holds = checkpoint is not None
        self._hub_caches = hub_caches
        self._vae = Path(vae).expanduser() if vae and Path(vae).expanduser().exists() else vae
        self._inspections = Inspections(paths.cache / "catalog.json", load_rules(paths.configs / "families.json"))
        self._hashes = HashStore(paths.cache / "hashes.json")
        self._lock = threading.Lock()
        self._due = False
        self._rested = 0.0
        self._scanned: _Scanned | None = None
        self._vaes: tuple[FileEntry, ...] | None = None
        self._text_encoders: tuple[FileEntry, ...] | None = None
        self._upscaler_files: tuple[UpscalerEntry, ...] | None = None
        self._restorers: tuple[RestorerEntry, ...] | None = None

    def models(self) -> tuple[ModelEntry, ...]:
        """Usable models first, each group by name. Hashes that are not known yet are computed in the background."""
        scanned = self._scan()
        for entry in scanned.entries:
            if entry.problem is None:
                self._hashes.request(scanned.signatures[entry.name], entry.path)
        return self._hashed(scanned)

    def find_model(self, name: str | None) -> ModelEntry:
        """The model that `name` means; None or an empty name is the default one.

        Raises `UnknownModel` with near names, or `BrokenModel` with the reason.
        """
        scanned = self._scan()
        entry = look_up(name, self._hashed(scanned), scanned.calls) if name and name.strip() else self._default(scanned)
        if entry.problem is not None:
            raise BrokenModel(entry.problem)
        self._hashes.request(scanned.signatures[entry.name], entry.path, first=True)
        return entry

    def wait(self, entry: ModelEntry, timeout: float | None = None) -> ModelEntry:
        """The entry with its hash, waiting for it; without one when files are gone or unreadable, or time runs out."""
        sign = self._scan().signatures.get(entry.name)
        # A model may have left the folders while somebody draws with it.
        return entry if sign is None else _with_hash(entry, self._hashes.wait(sign, entry.path, timeout))

    def vaes(self) -> tuple[FileEntry, ...]:
        """Separate VAE files and folders."""
        with self._lock:
            self._catch_up()
            if self._vaes is None:
                found = list_files(self._paths.models, "vae")
                given = self._vae
                if isinstance(given, Path) and all(entry.path.resolve() != given.resolve() for entry in found):
                    found = (*found, FileEntry(given.stem, given, "vae"))
                self._vaes = found
            return self._vaes

    def text_encoders(self) -> tuple[FileEntry, ...]:
        """Separate text encoders, files and folders."""
        with self._lock:
            self._catch_up()
            if self._text_encoders is None:
                self._text_encoders = list_files(self._paths.models, "text-encoders")
            return self._text_encoders

    def default_vae(self) -> str | None:
        """Name of the VAE that `--vae` gave."""
        return self._vae.name if isinstance(self._vae, Path) else self._vae

    def samplers(self) -> tuple[SamplerEntry, ...]:
        """All samplers in display order."""
        return tuple(self._tables.samplers)

    def schedulers(self) -> tuple[ScheduleEntry, ...]:
        """All sigma schedules in display order."""
        return tuple(self._tables.schedulers)

    def upscalers(self) -> tuple[UpscalerEntry, ...]:
        """Latent and image upscalers, then those that are files, by name."""
        with self._lock:
            self._catch_up()
            if self._upscaler_files is None:
                self._upscaler_files = list_upscalers(self._paths.models, self._paths.pocket / "upscalers")
            return (*self._tables.upscalers, *self._upscaler_files)

    def restorers(self) -> tuple[RestorerEntry, ...]:
        """Restorers of faces, by name."""
        with self._lock:
            self._catch_up()
            if self._restorers is None:
                self._restorers = list_restorers(self._paths.models)
            return self._restorers

    def families(self) -> tuple[Family, ...]:
        """All known families."""
        return tuple(self._families.values())

    def family(self, id: str) -> Family:
        """The family of that id; raises `KeyError` listing the known ones."""
        try:
            return self._families[id]
        except KeyError:
            raise KeyError(f"No family {id!r}; known are {', '.join(self._families)}.") from None

    def refresh(self) -> None:
        """Look at the folders again, now, or, where that was done less than `REST_SECONDS` ago, with the first question
        after that: however often it is called, no wish is lost, and the disk is read at a bounded pace."""
        with self._lock:
            self._due = True
        self._scan()

    def close(self) -> None:
        """Stop hashing after the model that is being read; the catalogue can still be asked."""
        self._hashes.forget_requests()

    def _scan(self) -> _Scanned:
        with self._lock:
            self._catch_up()
            if self._scanned is None:
                self._scanned = self._look()
            return self._scanned

    def _catch_up(self) -> None:
        """Look again where somebody wished for it and the folders have had their rest; the lock is held."""
        began = time.monotonic()
        if not self._due or began < self._rested:
            return
        self._due = False
        self._vaes = self._text_encoders = self._upscaler_files = self._restorers = None
        self._scanned = self._look()
        ended = time.monotonic()
        self._rested = ended + max(REST_SECONDS, ended - began)

    def _look(self) -> _Scanned:
        entries, signatures, calls = [], {}, {}
        for name, candidate in unique_names(self._candidates()):
            try:
                sign, size = signature(candidate.path)
            except OSError:
                continue  # it went away while we looked
            outcome = self._inspections.outcome(sign, candidate.path)
            signatures[name] = sign
            if not candidate.certain and not isinstance(outcome, Recognised):
                continue
            entry = self._entry(name, candidate, outcome, size)
            entries.append(entry)
            calls[name] = keys_of(entry, candidate.relative)
        self._inspections.keep(tuple(signatures.values()))
        entries.sort(key=lambda entry: (entry.problem is not None, entry.name.casefold(), entry.name))
        return _Scanned(tuple(entries), signatures, calls)

    def _candidates(self) -> Iterator[Candidate]:
        """Each place once, also when several ways lead to it."""
        seen: set[Path] = set()
        for candidate in chain(self._given(), find_checkpoints(self._paths.models), self._hub()):
            real = candidate.path.resolve()
            if real not in seen:
                seen.add(real)
                yield candidate

    def _given(self) -> Iterator[Candidate]:
        """The pocket family, whose names nobody else may take, and what `--ckpt` names by its path."""
        shipped = self._paths.pocket
        for path in (shipped, *sorted(shipped.parent.glob(f"{shipped.name}-*"))):
            if (path / INDEX).is_file():
                yield Candidate(path.name, path, "diffusers", path.name)
        if self._checkpoint:
            path = Path(self._checkpoint).expanduser()
            if path.is_file():
                yield Candidate(path.stem, path.absolute(), "single_file", path.name)
            elif (path / INDEX).is_file():
                yield Candidate(path.name, path.absolute(), "diffusers", path.name)

    def _hub(self) -> Iterator[Candidate]:
        if self._hub_caches is None:
            from huggingface_hub.constants import HF_HUB_CACHE

            self._hub_caches = (self._paths.hub, Path(HF_HUB_CACHE))
        return find_snapshots(self._hub_caches)

    def _entry(self, name: str, candidate: Candidate, outcome: Outcome, size: int) -> ModelEntry:
        family = self._families.get(outcome.family) if isinstance(outcome, Recognised) else None
        if not isinstance(outcome, Recognised) or family is None:
            reason = f"the family {outcome.family} is not set up" if isinstance(outcome, Recognised) else outcome.reason
            return ModelEntry(name, candidate.path, candidate.layout, None, 512, size_bytes=size, problem=reason)
        facts = {**outcome.facts, "naming": outcome.layout}
        if candidate.layout == "single_file":
            facts.update(facts_beside(candidate.path))
            lacking = [part for part in ("vae", *family.text_encoders) if part not in facts["parts"]]
            if lacking:
                facts["lacking"] = lacking
        few = find_distilled(name, facts) if family.denoiser == "unet" else {}
        if few:
            facts["defaults"] = {**few, **facts.get("defaults", {})}
        return ModelEntry(
            name,
            candidate.path,
            candidate.layout,
            family.id,
            native_size=facts.get("native_size", family.native_size),
            size_bytes=size,
            details=facts,
        )

    def _hashed(self, scanned: _Scanned) -> tuple[ModelEntry, ...]:
        return tuple(_with_hash(entry, self._hashes.known(scanned.signatures[entry.name])) for entry in scanned.entries)

    def displace_given(self) -> None:
        """Somebody chose a model: from now on it comes before the checkpoint that the program was started with."""
        self._flag_holds = False

    def _default(self, scanned: _Scanned) -> ModelEntry:
        entries = self._hashed(scanned)
        chosen = self._default_model()
        self._flag_holds = self._flag_holds and chosen == self._held_before
        if self._checkpoint and self._flag_holds:
            path = Path(self._checkpoint).expanduser()
            by_path = [entry for entry in entries if path.exists() and entry.path.resolve() == path.resolve()]
            return by_path[0] if by_path else look_up(self._checkpoint, entries, scanned.calls)
        if chosen:
            return look_up(chosen, entries, scanned.calls)
        for entry in entries:
            if entry.name == POCKET:
                return entry
        usable = [entry for entry in entries if entry.problem is None]
        if usable:
            return usable[0]
        # The folder's own place is nobody's business: this sentence reaches clients.
        raise UnknownModel(
            "There is no model yet; put one into the folder 'checkpoints' of the models folder, then look again."
        )


def _with_hash(entry: ModelEntry, sha256: str | None) -> ModelEntry:
    return replace(entry, sha256=sha256, short_hash=sha256[:SHORT]) if sha256 else entry
