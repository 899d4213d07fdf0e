"""Where the engine keeps models: leased from a pool, loaded when missing, least recently used out first."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from modules.bootstrap.options import VramMode
from modules.contracts.catalog import Family, FileEntry, ModelEntry
from modules.contracts.plan import Placement
from modules.contracts.scripts import ModelWatch
from modules.device.ram import host_memory
from modules.device.select import DeviceChoice, placement_for
from modules.memory.guard import recover
from modules.memory.planner import rests_in_main_memory
from modules.memory.residency import ModelPool
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.reader_part import ReaderPart, load_reader, reading_with
from modules.processing_diffusers.vae_part import VaePart
from modules.sd_models.hashes import hash_model
from modules.sd_models.loader import load_model, unload
from modules.sd_vae.load import load_vae, reference_key
from modules.sd_vae.preview import Previewer
from modules.support.paths import Paths
from modules.support.settings import Settings
from modules.support.tally import Tally

log = logging.getLogger(__name__)
VAES_KEPT = 3
"""Separate VAEs that stay in memory."""
READERS_KEPT = 2
"""Separate text encoders that stay in memory."""
ASSUMED_MEMORY = 8 << 30
"""Bytes of a device that does not tell how many it has."""

RESTING = "rests in main memory, and its parts come to the device while they work."
STORED_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of one value by its name in a safetensors header."""
COMPUTED_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


class Storehouse:
    """Leases models, separate VAEs and text encoders. Safe from any thread.

    A model that the device cannot hold, or that `vram` wants off it, rests in main memory (`DrawingModel.resting`).
    """

    def __init__(self, choice: DeviceChoice, settings: Settings, paths: Paths, vram: VramMode = "normal") -> None:
        self._choice, self._settings, self._paths, self._vram = choice, settings, paths, vram
        self.tallies = {"models": Tally(), "embeddings": Tally()}
        """How often a model was resident, and a text's embedding known, when it was needed."""
        self._models: ModelPool[object, DrawingModel] = ModelPool(
            budget=self._budget,
            limit=lambda: int(settings["sd_checkpoints_limit"]),
            size_of=self._weigh,
            dispose=self._dispose,
            tally=self.tallies["models"],
        )
        self._vaes: ModelPool[object, VaePart] = ModelPool(
            budget=self._budget, limit=VAES_KEPT, size_of=lambda vae: vae.size_bytes, dispose=self._dispose_vae
        )
        self._readers: ModelPool[object, ReaderPart] = ModelPool(
            budget=self._budget,
            limit=READERS_KEPT,
            size_of=lambda part: part.size_bytes,
            dispose=lambda part: self._choice.handler.empty_cache(),
        )
        self.watch: ModelWatch | None = None
        """Whoever is to hear of models that come and go."""
        self._whole = 0
        self._resting: set[object] = set()
        """Keys of models that were loaded into main memory last."""

    def _budget(self) -> int:
        return int(float(self._settings["model_memory_share"]) * self._total())

    def _total(self) -> int:
        """Bytes of the device, asked for once: every job that gives a model back wants to know."""
        if not self._whole:
            self._whole = self._choice.handler.memory().total or ASSUMED_MEMORY
        return self._whole

    def _weigh(self, model: DrawingModel) -> int:
        """Bytes against the budget. One that rests counts with the share that it takes of main memory."""
        if not model.rests:
            return model.size_bytes
        return int(model.size_bytes / max(host_memory().total, 1) * self._total())

    def placement_of(self, entry: ModelEntry) -> Mapping[str, Placement]:
        """Device and precision of each group for that model."""
        return placement_for(self._choice, entry.size_bytes)

    @contextlib.contextmanager
    def lease(self, entry: ModelEntry, family: Family, loading: Callable[[float, str], None]) -> Iterator[DrawingModel]:
        """The model, safe until the block ends; `loading` hears how far the load has come, if one is needed."""
        placement = self.placement_of(entry)
        key = _key(entry.path, placement)

        def load() -> DrawingModel:
            loading(0.0, entry.name)
            return self._load(key, entry, family, loading)

        with self._models.lease(key, load, expected=entry.size_bytes) as model:
            yield model

    def _load(
        self, key: object, entry: ModelEntry, family: Family, loading: Callable[[float, str], None]
    ) -> DrawingModel:
        """Onto the device, or into main memory when it shall or has to rest there."""
        handler, placement = self._choice.handler, self.placement_of(entry)
        reason = self._rest(entry, placement)
        model = None
        if reason is None:
            try:
                model = self._read(entry, family, placement, loading, None)
            except (RuntimeError, MemoryError) as error:
                if not handler.accelerator or not handler.is_out_of_memory(error):
                    raise
                recover(handler, error)
                reason = f"{entry.name} did not fit into the memory of {handler.label}; it {RESTING}"
        if model is None:
            log.log(logging.WARNING if self._vram == "normal" else logging.INFO, "%s", reason)
            model = self._read(entry, family, placement, loading, reason)
        (self._resting.add if model.rests else self._resting.discard)(key)
        return model

    def _rest(self, entry: ModelEntry, placement: Mapping[str, Placement]) -> str | None:
        """Why the model is to rest in main memory, or None. Idle models leave the device before a larger one rests."""
        handler = self._choice.handler
        if not handler.accelerator:
            return None
        if self._vram != "normal":
            return f"--{self._vram}: {entry.name} {RESTING}"
        size = _expected_bytes(entry, placement)
        free = handler.memory().free
        for row in self._models.resident():
            if not rests_in_main_memory(size, free, self._vram):
                return None
            if row.leases == 0 and not row.loading and row.key not in self._resting:
                self._models.evict(row.key)
                free = handler.memory().free
        if not rests_in_main_memory(size, free, self._vram):
            return None
        needed, there = size >> 20, (free or 0) >> 20
        return f"{entry.name} needs about {needed} MiB and {there} MiB of {handler.label} are free; it {RESTING}"

    def _read(
        self,
        entry: ModelEntry,
        family: Family,
        placement: Mapping[str, Placement],
        loading: Callable[[float, str], None],
        resting: str | None,
    ) -> DrawingModel:
        log.info("loading %s", entry.name)
        folders = tuple(self._paths.models_of(kind) for kind in ("checkpoints", "text-encoders", "vae"))
        home = placement if resting is None else self._in_main_memory(placement)
        loaded = load_model(entry, family, home, progress=loading, folders=folders)
        approx, shipped = self._paths.models_of("vae-approx"), (self._paths.pocket / "preview",)
        previewer = Previewer(loaded.components, family, self._paths.cache, approx, shipped)
        model = DrawingModel(loaded, placement, previewer, resting=resting, texts=self.tallies["embeddings"])
        if self.watch is not None:
            self.watch.loaded(entry.name, family.id)
        return model

    @contextlib.contextmanager
    def lease_vae(self, entry: FileEntry | None, model: DrawingModel) -> Iterator[VaePart]:
        """The separate VAE, or the model's own for None."""
        if entry is None:
            yield model.vae
            return
        placement = (self._in_main_memory(model.placement) if model.rests else model.placement)["vae"]
        config = model.vae.module.config

        def load() -> VaePart:
            log.info("loading VAE %s", entry.name)
            module = load_vae(entry, placement.dtype, placement.device, config)
            return VaePart(module, entry.name, hash_model(entry.path))

        # A file that carries no scale of its own takes it from this model, so it is another VAE for other scales.
        with self._vaes.lease((*_key(entry.path, {"vae": placement}), reference_key(config)), load) as vae:
            yield vae

    @contextlib.contextmanager
    def lease_reader(self, entry: FileEntry | None, model: DrawingModel) -> Iterator[DrawingModel]:
        """The model as it reads prompts with that text encoder; as it is for None."""
        if entry is None:
            yield model
            return
        placement = (self._in_main_memory(model.placement) if model.rests else model.placement)["text_encoder"]

        def load() -> ReaderPart:
            log.info("loading text encoder %s", entry.name)
            return load_reader(entry, model, placement, self.tallies["embeddings"])

        # It is built by the config of the part that it stands for, so it belongs to this very model.
        key = (*_key(entry.path, {"text_encoder": placement}), model.fittings.identity)
        with self._readers.lease(key, load) as part:
            yield reading_with(model, part)

    def _in_main_memory(self, placement: Mapping[str, Placement]) -> dict[str, Placement]:
        """Where parts wait that are to compute in `placement`: in its precision."""
        waiting = self._choice.cpu.torch_device()
        return {group: Placement(waiting, place.dtype) for group, place in placement.items()}

    def _dispose(self, model: DrawingModel) -> None:
        loaded = model.loaded
        log.info("letting go of %s", loaded.entry.name)
        # Nobody can lease its text encoders any more, and whoever did let go of them before they let go of it.
        for row in self._readers.resident():
            if isinstance(row.key, tuple) and row.key[-1] is model.fittings.identity:
                self._readers.evict(row.key)
        model.let_go()
        unload(loaded)
        self._choice.handler.empty_cache()
        if self.watch is not None:
            self.watch.unloaded(loaded.entry.name, loaded.family.id)

    def _dispose_vae(self, vae: VaePart) -> None:
        self._choice.handler.empty_cache()

    def resident(self) -> tuple[str, ...]:
        """Names of the models in memory, least recently used first."""
        return tuple(str(row.key[0]) for row in self._models.resident() if isinstance(row.key, tuple))

    def empty(self) -> None:
        """Let go of everything; what is leased goes when its last lease ends."""
        self._models.evict_all()
        self._vaes.evict_all()
        self._readers.evict_all()


def _expected_bytes(entry: ModelEntry, placement: Mapping[str, Placement]) -> int:
    """Bytes of the model in the precision it will have; as many as on disk where that one is not known."""
    stored = STORED_BYTES.get(str(entry.details.get("dtype")))
    computed = COMPUTED_BYTES.get(placement["denoiser"].dtype)
    return entry.size_bytes if stored is None or computed is None else entry.size_bytes * computed // stored


def _key(path: Path, placement: Mapping[str, Placement]) -> tuple[object, ...]:
    """A file that was replaced by another is another model."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return str(path), changed, tuple(sorted((group, place.device, place.dtype) for group, place in placement.items()))
