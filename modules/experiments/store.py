"""Experiments and their cells in the database. Every change is one transaction that says what it expects to find."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, delete, func, insert, select, update

from modules.contracts.codec import decode, encode
from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import CellState, Experiment, ExperimentRecord, ExperimentState, Keeping
from modules.experiments.tables import CELLS, EXPERIMENTS, VERSION
from modules.support.migration import migrate

DAY = 86400.0
SCRIPTS = Path(__file__).with_name("migrations")
OPEN: tuple[CellState, ...] = ("waiting", "queued")
"""States of cells of which something is still to come."""
SERVER, TERMINAL = "server", "terminal"
"""Kinds of processes that run experiments: what a command of the terminal left, no server takes up by itself."""
SILENT_SECONDS = 30.0
"""A terminal of which nothing was heard for so long has died; six times what a run waits between two words."""


@dataclass(frozen=True, slots=True)
class CellRow:
    """One stored cell."""

    position: int
    state: CellState
    digest: str
    job_id: str | None
    cached: bool
    error: str | None


class ExperimentStore:
    """The tables, brought up to date when it is made. Safe from several threads and processes."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        migrate(engine, "experiments", SCRIPTS, head=VERSION, first_table="experiments")

    def add(
        self, experiment_id: str, owner: str, keeper: str, experiment: Experiment, cells: Iterable[tuple[int, str]]
    ) -> None:
        """Write an experiment down with its cells, given by position and digest, all of them waiting."""
        row = {
            "id": experiment_id,
            "owner": owner,
            "keeper": keeper,
            "state": "running",
            "created": self._clock(),
            "seen": self._clock(),
            "spec": json.dumps(encode(experiment)),
        }
        rows = [
            {"experiment_id": experiment_id, "position": position, "owner": owner, "digest": digest, "state": "waiting"}
            for position, digest in cells
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(EXPERIMENTS).values(row))
            connection.execute(insert(CELLS), rows)

    def get(self, experiment_id: str) -> ExperimentRecord | None:
        """The experiment of that id."""
        with self._engine.connect() as connection:
            row = connection.execute(select(EXPERIMENTS).where(EXPERIMENTS.c.id == experiment_id)).first()
        return None if row is None else self._record(row)

    def recent(self, owner: str | None, limit: int) -> list[ExperimentRecord]:
        """Newest first."""
        query = select(EXPERIMENTS).order_by(EXPERIMENTS.c.number.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(query if owner is None else query.where(EXPERIMENTS.c.owner == owner)).all()
        return [record for record in map(self._told, rows) if record is not None]

    def unfinished(self, keeper: str) -> list[str]:
        """Ids of experiments that such a process left running, oldest first."""
        query = select(EXPERIMENTS.c.id).where(EXPERIMENTS.c.state == "running", EXPERIMENTS.c.keeper == keeper)
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(EXPERIMENTS.c.number)).scalars())

    def state(self, experiment_id: str) -> ExperimentState | None:
        """How it stands."""
        with self._engine.connect() as connection:
            row = connection.execute(select(EXPERIMENTS).where(EXPERIMENTS.c.id == experiment_id)).first()
        return None if row is None else self._state(row)

    def beat(self, experiment_id: str) -> None:
        """Note that a process is at it."""
        with self._engine.begin() as connection:
            connection.execute(update(EXPERIMENTS).where(EXPERIMENTS.c.id == experiment_id).values(seen=self._clock()))

    def end(self, experiment_id: str, state: ExperimentState) -> bool:
        """Note that a running experiment has ended; False when it was not running."""
        return self._turn(experiment_id, "running", {"state": state, "ended": self._clock()})

    def reopen(self, experiment_id: str, keeper: str) -> bool:
        """Let such a process draw what failed, was cancelled or never drawn; False when there is nothing of the kind.

        The experiment has ended or stopped.
        """
        cells = CELLS.c.experiment_id == experiment_id
        fresh = {"state": "waiting", "job_id": None, "error": None, "cached": False}
        again = update(CELLS).where(cells & CELLS.c.state.in_(("failed", "cancelled"))).values(fresh)
        left = select(func.count()).where(cells & CELLS.c.state.in_(OPEN))
        with self._engine.begin() as connection:
            count = connection.execute(again).rowcount + connection.execute(left).scalar_one()
            if count:
                now = {"state": "running", "ended": None, "keeper": keeper, "seen": self._clock()}
                connection.execute(update(EXPERIMENTS).where(EXPERIMENTS.c.id == experiment_id).values(now))
        return bool(count)

    def remove(self, experiment_id: str, *, pictures: bool) -> list[str]:
        """Take an experiment away, and give the jobs that it drew and that no other one shows.

        With `pictures`, which are to go, the jobs that others show become those of one of them, to go with it.
        """
        mine = CELLS.c.experiment_id == experiment_id
        own = select(CELLS.c.job_id).where(mine, CELLS.c.job_id.is_not(None), ~CELLS.c.cached)
        others = CELLS.alias()
        shown = (
            select(others.c.experiment_id, others.c.position, others.c.job_id)
            .where(others.c.experiment_id != experiment_id, others.c.job_id.in_(own))
            .order_by(others.c.experiment_id, others.c.position)
        )
        with self._engine.begin() as connection:
            heirs = {row.job_id: row for row in connection.execute(shown)}
            jobs = [job for job in dict.fromkeys(connection.execute(own).scalars()) if job not in heirs]
            for row in heirs.values() if pictures else ():
                heir = (CELLS.c.experiment_id == row.experiment_id) & (CELLS.c.position == row.position)
                connection.execute(update(CELLS).where(heir, CELLS.c.job_id == row.job_id).values(cached=False))
            connection.execute(delete(CELLS).where(mine))
            connection.execute(delete(EXPERIMENTS).where(EXPERIMENTS.c.id == experiment_id))
        return jobs

    def beyond(self, keep: Keeping, owner: str | None) -> list[str]:
        """Ids of experiments that nobody draws and that are beyond these bounds, newest first."""
        query = select(EXPERIMENTS).order_by(EXPERIMENTS.c.number.desc())
        with self._engine.connect() as connection:
            rows = connection.execute(query if owner is None else query.where(EXPERIMENTS.c.owner == owner)).all()
        idle = [row for row in rows if self._state(row) != "running"]
        oldest = self._clock() - keep.days * DAY if keep.days else 0.0
        most = keep.number or len(idle)
        return [
            row.id for place, row in enumerate(idle) if place >= most or (row.ended or row.seen or row.created) < oldest
        ]

    def cells(self, experiment_id: str, states: Sequence[CellState] = ()) -> list[CellRow]:
        """Cells by position; those of some states when given."""
        query = select(CELLS).where(CELLS.c.experiment_id == experiment_id).order_by(CELLS.c.position)
        if states:
            query = query.where(CELLS.c.state.in_(states))
        with self._engine.connect() as connection:
            return [_cell(row) for row in connection.execute(query)]

    def change(self, experiment_id: str, position: int, expected: CellState, **values: Any) -> bool:
        """Change a cell that is in the state `expected`; False when it is not any more."""
        which = (CELLS.c.experiment_id == experiment_id) & (CELLS.c.position == position) & (CELLS.c.state == expected)
        with self._engine.begin() as connection:
            return bool(connection.execute(update(CELLS).where(which).values(values)).rowcount)

    def leave_out(self, experiment_id: str) -> None:
        """Mark every waiting cell as cancelled."""
        which = (CELLS.c.experiment_id == experiment_id) & (CELLS.c.state == "waiting")
        with self._engine.begin() as connection:
            connection.execute(update(CELLS).where(which).values(state="cancelled"))

    def drawn(self, owner: str, digest: str) -> list[str]:
        """Jobs of that owner that have drawn a cell of that digest, newest first."""
        query = (
            select(CELLS.c.job_id)
            .join(EXPERIMENTS, EXPERIMENTS.c.id == CELLS.c.experiment_id)
            .where(CELLS.c.owner == owner, CELLS.c.digest == digest, CELLS.c.state == "done")
            .order_by(EXPERIMENTS.c.number.desc())
        )
        with self._engine.connect() as connection:
            return list(dict.fromkeys(job for job in connection.execute(query).scalars() if job))

    def _turn(self, experiment_id: str, expected: ExperimentState, values: dict[str, Any]) -> bool:
        which = (EXPERIMENTS.c.id == experiment_id) & (EXPERIMENTS.c.state == expected)
        with self._engine.begin() as connection:
            return bool(connection.execute(update(EXPERIMENTS).where(which).values(values)).rowcount)

    def _state(self, row: Row[Any]) -> ExperimentState:
        state: ExperimentState = row.state
        silent = row.seen is None or row.seen < self._clock() - SILENT_SECONDS
        return "stopped" if state == "running" and row.keeper == TERMINAL and silent else state

    def _told(self, row: Row[Any]) -> ExperimentRecord | None:
        """The row; None for one that a newer version wrote and this one cannot read."""
        try:
            return self._record(row)
        except InvalidRequest:
            return None

    def _record(self, row: Row[Any]) -> ExperimentRecord:
        try:
            experiment = decode(Experiment, json.loads(row.spec))
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(f"Experiment {row.id} was written by another version of the program.") from error
        query = (
            select(CELLS.c.state, func.count().label("number"))
            .where(CELLS.c.experiment_id == row.id)
            .group_by(CELLS.c.state)
        )
        with self._engine.connect() as connection:
            counts: dict[CellState, int] = {row.state: row.number for row in connection.execute(query)}
        return ExperimentRecord(
            id=row.id,
            owner=row.owner,
            state=self._state(row),
            created=datetime.fromtimestamp(row.created, UTC),
            ended=None if row.ended is None else datetime.fromtimestamp(row.ended, UTC),
            experiment=experiment,
            counts=counts,
        )


def _cell(row: Row[Any]) -> CellRow:
    return CellRow(row.position, row.state, row.digest, row.job_id, bool(row.cached), row.error)
