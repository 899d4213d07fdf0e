"""Experiments over the real queue and gallery, with an engine that draws plain colours."""

from __future__ import annotations

import contextlib
import time

import pytest

from modules.call_queue.database import open_database
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.experiments.reading import AxisReader, make_experiment
from modules.experiments.service import ExperimentService
from modules.experiments.store import SERVER, ExperimentStore
from modules.outputs.store import DiskPictureStore
from modules.support.bus import EventBus
from modules.support.options import CORE_SETTINGS
from modules.support.settings import Settings
from tests.api.fakes import FakeCatalog
from tests.call_queue.fakes import FakeEngine


class House:
    """A studio's queue, gallery and experiments over one database; `live` may be called again after `die`."""

    def __init__(self, folder):
        self.folder = folder
        self.engine = FakeEngine()
        self.mark = {"model": 1}
        self.reader = AxisReader(FakeCatalog(folder))
        self.up, self.late = False, 0.0
        """Seconds by which the clock of the experiments goes ahead."""
        self.live()

    def live(self, lanes=2, keeper=SERVER):
        self.bus = EventBus()
        self.database = open_database(self.folder / "studio.sqlite3")
        self.pictures = DiskPictureStore(self.database, self.folder / "outputs", Settings(CORE_SETTINGS))
        self.queue = CallQueue(lambda: self.engine, JobStore(self.database), self.bus, self.pictures, lanes=lanes)
        self.queue.start()
        self.store = ExperimentStore(self.database, clock=lambda: time.time() + self.late)
        marks = lambda request, owner: self.mark  # noqa: E731
        self.service = ExperimentService(
            self.store, self.queue, self.pictures, self.bus, marks, memory=lambda request: 7, keeper=keeper
        )
        self.service.start_all()
        self.up = True

    def die(self):
        if self.up:
            self.service.stop()
            self.queue.stop(5)
            self.database.dispose()
        self.up = False

    def experiment(self, base, *axes, **more):
        return make_experiment(base, [self.reader.axis(name, values) for name, values in axes], **more)

    def draw(self, experiment, owner="ada"):
        return self.service.wait(self.service.start(experiment, owner).id, 30)


@pytest.fixture
def house(tmp_path):
    with contextlib.ExitStack() as stack:
        made = House(tmp_path)
        stack.callback(made.engine.let_go)
        stack.callback(lambda: made.die())
        yield made
