"""Experiments on the page: the form as it stands varies along axes; foreseen, drawn, stopped, resumed and looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import gradio as gr

from modules.contracts.accounts import NOT_FOR_GUESTS
from modules.contracts.catalog import Catalog
from modules.contracts.errors import InvalidRequest, NotAllowed, StudioError, UnknownName
from modules.contracts.experiments import MOST_AXES, Experiment, ExperimentRecord
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import Scripts
from modules.experiments.changing import CONTROL, LORA
from modules.experiments.kinds import find_kind, find_script_kind, kinds, script_kinds
from modules.experiments.legacy import tab_of
from modules.experiments.reading import AxisReader, make_experiment
from modules.support.studio import Studio
from modules.ui import experimentview as view
from modules.ui.control import UNITS
from modules.ui.desk import check_words
from modules.ui.facts import Choices, choices_of
from modules.ui.given import Page, is_guest, owner_of, page_of

log = logging.getLogger(__name__)
LETTERS = "xyz"
NONE: Choices = [("None", "")]
LISTED = 50
"""Experiments that the page offers, the newest."""
MOST_LINES, LONGEST_NAME = 64, 200
LOOK = 0.5
"""How often an experiment that is shown is looked at, seconds."""
TROUBLE = "Something went wrong inside the studio; its log says more."
VALUES = 'Values such as 1-5 (+2), 1-10 [4], or a, "b, c", d'
Compose = Callable[[gr.Request, Sequence[Any]], GenerationRequest]
"""What the form asks for, of the values of its inputs. Raises `StudioError`."""


class ExperimentPanel:
    """The accordion. One per page as it is built; open pages share it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._watched: dict[Page, object] = {}
        """What each open page looks at: of two watches the later one stays. Touched in the event loop only."""
        self.fields: list[Any] = []
        """Axis and values of x, y and z, then further axes, what is left out, and the name."""

    def build(self) -> None:
        """Make the accordion in the current layout."""
        offered = axis_choices(self._studio)
        with gr.Accordion("Experiment", open=False, elem_id="atelier_experiment", elem_classes="section"):
            for letter in LETTERS:
                with gr.Row():
                    self._add_axis(letter, offered)
            self._add("further", "Further axes, one a line", lines=1, placeholder="sampling.sampler: DDIM, Euler")
            self._add("exclude", "Left out where, one a line", lines=1, placeholder="steps > 20 and cfg_scale < 5")
            self._add("name", "Name of the experiment", placeholder="Steps and guidance")
            with gr.Row():
                self._dry = gr.Button("Dry run", elem_id="atelier_experiment_dry")
                self._start = gr.Button("Draw the grid", variant="primary", elem_id="atelier_experiment_start")
            self._told = self._html("told")
            self._chosen = gr.Dropdown([], label="Experiments", elem_id="atelier_experiment_chosen", min_width=0)
            with gr.Row():
                self._cancel = gr.Button("Cancel", variant="stop", elem_id="atelier_experiment_cancel")
                self._resume = gr.Button("Resume", elem_id="atelier_experiment_resume")
            with gr.Row() as self._leaving:
                self._pictures = gr.Checkbox(
                    label="Its pictures too", container=False, elem_id="atelier_experiment_pictures", min_width=0
                )
                self._remove = gr.Button("Remove", variant="stop", elem_id="atelier_experiment_remove")
            self._shown = self._html("shown")

    def _add_axis(self, letter: str, offered: Choices) -> None:
        place, label = f"atelier_experiment_{letter}", f"{letter.upper()} axis"
        axis = gr.Dropdown(
            offered, value="", label=label, elem_id=place, filterable=True, allow_custom_value=True, min_width=0
        )
        values = gr.Textbox(label=f"{letter.upper()} values", elem_id=f"{place}_values", placeholder=VALUES)
        self.fields += [axis, values]

    def _add(self, name: str, label: str, **look: Any) -> None:
        self.fields.append(gr.Textbox(label=label, elem_id=f"atelier_experiment_{name}", **look))

    def _html(self, name: str) -> Any:
        return gr.HTML("", elem_id=f"atelier_experiment_{name}", js_on_load=None, apply_default_css=False)

    def connect(self, page: gr.Blocks, form: Sequence[Any], compose: Compose, quiet: dict[str, Any]) -> None:
        """Say which handler each control calls. `form` are the inputs whose values `compose` reads."""
        raw = {**quiet, "preprocess": False}
        asked = [*form, *self.fields]

        # Gradio reads from the words of a handler that it wants the request.
        async def foresee(request: gr.Request, *values: Any) -> str:
            return await self.foresee(request, partial(self._read, compose, request, values))

        async def start(request: gr.Request, *values: Any) -> AsyncGenerator[tuple[Any, Any, Any], None]:
            async with aclosing(self.start(request, partial(self._read, compose, request, values))) as showing:
                async for shown in showing:
                    yield shown

        self._dry.click(foresee, asked, self._told, **raw)
        self._start.click(start, asked, [self._told, self._chosen, self._shown], trigger_mode="multiple", **raw)
        self._chosen.input(self.show, self._chosen, self._shown, trigger_mode="multiple", **raw)
        self._cancel.click(self.cancel, self._chosen, self._shown, trigger_mode="multiple", **raw)
        self._resume.click(self.resume, self._chosen, self._shown, trigger_mode="multiple", **raw)
        self._remove.click(self.remove, [self._chosen, self._pictures], [self._told, self._chosen, self._shown], **raw)
        for axis, values in zip(self.fields[: 2 * len(LETTERS) : 2], self.fields[1::2], strict=False):
            axis.change(self.hint, axis, values, **raw)
        page.load(self.offer_remove, None, self._leaving, **quiet)
        page.load(self.opened, None, [self._chosen, self._shown, *self.fields[: 2 * len(LETTERS) : 2]], **quiet)

    def hint(self, axis: Any) -> Any:
        """What may be written beside that axis: the names where there are some."""
        return gr.update(placeholder=hint_of(self._studio.catalog, self._studio.scripts, str(axis or "")))

    async def foresee(self, request: gr.Request, read: Callable[[], Experiment]) -> str:
        """What the grid would take, in words."""

        def look() -> str:
            return view.foreseen(self._studio.experiments.foresee(read(), owner_of(request)))

        return await _told(look)

    async def start(
        self, request: gr.Request, read: Callable[[], Experiment]
    ) -> AsyncGenerator[tuple[Any, Any, Any], None]:
        """Begin to draw the grid, and show how far it is until it has ended."""
        owner, begun = owner_of(request), ""

        def begin() -> str:
            nonlocal begun
            begun = self._studio.experiments.start(read(), owner).id
            return ""

        said = await _told(begin)
        if not begun:
            yield said, gr.skip(), gr.skip()
            return
        yield said, gr.update(choices=await asyncio.to_thread(self._listed, owner), value=begun), gr.skip()
        async with aclosing(self.show(request, begun)) as showing:
            async for shown in showing:
                yield gr.skip(), gr.skip(), shown

    async def show(self, request: gr.Request, chosen: Any) -> AsyncGenerator[str, None]:
        """How far one of the owner's experiments is, until it has ended or the page looks at another."""
        page, mine, last = page_of(request), object(), ""
        self._watched[page] = mine
        try:
            while self._watched.get(page) is mine:
                shown, running = await asyncio.to_thread(self._look, owner_of(request), str(chosen or ""))
                if shown != last:
                    yield shown
                last = shown
                if not running:
                    return
                await asyncio.sleep(LOOK)
        finally:
            if self._watched.get(page) is mine:
                del self._watched[page]

    async def cancel(self, request: gr.Request, chosen: Any) -> AsyncGenerator[str, None]:
        """Leave out what is not drawn yet, and show what there is."""
        async with aclosing(self._change(request, chosen, self._studio.experiments.cancel)) as showing:
            async for shown in showing:
                yield shown

    async def resume(self, request: gr.Request, chosen: Any) -> AsyncGenerator[str, None]:
        """Draw what failed, was cancelled or never drawn, and show how far it is."""
        async with aclosing(self._change(request, chosen, self._studio.experiments.resume)) as showing:
            async for shown in showing:
                yield shown

    def offer_remove(self, request: gr.Request) -> Any:
        """The button that takes one away, for those who may."""
        return gr.update(visible=not is_guest(self._studio.accounts, request))

    async def remove(self, request: gr.Request, chosen: Any, pictures: Any) -> list[Any]:
        """Take one away, with its pictures if wanted; one that runs goes when it has ended. Not for guests."""
        owner, gone = owner_of(request), False

        def act() -> str:
            nonlocal gone
            if is_guest(self._studio.accounts, request):
                raise NotAllowed(NOT_FOR_GUESTS)
            record = self._found(owner, str(chosen or ""))
            gone = self._studio.experiments.remove(record.id, pictures=bool(pictures))
            return view.removed(record)

        said = await _told(act)
        if not gone:
            return [said, gr.skip(), gr.skip()]
        listed = [pair for pair in await asyncio.to_thread(self._listed, owner) if pair[1] != chosen]
        return [said, gr.update(choices=listed, value=None), ""]

    async def opened(self, request: gr.Request) -> AsyncGenerator[list[Any], None]:
        """A page was opened: the owner's experiments, the newest one as it stands, and the axes that there are now."""
        listed = await asyncio.to_thread(self._listed, owner_of(request))
        offered = [gr.update(choices=axis_choices(self._studio))] * len(LETTERS)
        newest = listed[0][1] if listed else None
        yield [gr.update(choices=listed, value=newest), gr.skip(), *offered]
        if newest is None:
            return
        async with aclosing(self.show(request, newest)) as showing:
            async for shown in showing:
                yield [gr.skip(), shown, *[gr.skip()] * len(LETTERS)]

    async def _change(
        self, request: gr.Request, chosen: Any, change: Callable[[str], bool]
    ) -> AsyncGenerator[str, None]:
        owner = owner_of(request)

        def act() -> str:
            change(self._found(owner, str(chosen or "")).id)
            return ""

        said = await _told(act)
        if said:
            yield said
            return
        async with aclosing(self.show(request, chosen)) as showing:
            async for shown in showing:
                yield shown

    def _look(self, owner: str, chosen: str) -> tuple[str, bool]:
        """What is shown of an experiment, and whether it is being drawn."""
        experiments = self._studio.experiments
        try:
            record = self._found(owner, chosen)
            if record.state == "running":
                return view.progress(record), True
            return view.ended(record, experiments.cells(record.id), experiments.files(record.id)), False
        except StudioError as error:
            return view.refused(error.message), False

    def _found(self, owner: str, chosen: str) -> ExperimentRecord:
        record = self._studio.experiments.get(chosen) if chosen.isalnum() else None
        if record is None or record.owner != owner:
            raise UnknownName("There is no such experiment of yours; choose one from the list.")
        return record

    def _listed(self, owner: str) -> Choices:
        return [(view.title(record), record.id) for record in self._studio.experiments.list(owner=owner, limit=LISTED)]

    def _read(self, compose: Compose, request: gr.Request, values: Sequence[Any]) -> Experiment:
        count = len(self.fields)
        base, own = compose(request, values[:-count]), [str(value or "") for value in values[-count:]]
        check_words(base)
        *axes, further, exclude, name = own
        wanted = [(axis, text) for axis, text in zip(axes[::2], axes[1::2], strict=True) if axis.strip()]
        tab = tab_of(base)
        told = [name for kind in script_kinds(self._studio.scripts, tab) for name in (kind.key, kind.label)]
        wanted += [split_line(line, told) for line in lines_of(further)]
        left_out = lines_of(exclude)
        if len(wanted) > MOST_AXES or len(left_out) > MOST_LINES or len(name) > LONGEST_NAME:
            raise InvalidRequest(
                f"An experiment has at most {MOST_AXES} axes, {MOST_LINES} lines of what is left out, and a name of at"
                f" most {LONGEST_NAME} letters."
            )
        if not wanted:
            raise InvalidRequest("No axis is chosen; choose what varies, and write its values beside it.")
        reader = AxisReader(self._studio.catalog, scripts=self._studio.scripts, base=base)
        made = [reader.axis(axis, text, tab) for axis, text in wanted]
        return make_experiment(base, made, exclude=left_out, name="".join(filter(str.isprintable, name)).strip())


def axis_choices(studio: Studio) -> Choices:
    """Axes to choose from: what is declared, units that the page has, the weight of each LoRA that is there, and what
    scripts are told."""
    unseen = tuple(f"{CONTROL}.{number}." for number in range(UNITS))
    plain = [
        (kind.label, key)
        for key, kind in kinds().items()
        if key != LORA and (key.startswith(unseen) or not key.startswith(f"{CONTROL}."))
    ]
    networks = [entry.name for entry in studio.networks.list("lora") if entry.problem is None]
    told = [(kind.label, kind.key) for kind in script_kinds(studio.scripts, "txt2img", "img2img")]
    return [*NONE, *plain, *((f"LoRA weight: {name}", f"{LORA}.{name}") for name in networks), *told]


def hint_of(catalog: Catalog, scripts: Scripts, axis: str) -> str:
    """The names that an axis takes, at most 200 letters of them, or how values are written."""
    kind = find_script_kind(scripts, axis, "txt2img") or find_script_kind(scripts, axis, "img2img")
    try:
        kind = kind or find_kind(axis)
    except InvalidRequest:
        return VALUES
    if isinstance(kind.choices, tuple):
        names: Sequence[str] = kind.choices
    elif kind.choices in ("models", "vaes", "text_encoders", "samplers", "schedulers", "upscalers"):
        names = [name for _, name in choices_of(catalog, kind.choices) if name]
    else:
        return "on, off" if kind.type == "bool" else kind.help or VALUES
    return ", ".join(names)[:200] or VALUES


def lines_of(text: str) -> list[str]:
    """The lines that say something."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def split_line(line: str, told: Sequence[str] = ()) -> tuple[str, str]:
    """Axis and values of `AXIS: VALUES`. Raises `InvalidRequest` for a line without a colon.

    Names of the form `LoRA weight: NAME` have a colon of their own, and so may those that are `told`.
    """
    for name in sorted(told, key=len, reverse=True):
        if line.casefold().startswith(f"{name.casefold()}:"):
            return name, line[len(name) + 1 :].strip()
    axis, colon, values = line.partition(":")
    if axis.strip().casefold() == "lora weight":
        name, colon, values = values.partition(":")
        axis = f"{axis}:{name}"
    if not colon or not axis.strip():
        raise InvalidRequest(f"The line {line[:80]!r} names no axis; one is written as sampling.steps: 4, 8.")
    return axis.strip(), values.strip()


async def _told(action: Callable[[], str]) -> str:
    """What the action says, or why it was refused, as HTML. The border to Gradio."""
    try:
        return await asyncio.to_thread(action)
    except StudioError as error:
        return view.refused(error.message)
    except Exception:
        log.exception("the page's experiment could not be looked at")
        return view.refused(TROUBLE)
