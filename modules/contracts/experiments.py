"""Grids as experiments: one request, any number of axes, and a cell for each combination of their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.jobs import Eta
from modules.contracts.request import GenerationRequest

ExperimentState = Literal["running", "stopped", "done", "cancelled"]
"""A stopped one was left by a process that has died: nobody draws it, and it can be resumed."""
CellState = Literal["waiting", "queued", "done", "failed", "cancelled"]

MOST_CELLS = 10_000
"""Cells of one experiment."""
MOST_AXES = 16


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies. Its values are checked, in the types of what they set, with the names of the catalogue."""

    key: str
    """What is set: the dotted name of a declared parameter, such as `sampling.steps`, or of another kind of axis."""
    label: str
    """The caption on sheets."""
    values: tuple[Any, ...]
    """Words, numbers or booleans."""
    cost: float = 0.0
    """How dear a change of value is; 1 loads another checkpoint."""
    captions: tuple[str, ...] = ()
    """What a sheet says of each value, where a script has its own words for that."""
    form: Literal["value", "all", "words"] = "value"
    """How a script is told of a value, as of `modules.contracts.extending.AxisEntry`."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is to be found out. The position of a cell counts the first axis fastest, then the second, and so on."""

    base: GenerationRequest
    """What all cells share. Its seeds are drawn, so that a cell is the same whenever it is drawn. Where it says that
    pictures are not to be saved, those of the cells leave the gallery with the experiment."""
    axes: tuple[Axis, ...] = ()
    exclude: tuple[str, ...] = ()
    """Expressions over the axes; a cell for which one is true is left out."""
    name: str = ""
    vary_seeds: tuple[int, ...] = ()
    """Numbers of axes along which the seed goes up by one from value to value."""
    own_seeds: bool = False
    """Every cell has a seed of its own, which follows from the base's."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    position: int
    place: tuple[int, ...]
    """Index of the value on each axis."""
    request: GenerationRequest = field(repr=False)


@dataclass(frozen=True, slots=True)
class CellRecord:
    """What came of a cell."""

    position: int
    place: tuple[int, ...]
    state: CellState
    job_id: str | None = None
    """The job whose pictures the cell shows; another experiment's where they were there already."""
    cached: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """One experiment and how far it is."""

    id: str
    owner: str
    state: ExperimentState
    created: datetime
    ended: datetime | None
    experiment: Experiment = field(repr=False)
    counts: dict[CellState, int] = field(default_factory=dict)
    """Cells by state; states without cells are left out."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What an experiment would take."""

    cells: int
    cached: int
    """Of these were drawn before."""
    pictures: int
    """To be drawn."""
    megapixel_steps: float
    seconds: Eta | None
    """None as long as the speed of this machine is not known for one of the models."""
    memory: int | None
    """Bytes at the peak, of the dearest cell; None where nothing is known before the engine stands."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Which ended experiments are kept; both bounds hold, and 0 is none."""

    days: float = 0.0
    """Since it ended, or since a stopped one was heard of last."""
    number: int = 0
    """The newest ones."""
    pictures: bool = False
    """The pictures of those that go go too, as far as no other experiment shows them."""


class Experiments(Protocol):
    """Keeps experiments and runs them."""

    def foresee(self, experiment: Experiment, owner: str) -> Foreseen:
        """What it would take, storing and drawing nothing. Raises as `start` does."""

    def start(self, experiment: Experiment, owner: str) -> ExperimentRecord:
        """Store it and begin. Raises `InvalidRequest` for a cell that is out of bounds, before storing anything."""

    def get(self, experiment_id: str) -> ExperimentRecord | None:
        """The experiment of that id."""

    def list(self, *, owner: str | None = None, limit: int = 100) -> Sequence[ExperimentRecord]:
        """Newest first; of one owner when given."""

    def cells(self, experiment_id: str) -> Sequence[CellRecord]:
        """All cells that are not excluded, in order of position."""

    def cancel(self, experiment_id: str) -> bool:
        """Leave out what is not drawn yet, and stop what is being drawn; False when it had ended or is not known."""

    def resume(self, experiment_id: str) -> bool:
        """Draw what failed or was cancelled once more, and of a stopped one the rest; False when there is nothing."""

    def remove(self, experiment_id: str, *, pictures: bool = False) -> bool:
        """Take an experiment away; False when it is not known. One that runs is cancelled and goes when it has ended.

        With `pictures` those that it has drawn go too, as far as no other experiment shows them. Raises
        `InvalidRequest` for one that another process draws.
        """

    def prune(self, keep: Keeping, owner: str | None = None) -> int:
        """Take away what has ended, of one owner when given, beyond these bounds. Returns how many."""

    def wait(self, experiment_id: str, timeout: float | None = None) -> ExperimentRecord:
        """Block until it has ended. Raises `TimeoutError`, and `NotReady` when the studio closes."""

    def file(self, experiment_id: str, name: str) -> tuple[bytes, str]:
        """A file of the results and its media type: `sheet.png`, `sheet.webp`, `page.html`, `cells.csv`, `cells.json`.

        `sheet-2.png` and so on are further tiles of a large sheet. Raises `UnknownName` for any other name.
        """

    def files(self, experiment_id: str) -> Sequence[str]:
        """Names that `file` gives."""


class NoExperiments:
    """Of a studio that runs none."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise UnsupportedFeature("This studio runs no experiments.")

    foresee = start = get = cells = cancel = resume = remove = prune = wait = file = files = _refuse

    def list(self, *, owner: str | None = None, limit: int = 100) -> Sequence[ExperimentRecord]:
        """None."""
        return ()


Memory = Callable[[GenerationRequest], int | None]
"""How many bytes a request is predicted to take at its peak; None where nothing is known yet."""
