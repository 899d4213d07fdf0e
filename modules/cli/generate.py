"""`generate`: one job in an engine of its own, with a progress bar, and its pictures in the files that were named."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID

from modules.bootstrap.flags import RECIPE, Command
from modules.cli import terminal
from modules.cli.recipe import request_from, targets
from modules.contracts.accounts import TERMINAL
from modules.contracts.errors import InvalidRequest, StudioError
from modules.contracts.events import Event, StageStarted, StepDone
from modules.contracts.jobs import JobHandle
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult
from modules.support.usual import usual_steps

if TYPE_CHECKING:
    from modules.support.studio import Status, Studio

STAGES = {
    "load": "Loading the model",
    "encode": "Reading the prompt",
    "denoise": "Drawing",
    "hires": "Drawing larger",
    "decode": "Developing",
    "save": "Saving",
    "enlarge": "Making it larger",
}
"""Names of stages in words for a person."""


def run(command: Command) -> int:
    """Draws and writes. 0 when every picture is in its file; errors go up as `StudioError`, Ctrl-C stops the job."""
    given = command.arguments
    return carry_out(command, request_from(given), own_steps=getattr(given, RECIPE["--steps"]) is None)


def carry_out(command: Command, request: GenerationRequest, *, own_steps: bool = False) -> int:
    """One job of a studio of its own, its pictures in the files that `-o` names. As `run`.

    `own_steps` takes the model's own number of steps in place of the request's.
    """
    output: Path = command.arguments.output
    _make_folder(output)
    console = terminal.remarks()

    from modules.app import build_studio
    from modules.support.log import configure

    # The bar says what goes on; the log is for what went wrong.
    configure(json_lines=command.options.run.log_json, level=logging.WARNING)
    # Making pictures larger needs no checkpoint, so none is loaded beforehand.
    studio = build_studio(command.options, private=True, warm=request.enlarge is None)
    try:
        if own_steps:
            steps = usual_steps(studio.catalog, request.model.checkpoint)
            request = replace(request, sampling=replace(request.sampling, steps=steps))
        handle = studio.queue.submit(request, owner=TERMINAL)
        result = follow(handle, studio.status, console)
        _write(result, output, studio, console)
    finally:
        studio.close()
    return 0


def follow(handle: JobHandle, status: Status, console: Console) -> GenerationResult:
    """Shows how the start and then the job go on, and returns the result. Ctrl-C cancels the job and goes up."""
    try:
        with terminal.bar(console, lambda: status.message) as progress:
            task = progress.add_task("", total=None)
            for event in handle.iterate():
                show(event, progress, task)
        return handle.wait()
    except KeyboardInterrupt:
        handle.cancel()
        raise


def show(event: Event, progress: Progress, task: TaskID) -> None:
    """Moves the bar to what the event says."""
    if isinstance(event, StageStarted):
        progress.update(task, description=STAGES.get(event.stage, event.stage.capitalize()))
    elif isinstance(event, StepDone):
        done = event.batch * event.steps + event.step
        progress.update(task, completed=done, total=event.batches * event.steps)


def _make_folder(output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"The folder of '{output}' cannot be made: {error.strerror or error}.") from error
    if output.is_dir():
        raise InvalidRequest(f"'{output}' is a folder; -o names the file of the picture.")


def _write(result: GenerationResult, output: Path, studio: Studio, console: Console) -> None:
    from modules.outputs.codec import encode
    from modules.support.atomic import write_bytes

    for note in result.notes:
        console.print(note)
    if not result.pictures:
        raise StudioError("The job ended without a picture.")
    for picture, path in zip(result.pictures, targets(output, len(result.pictures)), strict=True):
        write_bytes(path, encode(picture, path, quality=studio.settings["jpeg_quality"]))
        drawn = "" if picture.recipe.get("mode") == "enlarge" else f"seed {picture.seed}, "
        console.print(f"{path}  ({drawn}{picture.image.width} × {picture.image.height})")
