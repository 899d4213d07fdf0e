"""`grid`: an experiment out of a YAML or JSON file, its results in a folder."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.bootstrap.flags import Command
from modules.cli import terminal
from modules.contracts.accounts import TERMINAL
from modules.contracts.errors import InvalidRequest, UnknownName
from modules.contracts.experiments import Experiment, ExperimentRecord, Keeping

if TYPE_CHECKING:
    import argparse

    from modules.support.studio import Studio

LOOK_SECONDS = 0.5
FAILED = 1
MOST_LISTED = 1000


def run(command: Command) -> int:
    """Draws what is missing and writes the results. 0, or 1 when a cell failed; errors go up as `StudioError`.

    What an earlier run of the same file has drawn is taken from the gallery, so one that was killed goes on. Ctrl-C
    stops the jobs. Without a file it lists, resumes or removes what earlier commands have left.
    """
    given = command.arguments
    if given.dry_run and given.file is None:
        raise InvalidRequest("--dry-run is about a FILE; it does not go with --list, --resume, --remove or --prune.")
    read = None if given.file is None else _read(given.file)
    draws = read is not None or given.resume is not None
    from modules.app import build_studio
    from modules.support.log import configure

    configure(json_lines=command.options.run.log_json, level=logging.WARNING)
    studio = build_studio(command.options, private=True, start_engine=draws, warm=draws and not given.dry_run)
    try:
        if not draws:
            tend(studio, given)
            return 0
        if read is None:
            record, folder = _resume(studio, given.resume), Path(given.resume)
        else:
            experiment, folder = make(read, studio, given.file.parent), given.file.with_suffix("")
            if given.dry_run:
                _tell(studio, experiment)
                return 0
            record = studio.experiments.start(experiment, TERMINAL)
        record = _follow(studio, record)
        _write(studio, record, given.output or folder)
        if not record.experiment.base.output.save:
            studio.experiments.remove(record.id)
    finally:
        studio.close()
    return FAILED if record.counts.get("failed") else 0


def tend(studio: Studio, given: argparse.Namespace) -> None:
    """List, remove or prune the terminal's experiments, as the command line says. Raises `UnknownName`."""
    experiments = studio.experiments
    if given.remove is not None:
        experiments.remove(_own(studio, given.remove).id, pictures=given.with_pictures)
    elif given.prune:
        count = experiments.prune(Keeping(given.keep_days, given.keep_number, given.with_pictures), TERMINAL)
        sys.stdout.write(f"{count} experiments removed\n")
    else:
        for record in experiments.list(owner=TERMINAL, limit=MOST_LISTED):
            done, whole = record.counts.get("done", 0), sum(record.counts.values())
            name = record.experiment.name
            sys.stdout.write(f"{record.id}  {record.created:%Y-%m-%d %H:%M}  {record.state}  {done}/{whole}  {name}\n")


def _resume(studio: Studio, wanted: str) -> ExperimentRecord:
    record = _own(studio, wanted)
    if record.state == "running":
        raise InvalidRequest(f"Experiment {record.id} is being drawn by another process, or was killed just now.")
    studio.experiments.resume(record.id)  # with nothing left to draw its results are written once more
    return record


def _own(studio: Studio, wanted: str) -> ExperimentRecord:
    record = studio.experiments.get(wanted)
    if record is None or record.owner != TERMINAL:
        raise UnknownName(
            f"The terminal has no experiment {wanted[:64]!r}; launch.py grid --list says which there are."
        )
    return record


def make(read: Mapping[str, Any], studio: Studio, folder: Path) -> Experiment:
    """The experiment of a file, whose `request`, `axes`, `exclude` and `name` are those of `POST /api/v1/experiments`.

    Axes may also be an object of names and values. Values `@NAME` are the lines of a file in `folder`. Raises
    `InvalidRequest` and what names that are not there raise.
    """
    from pydantic import ValidationError

    from modules.api.experiments import ExperimentWanted
    from modules.api.fields import complaint_of
    from modules.api.intake import Intake
    from modules.api.typed import read_wanted
    from modules.experiments.legacy import tab_of
    from modules.experiments.reading import AxisReader, make_experiment

    axes = read.get("axes", [])
    if isinstance(axes, Mapping):
        axes = [{"axis": name, "values": values} for name, values in axes.items()]
    axes = [{**axis, "values": _values(axis.get("values"))} for axis in axes if isinstance(axis, Mapping)]
    try:
        wanted = ExperimentWanted.model_validate({**read, "axes": axes})
    except ValidationError as error:
        raise InvalidRequest(complaint_of(error)) from error
    base = read_wanted(wanted.request, studio, Intake(studio, TERMINAL))

    def read_file(name: str) -> str:
        return _text(folder / name)

    reader = AxisReader(studio.catalog, read_file, studio.scripts, base)
    tab = tab_of(base)
    made = [reader.axis(axis.axis, axis.values, tab) for axis in wanted.axes]
    said = wanted.request.seeds.seed != -1
    # Without a seed of its own a second run of the file would draw everything anew.
    base = base if said else replace(base, seeds=replace(base.seeds, seed=0))
    return make_experiment(base, made, exclude=wanted.exclude, name=wanted.name)


def _values(given: Any) -> Any:
    """A single number or word of YAML is a text of values."""
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given


def _read(path: Path) -> Mapping[str, Any]:
    text = _text(path)
    try:
        if path.suffix.casefold() == ".json":
            read = json.loads(text)
        else:
            import yaml

            try:
                read = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ValueError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"'{path}' cannot be read: {' '.join(str(error).split())[:200]}.") from error
    if not isinstance(read, Mapping):
        raise InvalidRequest(f"'{path}' holds no object; request and axes are needed.")
    return read


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _tell(studio: Studio, experiment: Experiment) -> None:
    told = studio.experiments.foresee(experiment, TERMINAL)
    time = "not known yet" if told.seconds is None else f"about {told.seconds.likely:.0f} s"
    sys.stdout.write(
        f"{told.cells} cells, {told.cached} drawn before, {told.pictures} pictures to draw; time: {time}\n"
    )


def _follow(studio: Studio, record: ExperimentRecord) -> ExperimentRecord:
    """Waits for the end with a bar. Ctrl-C cancels what is left."""
    whole = sum(record.counts.values())
    try:
        with terminal.bar(terminal.remarks(), lambda: studio.status.message) as progress:
            task = progress.add_task("", total=whole)
            while True:
                try:
                    return studio.experiments.wait(record.id, LOOK_SECONDS)
                except TimeoutError:
                    now = studio.experiments.get(record.id)
                    counts = {} if now is None else now.counts
                    left = counts.get("waiting", 0) + counts.get("queued", 0)
                    progress.update(task, completed=whole - left)
    except KeyboardInterrupt:
        studio.experiments.cancel(record.id)
        raise


def _write(studio: Studio, record: ExperimentRecord, folder: Path) -> None:
    from modules.support.atomic import write_bytes

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"The folder '{folder}' cannot be made: {error.strerror or error}.") from error
    for name in studio.experiments.files(record.id):
        write_bytes(folder / name, studio.experiments.file(record.id, name)[0])
        sys.stdout.write(f"{folder / name}\n")
    for cell in studio.experiments.cells(record.id):
        if cell.error:
            sys.stderr.write(f"cell {cell.position}: {cell.error}\n")
