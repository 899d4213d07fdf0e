"""A1111's script "X/Y/Z plot": its positional arguments, and the answer with grid and cells in its order."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from PIL import Image
from starlette.concurrency import run_in_threadpool

from modules.api.answers import describe, echo
from modules.api.images import to_base64
from modules.api.reading import Wish
from modules.api.running import attended, wait_ready
from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import Axis, CellRecord, Experiment, ExperimentRecord
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult, Picture
from modules.contracts.scripts import Scripts
from modules.experiments.cells import caption
from modules.experiments.grammar import boolean, number
from modules.experiments.kinds import Kind, find_script_kind, script_kinds
from modules.experiments.legacy import Tab, axis_at, kind_of, labels_of
from modules.experiments.reading import AxisReader, make_experiment
from modules.experiments.results import Results
from modules.support.sheets import LONGEST_SIDE, Layout, Shown, draw_sheet
from modules.support.studio import Studio

SCRIPT = "x/y/z plot"
"""Name of the script, whatever its case."""
LOOK_SECONDS = 1.0
MOST_MARGIN = 500
USUAL: tuple[Any, ...] = (0, "", [], 0, "", [], 0, "", [], True, False, False, False, False, False, False, 0, False)
"""A1111's arguments where a body leaves them out: type, values and chosen values of x, y and z, then the switches."""


@dataclass(frozen=True, slots=True)
class Plot:
    """What the script is asked for."""

    axes: tuple[tuple[int, Axis], ...]
    """Number 0 to 2 of x, y or z, and what varies along it."""
    legend: bool
    cells: bool
    sub_grids: bool
    own_seeds: bool
    vary_seeds: tuple[int, ...]
    """Numbers of x, y and z."""
    margin: int

    def experiment(self, wish: Wish) -> Experiment:
        """The grid to be drawn. Raises `InvalidRequest`."""
        base = wish.request
        varied = tuple(place for place, (letter, _) in enumerate(self.axes) if letter in self.vary_seeds)
        own = self.own_seeds and base.seeds.seed == -1
        axes = [axis for _, axis in self.axes]
        return make_experiment(base, axes, name="X/Y/Z plot", vary_seeds=varied, own_seeds=own)


def is_plot(body: Mapping[str, Any]) -> bool:
    """Whether a body asks for the script."""
    name = body.get("script_name")
    return isinstance(name, str) and name.strip().casefold() == SCRIPT


def plot_labels(tab: Tab, scripts: Scripts) -> list[str]:
    """The labels of a tab's axes, in the order in which they are numbered: A1111's own, then what scripts are told."""
    return [*labels_of(tab), *(kind.label for kind in script_kinds(scripts, tab))]


def _kind_at(tab: Tab, wanted: object, scripts: Scripts) -> Kind | None:
    """The kind of that number or label; None for nothing. Raises as `read_plot` does."""
    count = len(labels_of(tab))
    told = script_kinds(scripts, tab)
    if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted - count in range(len(told)):
        return told[wanted - count]
    try:
        row = axis_at(tab, wanted)
    except InvalidRequest:
        found = find_script_kind(scripts, wanted, tab) if isinstance(wanted, str) else None
        if found is None:
            raise
        return found
    return kind_of(row, tab) if row.key else None


def read_plot(given: Any, tab: Tab, studio: Studio, base: GenerationRequest) -> Plot:
    """The script's arguments for a plot of `base`. Axes are numbers of the tab's list or labels; raises
    `InvalidRequest`, and `UnsupportedFeature` for an axis that has no counterpart here."""
    if not isinstance(given, list | tuple) or len(given) > len(USUAL):
        raise InvalidRequest(f"X/Y/Z plot: script_args has to be a list of up to {len(USUAL)} arguments.")
    words = [*given, *USUAL[len(given) :]]
    switches = [boolean(word, f"X/Y/Z plot, argument {place}") for place, word in enumerate(words) if 9 <= place < 16]
    csv_mode, margin = boolean(words[17], "X/Y/Z plot, csv_mode"), number(words[16], "X/Y/Z plot, margin_size")
    if not 0 <= margin <= MOST_MARGIN:
        raise InvalidRequest(f"X/Y/Z plot: the margin is {margin:g}; allowed is 0 to {MOST_MARGIN}.")
    reader, axes = AxisReader(studio.catalog, scripts=studio.scripts, base=base), []
    for letter in range(3):
        wanted, text, chosen = words[3 * letter : 3 * letter + 3]
        kind = _kind_at(tab, wanted, studio.scripts)
        if kind is None:
            continue
        listed = isinstance(chosen, list) and bool(chosen) and kind.choices is not None and not csv_mode
        if not listed and not isinstance(text, str):
            raise InvalidRequest(f"X/Y/Z plot: the values of {kind.label} are {text!r:.60}; a text is needed.")
        axes.append((letter, reader.of(kind, chosen if listed else text, tab)))
    legend, cells, sub_grids, own_seeds, *vary = switches
    varied = tuple(letter for letter, yes in enumerate(vary) if yes)
    return Plot(tuple(axes), legend, cells, sub_grids, own_seeds, varied, int(margin))


async def draw_plot(request: Request, studio: Studio, plot: Plot, wish: Wish, owner: str) -> ExperimentRecord:
    """Draw the grid to its end. A client that hangs up cancels what is left; raises as a job does."""
    await wait_ready(studio)
    experiment = plot.experiment(wish)
    record = await run_in_threadpool(studio.experiments.start, experiment, owner)

    async def finish() -> ExperimentRecord:
        while True:
            try:
                return await run_in_threadpool(studio.experiments.wait, record.id, LOOK_SECONDS)
            except TimeoutError:
                await asyncio.sleep(0)

    done = False
    try:
        ended = await attended(request, finish())
        done = True
        return ended
    finally:
        if not done:
            forsake(studio, record)


def forsake(studio: Studio, record: ExperimentRecord) -> None:
    """The client has its answer or has gone: a grid that runs is cancelled, and one that is not to be saved goes."""
    if record.experiment.base.output.save:
        studio.experiments.cancel(record.id)
    else:
        studio.experiments.remove(record.id)


def answer_plot(studio: Studio, plot: Plot, wish: Wish, record: ExperimentRecord, said: Mapping[str, Any]) -> bytes:
    """The answer as JSON: the grid, with `include_sub_grids` one for each z, then the cells if wanted.

    Blocks. `said` are fields of the body that go back as they came.
    """
    results, cells = Results(studio.pictures), studio.experiments.cells(record.id)
    shown = [results.shown(cell) for cell in cells]
    pictures = [_picture(results, cell, image) for cell, image in zip(cells, shown, strict=True)]
    first = next((picture for picture in pictures if picture.infotext), pictures[0])
    grids = _grids(plot, shown)
    sheets = [_join(plot, grids), *(grids if plot.sub_grids else ())]
    kept = pictures if plot.cells else []
    images = [to_base64(_png(image)) for image in (*sheets, *(picture.image for picture in kept))]
    failed = [f"Cell {cell.position + 1}: {cell.error}" for cell in cells if cell.error]
    result = GenerationResult(tuple(pictures), {}, tuple(failed), interrupted=record.state == "cancelled")
    info = describe(wish, result, studio.versions.get("atelier", ""))
    info |= {"infotexts": [*([first.infotext] * len(sheets)), *(picture.infotext for picture in kept)]}
    info |= {"index_of_first_image": len(sheets)}
    if record.experiment.base.output.save:
        info |= {"experiment": record.id}
    if wish.body.get("send_images") is False:
        images = []
    answer = {"images": images, "parameters": {**echo(wish.body), **said}, "info": json.dumps(info, default=str)}
    return json.dumps(answer, default=str).encode()


def _grids(plot: Plot, shown: Sequence[Shown]) -> list[Image.Image]:
    """A grid of x and y for each z; cells count x fastest."""
    columns, rows, deep = (_captions(plot, letter) for letter in range(3))
    sizes = [image.size for image in shown if isinstance(image, Image.Image)] or [(64, 64)]
    width, height = max(size[0] for size in sizes), max(size[1] for size in sizes)
    across, down = len(columns) * len(deep) * (width + plot.margin), len(rows) * (height + plot.margin)
    share = min(1.0, LONGEST_SIDE / max(across, down))
    layout = Layout((max(1, int(width * share)), max(1, int(height * share))), plot.margin, plot.legend)
    whole = len(columns) * len(rows)

    def grid(part: Sequence[Shown]) -> Image.Image:
        return draw_sheet(columns, rows, lambda row, column: part[row * len(columns) + column], layout)

    return [grid(shown[start : start + whole]) for start in range(0, whole * len(deep), whole)]


def _join(plot: Plot, grids: Sequence[Image.Image]) -> Image.Image:
    """The grids of all z side by side under their captions."""
    if len(grids) == 1:
        return grids[0]
    layout = Layout(grids[0].size, plot.margin, plot.legend)
    return draw_sheet(_captions(plot, 2), [""], lambda row, column: grids[column], layout)


def _captions(plot: Plot, letter: int) -> list[str]:
    axis = next((axis for number, axis in plot.axes if number == letter), None)
    return [""] if axis is None else [caption(axis, index) for index in range(len(axis.values))]


def _picture(results: Results, cell: CellRecord, image: Shown) -> Picture:
    """A cell's first picture as a job would give it; a blank one of a cell that failed, as in A1111."""
    stored = results.stored(cell)
    if stored is None or not isinstance(image, Image.Image):
        return Picture(cell.position, Image.new("RGB", (64, 64)), 0, 0, "", "", "", {})
    recipe = stored.recipe
    seed, subseed = (int(recipe.get(name) or 0) for name in ("seed", "subseed"))
    words, negative = (str(recipe.get(name) or "") for name in ("prompt", "negative_prompt"))
    return Picture(cell.position, image, seed, subseed, words, negative, stored.infotext, recipe)


def _png(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=4)
    return target.getvalue()
