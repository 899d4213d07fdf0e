"""Opens the experiments of a studio over its database, queue and gallery."""

from __future__ import annotations

from sqlalchemy import Engine

from modules.contracts.experiments import Keeping, Memory
from modules.contracts.jobs import JobQueue
from modules.contracts.pictures import PictureStore
from modules.experiments.marks import Marks
from modules.experiments.service import ExperimentService
from modules.experiments.store import SERVER, TERMINAL, ExperimentStore
from modules.support.bus import EventBus
from modules.support.settings import Settings


def open_experiments(
    place: tuple[Engine, bool],
    queue: JobQueue,
    pictures: PictureStore,
    bus: EventBus,
    marks: Marks,
    memory: Memory,
) -> ExperimentService:
    """The service, its tables brought up to date; nothing runs before `start_all`.

    The second of `place` says that a command of the terminal is at work in that database, whose experiments no server
    goes on with.
    """
    database, terminal = place
    keeper = TERMINAL if terminal else SERVER
    return ExperimentService(ExperimentStore(database), queue, pictures, bus, marks, memory=memory, keeper=keeper)


def keeping_of(settings: Settings) -> Keeping:
    """Which ended experiments are kept by what the settings say now."""
    days, number, pictures = (
        settings[f"experiments_{name}"] for name in ("keep_days", "keep_number", "prune_pictures")
    )
    return Keeping(days, number, pictures)
