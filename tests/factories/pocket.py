"""An engine over the model that ships, on the CPU in fp32, as a person without a graphics card runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.bootstrap.options import DeviceOptions, Options
from modules.support.options import CORE_SETTINGS
from modules.support.paths import ROOT, Paths
from modules.support.settings import Settings
from tests.factories.devices import measured_cpu

POCKET = ROOT / "models" / "pocket"


def make_pocket_engine(folder: Path, **settings: Any) -> Any:
    """A fresh engine whose only model is `models/pocket`; data goes under `folder`."""
    from modules.control.catalog import ControlCatalog
    from modules.detectors.catalog import DetectorCatalog
    from modules.device.select import choose
    from modules.networks.catalog import NetworkCatalog
    from modules.processing_diffusers.engine import DiffusersEngine
    from modules.processing_diffusers.stock import Stock
    from modules.sd_models.catalog import StudioCatalog, Tables
    from modules.sd_models.families import load_families
    from modules.sd_samplers.build import shipped_table
    from modules.upscalers.table import UPSCALERS

    store = Settings(CORE_SETTINGS)
    store.update({"batch_window_ms": 20.0, **settings})
    (folder / "models" / "checkpoints").mkdir(parents=True)
    (folder / "models" / "checkpoints" / "pocket").symlink_to(POCKET)
    paths = Paths(folder / "data", folder / "models", ROOT).ensure()
    table = shipped_table()
    catalog = StudioCatalog(
        paths,
        Tables(
            families=load_families(ROOT / "configs" / "families.json"),
            samplers=table.samplers(),
            schedulers=table.schedulers(),
            upscalers=UPSCALERS,
        ),
        default_model=lambda: "pocket",
        hub_caches=(),
    )
    choice = choose(DeviceOptions(no_half=True), paths.cache, handlers=(measured_cpu(),))
    stock = Stock(
        catalog, table, networks=NetworkCatalog(paths), controls=ControlCatalog(paths), detectors=DetectorCatalog(paths)
    )
    return DiffusersEngine(stock=stock, choice=choice, settings=store, paths=paths, options=Options())


@contextmanager
def pocket_studio(folder: Path, engine: Any, lanes: int, settings: Settings | None = None) -> Iterator[Any]:
    """(queue, gallery) over that engine, which is closed at the end; both keep their rows and files in `folder`."""
    from modules.call_queue.database import open_database
    from modules.call_queue.queue import CallQueue
    from modules.call_queue.store import JobStore
    from modules.outputs.store import DiskPictureStore
    from modules.support.bus import EventBus

    database = open_database(folder / "studio.sqlite3")
    store = DiskPictureStore(database, folder / "outputs", settings or Settings(CORE_SETTINGS))
    queue = CallQueue(lambda: engine, JobStore(database), EventBus(), store, lanes=lanes)
    queue.start()
    yield queue, store
    queue.stop(10)
    engine.close()
    database.dispose()
