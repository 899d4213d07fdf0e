"""`/api/v1/experiments`: grids of requests that vary along axes."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from modules.api.access import ID_LENGTH, SHOWN, owner_wanted
from modules.api.intake import Intake
from modules.api.jobs import CLEAN, REFUSED
from modules.api.paging import Page, Paging, page_of
from modules.api.services import Member, Own, Owner, Person, Services
from modules.api.typed import JobWanted, read_wanted
from modules.contracts.accounts import Caller
from modules.contracts.errors import NotAllowed, UnknownName
from modules.contracts.experiments import MOST_AXES, CellState, Experiment, ExperimentRecord, ExperimentState, Keeping
from modules.experiments.kinds import kinds, script_kinds
from modules.experiments.legacy import tab_of
from modules.experiments.reading import AxisReader, make_experiment
from modules.support.studio import Studio

PREFIX = "/api/v1/experiments"
router = APIRouter(prefix=PREFIX, tags=["experiments"])
ANYTHING = "application/octet-stream"
FILE: dict[int | str, dict[str, Any]] = {
    **REFUSED,
    200: {"content": {ANYTHING: {"schema": {"type": "string", "format": "binary"}}}},
}
Value = str | int | float | bool | None


class AxisWanted(BaseModel):
    """One thing that varies."""

    model_config = ConfigDict(extra="forbid")
    axis: str = Field(
        max_length=200, description="A parameter's name or label, or one of A1111's.", examples=["sampling.steps"]
    )
    values: Annotated[str, Field(max_length=200_000)] | Annotated[list[Value], Field(max_length=10_000)] = Field(
        description='A list, or text such as `1-5 (+2)`, `1-10 [4]`, `a, "b, c"`, `= 2**n for n in 1..4`.',
        examples=["8-12 [2]"],
    )


class ExperimentWanted(BaseModel):
    """A request and its axes."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "request": {"prompt": {"text": "a red circle"}, "canvas": {"width": 128, "height": 128}},
                    "axes": [{"axis": "sampling.steps", "values": "4-8 [2]"}],
                    "name": "How many steps",
                }
            ]
        },
    )
    request: JobWanted = Field(description="As of a job; its terms do not count.")
    axes: list[AxisWanted] = Field(max_length=MOST_AXES)
    exclude: list[Annotated[str, Field(max_length=2000)]] = Field(
        [], max_length=64, description="Expressions over the axes; a cell for which one is true is left out."
    )
    name: str = Field("", max_length=200, pattern=CLEAN, examples=["How many steps"])


class ForeseenRow(BaseModel):
    """What an experiment would take."""

    cells: int = Field(examples=[2])
    cached: int = Field(description="Of these were drawn before.", examples=[0])
    pictures: int = Field(description="To be drawn.", examples=[2])
    megapixel_steps: float
    seconds: float | None = Field(description="Likely; null while this machine's speed is not known.", examples=[2.4])
    seconds_low: float | None = Field(examples=[1.9])
    seconds_high: float | None = Field(examples=[3.1])
    memory: int | None = Field(description="Bytes at the peak of the dearest cell.", examples=[1_200_000_000])


class AxisRow(BaseModel):
    """An axis as it was understood."""

    key: str = Field(examples=["sampling.steps"])
    label: str = Field(examples=["Steps"])
    values: list[Value] = Field(examples=[[4, 8]])


class ExperimentRow(BaseModel):
    """One experiment and how far it is."""

    id: str = Field(examples=["5b0c7d9e2f614a3388c1d2e3f4a5b6c7"])
    owner: str
    name: str = Field(examples=["How many steps"])
    state: ExperimentState = Field(examples=["running"])
    created: AwareDatetime
    ended: AwareDatetime | None
    counts: dict[CellState, int] = Field(description="Cells by state.", examples=[{"done": 1, "queued": 1}])
    axes: list[AxisRow]


class ExperimentList(Page):
    """Experiments, newest first."""

    experiments: list[ExperimentRow]


class CellRow(BaseModel):
    """One cell."""

    position: int = Field(description="The first axis counts fastest.", examples=[0])
    place: tuple[int, ...] = Field(description="Index of the value on each axis.", examples=[[0]])
    state: CellState = Field(examples=["done"])
    job_id: str | None
    cached: bool = Field(description="Its picture was there before.", examples=[False])
    error: str | None = Field(examples=[None])


class CellList(Page):
    """Cells by position."""

    cells: list[CellRow]


class FileNames(BaseModel):
    """What results there are."""

    files: list[str] = Field(examples=[["sheet.png", "sheet.webp", "page.html", "cells.csv", "cells.json"]])


class KindRow(BaseModel):
    """One kind of axis."""

    key: str = Field(examples=["sampling.steps"])
    label: str = Field(examples=["Steps"])
    type: str = Field(examples=["int"])
    cost: float = Field(description="How dear a change is; dear ones are outermost.", examples=[0.05])
    help: str = Field(examples=[""])


class KindList(Page):
    """Axes that may be asked for."""

    axes: list[KindRow]


class ExperimentsWanted(Paging):
    """Which experiments to list."""

    owner: str | None = Field(None, max_length=64, pattern=CLEAN, description="For admins: a name, or * for everybody.")


class Changed(BaseModel):
    """Whether anything was left to be done."""

    changed: bool = Field(examples=[True])


class Leaving(BaseModel):
    """How an experiment goes."""

    model_config = ConfigDict(extra="forbid")
    pictures: bool = Field(
        False, description="The pictures that it has drawn go too, as far as no other experiment shows them."
    )


class PruneWanted(Leaving):
    """What stays; without a bound, everything."""

    days: float = Field(0, ge=0, le=36_500, description="Days since it ended; 0 is no bound.", examples=[30])
    number: int = Field(0, ge=0, le=10_000_000, description="The newest ones; 0 is no bound.", examples=[100])


class Pruned(BaseModel):
    """What went."""

    removed: int = Field(description="Experiments.", examples=[2])


@router.post("", status_code=202, responses=REFUSED)
async def create_experiment(
    studio: Services, owner: Owner, wanted: ExperimentWanted, request: Request, answer: Response, own: Own
) -> ExperimentRow:
    """Begin to draw a grid. It is stored when this answers; `Location` is its address."""

    def begin() -> ExperimentRecord:
        return studio.experiments.start(_read(wanted, studio, owner, own), owner)

    record = await run_in_threadpool(begin)
    below = request.scope.get("root_path", "").rstrip("/")
    answer.headers["Location"] = f"{below}{PREFIX}/{quote(record.id, safe='')}"
    return _row(record)


@router.post("/foresee", responses=REFUSED)
async def foresee_experiment(studio: Services, owner: Owner, wanted: ExperimentWanted, own: Own) -> ForeseenRow:
    """A dry run: how many cells it has, what was drawn before, and how much time and memory the rest would take."""

    def look() -> ForeseenRow:
        told = studio.experiments.foresee(_read(wanted, studio, owner, own), owner)
        low, likely, high = (getattr(told.seconds, part, None) for part in ("low", "likely", "high"))
        return ForeseenRow(
            cells=told.cells,
            cached=told.cached,
            pictures=told.pictures,
            megapixel_steps=told.megapixel_steps,
            seconds=likely,
            seconds_low=low,
            seconds_high=high,
            memory=told.memory,
        )

    return await run_in_threadpool(look)


@router.get("", responses=REFUSED)
def list_experiments(studio: Services, person: Person, wanted: Annotated[ExperimentsWanted, Query()]) -> ExperimentList:
    """The caller's experiments, newest first."""
    found = studio.experiments.list(owner=owner_wanted(person, wanted.owner), limit=wanted.after + wanted.limit + 1)
    return page_of(ExperimentList, "experiments", [_row(record) for record in found], wanted)


@router.get("/axes")
def list_axes(studio: Services, wanted: Annotated[Paging, Query()]) -> KindList:
    """Every axis that may be asked for; `prompt.lora` wants the name of a network behind another dot."""
    found = [*kinds().values(), *script_kinds(studio.scripts, "txt2img", "img2img")]
    return page_of(KindList, "axes", found, wanted)


@router.get("/{experiment_id}", responses=REFUSED)
def get_experiment(studio: Services, person: Person, experiment_id: str) -> ExperimentRow:
    """One experiment and how far it is."""
    return _row(_experiment_of(studio, person, experiment_id))


@router.delete("/{experiment_id}", responses=REFUSED)
def remove_experiment(
    studio: Services, person: Member, experiment_id: str, wanted: Annotated[Leaving, Query()]
) -> Changed:
    """Take it away, and its pictures if wanted; one that runs goes when it has ended. Not for guests."""
    record = _experiment_of(studio, person, experiment_id)
    return Changed(changed=studio.experiments.remove(record.id, pictures=wanted.pictures))


@router.post("/prune", responses=REFUSED)
def prune_experiments(studio: Services, owner: Owner, member: Member, wanted: PruneWanted) -> Pruned:
    """Take away the caller's experiments that have ended, beyond an age or a number. Not for guests."""
    return Pruned(removed=studio.experiments.prune(Keeping(wanted.days, wanted.number, wanted.pictures), owner))


@router.get("/{experiment_id}/cells", responses=REFUSED)
def list_cells(studio: Services, person: Person, experiment_id: str, wanted: Annotated[Paging, Query()]) -> CellList:
    """Its cells, with the jobs whose pictures they show."""
    record = _experiment_of(studio, person, experiment_id)
    return page_of(CellList, "cells", studio.experiments.cells(record.id), wanted)


@router.post("/{experiment_id}/cancel", responses=REFUSED)
def cancel_experiment(studio: Services, person: Person, experiment_id: str) -> Changed:
    """Leave out what is not drawn yet, and stop what is being drawn."""
    return Changed(changed=studio.experiments.cancel(_experiment_of(studio, person, experiment_id).id))


@router.post("/{experiment_id}/resume", responses=REFUSED)
def resume_experiment(studio: Services, person: Person, experiment_id: str) -> Changed:
    """Draw what failed or was cancelled once more, and the rest of a stopped one."""
    return Changed(changed=studio.experiments.resume(_experiment_of(studio, person, experiment_id).id))


@router.get("/{experiment_id}/files", responses=REFUSED)
def list_files(studio: Services, person: Person, experiment_id: str) -> FileNames:
    """Names of its files: sheets, a page, tables."""
    record = _experiment_of(studio, person, experiment_id)
    return FileNames(files=list(studio.experiments.files(record.id)))


@router.get("/{experiment_id}/files/{name}", response_class=Response, responses=FILE)
def get_file(studio: Services, person: Person, experiment_id: str, name: str) -> Response:
    """One of its files, as it is now: cells that are not drawn yet say so."""
    record = _experiment_of(studio, person, experiment_id)
    data, kind = studio.experiments.file(record.id, name)
    # A page is for keeping, not for running here: its scripts would be this server's.
    headers = {"Content-Disposition": f"attachment; filename={name}", "Cache-Control": "no-store"}
    return Response(data, media_type=kind, headers=headers)


def _read(wanted: ExperimentWanted, studio: Studio, owner: str, own: Own) -> Experiment:
    base = read_wanted(wanted.request, studio, Intake(studio, owner), own.defaults(owner))
    reader = AxisReader(studio.catalog, scripts=studio.scripts, base=base)
    tab = tab_of(base)
    axes = [reader.axis(axis.axis, axis.values, tab) for axis in wanted.axes]
    return make_experiment(base, axes, exclude=wanted.exclude, name=wanted.name)


def _experiment_of(studio: Studio, caller: Caller, experiment_id: str) -> ExperimentRecord:
    """Raises `UnknownName` when there is none, `NotAllowed` when it is another owner's."""
    decent = 0 < len(experiment_id) <= ID_LENGTH and experiment_id.isprintable()
    record = studio.experiments.get(experiment_id) if decent else None
    if record is None:
        raise UnknownName(f"There is no experiment {experiment_id[:SHOWN]!r}.")
    if not caller.may_touch(record.owner):
        raise NotAllowed(f"Experiment {experiment_id[:SHOWN]!r} belongs to somebody else.")
    return record


def _row(record: ExperimentRecord) -> ExperimentRow:
    axes = [AxisRow(key=axis.key, label=axis.label, values=list(axis.values)) for axis in record.experiment.axes]
    return ExperimentRow(
        id=record.id,
        owner=record.owner,
        name=record.experiment.name,
        state=record.state,
        created=record.created,
        ended=record.ended,
        counts=record.counts,
        axes=axes,
    )
