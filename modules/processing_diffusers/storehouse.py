"""Where the engine keeps models: leased from a pool, loaded when missing, least recently used out first."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from modules.contracts.catalog import Family, FileEntry, ModelEntry
from modules.contracts.plan import Placement
from modules.device.select import DeviceChoice, placement_for
from modules.memory.residency import ModelPool
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.vae_part import VaePart
from modules.sd_models.hashes import hash_model
from modules.sd_models.loader import load_model, unload
from modules.sd_vae.load import load_vae, reference_key
from modules.sd_vae.preview import Previewer
from modules.support.paths import Paths
from modules.support.settings import Settings

log = logging.getLogger(__name__)
VAES_KEPT = 3
"""Separate VAEs that stay in memory."""
ASSUMED_MEMORY = 8 << 30
"""Bytes of a device that does not tell how many it has."""


class Storehouse:
    """Leases models and separate VAEs. Safe from any thread."""

    def __init__(self, choice: DeviceChoice, settings: Settings, paths: Paths) -> None:
        self._choice, self._settings, self._paths = choice, settings, paths
        self._models: ModelPool[object, DrawingModel] = ModelPool(
            budget=self._budget,
            limit=lambda: int(settings["sd_checkpoints_limit"]),
            size_of=lambda model: model.size_bytes,
            dispose=self._dispose,
        )
        self._vaes: ModelPool[object, VaePart] = ModelPool(
            budget=self._budget, limit=VAES_KEPT, size_of=lambda vae: vae.size_bytes, dispose=self._dispose_vae
        )

    def _budget(self) -> int:
        total = self._choice.handler.memory().total or ASSUMED_MEMORY
        return int(float(self._settings["model_memory_share"]) * total)

    def placement_of(self, entry: ModelEntry) -> Mapping[str, Placement]:
        """Device and precision of each group for that model."""
        return placement_for(self._choice, entry.size_bytes)

    @contextlib.contextmanager
    def lease(self, entry: ModelEntry, family: Family, loading: Callable[[float, str], None]) -> Iterator[DrawingModel]:
        """The model, safe until the block ends; `loading` hears how far the load has come, if one is needed."""
        placement = self.placement_of(entry)

        def load() -> DrawingModel:
            loading(0.0, entry.name)
            log.info("loading %s", entry.name)
            folders = tuple(self._paths.models_of(kind) for kind in ("checkpoints", "text-encoders", "vae"))
            loaded = load_model(entry, family, placement, progress=loading, folders=folders)
            previewer = Previewer(loaded.components, family, self._paths.cache, self._paths.models_of("vae-approx"))
            return DrawingModel(loaded, placement, previewer)

        with self._models.lease(_key(entry.path, placement), load, expected=entry.size_bytes) as model:
            yield model

    @contextlib.contextmanager
    def lease_vae(self, entry: FileEntry | None, model: DrawingModel) -> Iterator[VaePart]:
        """The separate VAE, or the model's own for None."""
        if entry is None:
            yield model.vae
            return
        placement = model.placement["vae"]
        config = model.vae.module.config

        def load() -> VaePart:
            log.info("loading VAE %s", entry.name)
            module = load_vae(entry, placement.dtype, placement.device, config)
            return VaePart(module, entry.name, hash_model(entry.path))

        # A file that carries no scale of its own takes it from this model, so it is another VAE for other scales.
        with self._vaes.lease((*_key(entry.path, {"vae": placement}), reference_key(config)), load) as vae:
            yield vae

    def _dispose(self, model: DrawingModel) -> None:
        log.info("letting go of %s", model.loaded.entry.name)
        unload(model.loaded)
        self._choice.handler.empty_cache()

    def _dispose_vae(self, vae: VaePart) -> None:
        self._choice.handler.empty_cache()

    def resident(self) -> tuple[str, ...]:
        """Names of the models in memory, least recently used first."""
        return tuple(str(row.key[0]) for row in self._models.resident() if isinstance(row.key, tuple))

    def empty(self) -> None:
        """Let go of everything that is not leased now."""
        self._models.evict_all()
        self._vaes.evict_all()


def _key(path: Path, placement: Mapping[str, Placement]) -> tuple[object, ...]:
    """A file that was replaced by another is another model."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return str(path), changed, tuple(sorted((group, place.device, place.dtype) for group, place in placement.items()))
