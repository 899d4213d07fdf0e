"""Opens the experiments of a studio over its database, queue and gallery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine

from modules.contracts.catalog import Catalog
from modules.contracts.experiments import Memory
from modules.contracts.jobs import JobQueue
from modules.contracts.pictures import PictureStore
from modules.experiments.marks import marks_of
from modules.experiments.service import SERVER, TERMINAL, ExperimentService
from modules.experiments.store import ExperimentStore
from modules.support.bus import EventBus


def open_experiments(
    place: tuple[Engine, bool],
    queue: JobQueue,
    pictures: PictureStore,
    bus: EventBus,
    catalog: Catalog,
    settings: Callable[[str], Mapping[str, Any]],
    memory: Memory,
) -> ExperimentService:
    """The service, its tables brought up to date; nothing runs before `start_all`.

    The second of `place` says that a command of the terminal is at work in that database, whose experiments no server
    goes on with. `settings` gives all settings of an owner.
    """
    database, terminal = place
    keeper = TERMINAL if terminal else SERVER
    store, marks = ExperimentStore(database), marks_of(catalog, settings)
    return ExperimentService(store, queue, pictures, bus, marks, memory=memory, keeper=keeper)
