"""What this machine took for the latest jobs of each model, kept across restarts."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from modules.call_queue.estimates import WINDOW, Measurement, SpeedModel, Spread
from modules.call_queue.tables import SPEEDS
from modules.contracts.cost import NATIVE_PIXELS

ENOUGH = 3
"""Measurements at a number of lanes from which on others are left aside."""
SPARE = 16
"""Measurements beyond the window that the table may hold of a kind, so that it is not tidied up after every job."""


class SpeedBook:
    """Measurements by model and by how many lanes ran. Safe from any thread.

    `machine` tells machines that share a database apart: each is predicted from its own past.
    """

    def __init__(self, engine: Engine, machine: str = "") -> None:
        self._engine = engine
        self._machine = machine
        self._lock = threading.Lock()
        self._beyond: dict[tuple[str, int], int] = defaultdict(int)
        """What the table may hold of each kind beyond the window."""
        self._known = self._load()
        self._models: dict[tuple[str, int], SpeedModel] = {}

    def record(self, model: str, measured: Measurement) -> None:
        """Learn from a job that is done. The oldest measurements of its kind are forgotten."""
        company = _bucket(measured.company)
        values: dict[str, Any] = {"machine": self._machine, "model": model, "company": company}
        kind = (SPEEDS.c.machine == self._machine) & (SPEEDS.c.model == model) & (SPEEDS.c.company == company)
        values |= {"work": measured.work, "seconds": measured.seconds, "native": measured.native}
        # The lock is not held while the database is waited for: whoever has its write lock may ask for a prediction.
        with self._lock:
            rows = self._known[model, company]
            rows.append(measured)
            self._beyond[model, company] += max(len(rows) - WINDOW, 0)
            del rows[:-WINDOW]
            self._models.clear()
            full = self._beyond[model, company] > SPARE
            if full:
                self._beyond[model, company] = 0
        with self._engine.begin() as connection:
            connection.execute(insert(SPEEDS).values(values))
            if full:
                kept = select(SPEEDS.c.number).where(kind).order_by(SPEEDS.c.number.desc()).limit(WINDOW)
                connection.execute(delete(SPEEDS).where(kind, SPEEDS.c.number.not_in(kept)))

    def predict(self, model: str, work: float, company: int = 1) -> Spread:
        """Seconds on a lane for a job of `work` megapixel-steps while `company` lanes run."""
        return self._model(model, company).predict(work)

    def knows(self, model: str, company: int = 1) -> bool:
        """Whether anything was measured that a prediction for that model can rest on."""
        return self._model(model, company).measured > 0

    def native(self, model: str) -> int:
        """Pixels of a picture whose size is left to the model, as it was last seen."""
        with self._lock:
            seen = [rows for (name, _), rows in self._known.items() if name == model]
        sizes = [one.native for rows in seen for one in rows if one.native is not None]
        return sizes[-1] if sizes else NATIVE_PIXELS

    def size(self, model: str, work: float, supposed: int | None) -> float:
        """Megapixel-steps as they are known now; `supposed` is the size that `work` rests on, None for a given one."""
        return work if supposed is None else work * self.native(model) / supposed

    def _model(self, model: str, company: int) -> SpeedModel:
        key = (model, _bucket(company))
        with self._lock:
            made = self._models.get(key)
            if made is None:
                made = self._models[key] = SpeedModel(self._choose(*key))
            return made

    def _choose(self, model: str, company: int) -> list[Measurement]:
        """The model at that number of lanes, else the model at any, else whatever was drawn on this machine."""
        known = self._known
        if len(known.get((model, company), ())) >= ENOUGH:
            return known[model, company]
        own = [one for (name, _), rows in known.items() if name == model for one in rows]
        return own or [one for rows in known.values() for one in rows]

    def _load(self) -> dict[tuple[str, int], list[Measurement]]:
        known: dict[tuple[str, int], list[Measurement]] = defaultdict(list)
        query = select(SPEEDS).where(SPEEDS.c.machine == self._machine).order_by(SPEEDS.c.number)
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                known[row.model, row.company].append(Measurement(row.work, row.seconds, row.company, row.native))
        for kind, rows in known.items():
            self._beyond[kind] = max(len(rows) - WINDOW, 0)
            del rows[:-WINDOW]
        return known


def _bucket(company: int) -> int:
    """The number of lanes, rounded down to a power of two: 5 lanes are not measured apart from 4."""
    return 1 << (max(company, 1).bit_length() - 1)
