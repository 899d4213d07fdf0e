"""What happens when a control is used. The border to Gradio: errors become sentences here and nowhere deeper."""

from __future__ import annotations

import asyncio
import html
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar

import gradio as gr

from modules.contracts.accounts import NOT_FOR_GUESTS
from modules.contracts.errors import InvalidRequest, StudioError
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import GenerationRequest
from modules.support.preferences import Preferences
from modules.support.studio import Studio
from modules.ui import elements, form
from modules.ui.allowance import left_line
from modules.ui.control import ControlPanel
from modules.ui.desk import Desk
from modules.ui.editing import IDS, EditPanel, read_given
from modules.ui.enlarging import Wished, enlargement
from modules.ui.facts import NO_MODEL, choices_of, facts_of, size_for, style_choices
from modules.ui.given import is_guest, only_of, owner_of, page_of, recalled_by, said_by, text_by
from modules.ui.recalling import settle
from modules.ui.scripts import ScriptPanel
from modules.ui.shelf import shelf
from modules.ui.style import OFFERED, StylePanel
from modules.ui.table import PageTable

log = logging.getLogger(__name__)
Shown = tuple[Any, Any]
"""Values of stage and gallery."""
LOOK = 0.25
"""How often the page's line looks whether the start has moved on, seconds."""
REMEMBERED = 1000
"""Jobs of the Edit room, of which it is told which they are."""
TROUBLE = "Something went wrong inside the studio; its log says more."


def refusal(message: str) -> dict[str, Any]:
    """What the stage is told when a job was not taken."""
    return {"job": None, "phase": "refused", "headline": "Not started", "error": message, "notes": []}


class Handlers:
    """The page's handlers over the studio's services."""

    FITTED: ClassVar[tuple[str, ...]] = (
        "canvas.width",
        "canvas.height",
        "sampling.sampler",
        "sampling.scheduler",
        "sampling.steps",
        "sampling.cfg_scale",
    )
    """Parameters that another model sets anew."""
    ABILITIES: ClassVar[dict[str, str]] = {
        **{name: "video" for name in form.NAMES if name.startswith("film.")},
        **{name: "negative_prompt" for name in form.NAMES if name.startswith(("guidance.", "sampling.s_min_uncond"))},
        "attention.pag_scale": "perturbed_attention",
        "attention.seg_scale": "perturbed_attention",
        "attention.slg_scale": "skip_layers",
        **{name: "freeu" for name in form.NAMES if name.startswith("features.freeu")},
        "features.token_merging": "fewer_tokens",
        "features.hypertile": "fewer_tokens",
        "features.shrink": "deep_shrink",
        "features.shrink_end": "deep_shrink",
        **{name: "inpaint" for name in form.NAMES if name.startswith(("regions.", "detailer."))},
        "prompt.negative": "negative_prompt",
        "prompt.clip_skip": "clip_skip",
        "refiner.decoder_steps": "decoder_steps",
        "canvas.tiling": "tiling",
    }
    """Parameters that are only there when the model's family has the ability."""

    def __init__(
        self,
        studio: Studio,
        desk: Desk,
        table: PageTable,
        control: ControlPanel | None = None,
        style: StylePanel | None = None,
        scripts: ScriptPanel | None = None,
        larger: ScriptPanel | None = None,
        edit: EditPanel | None = None,
    ) -> None:
        """`control` has the ControlNet units of the page, whose values come behind those of the form; behind these
        come those of `style`, of `edit`, and of `scripts`.

        `larger` are the scripts of jobs that make pictures larger.
        """
        self._studio, self._larger = studio, larger
        self.control, self._style, self._edit, self._scripts = control, style, edit, scripts
        self._edits: OrderedDict[str, str] = OrderedDict()
        self._own = Preferences(studio.settings, studio.accounts)
        self._desk = desk
        self._table = table

    @property
    def fields(self) -> list[Any]:
        """Inputs of the panels, in the order in which `generate` gets their values behind those of the form."""
        panels = (panel for panel in (self.control, self._style, self._edit, self._scripts) if panel is not None)
        return [field for panel in panels for field in panel.fields]

    @property
    def extras(self) -> list[Any]:
        """Inputs of scripts, in the order in which `enlarge` gets their values behind those of its own."""
        return [] if self._larger is None else self._larger.fields

    @property
    def sent(self) -> Any:
        """The one of them that the browser fills when Generate is pressed in the Edit room; None without that room."""
        return None if self._edit is None else self._edit.given

    async def generate(self, request: gr.Request, *values: Any) -> AsyncGenerator[Shown, None]:
        """Queue what the form asks for and show it until this page's jobs have ended."""
        async with aclosing(
            self._queue(request, lambda: self.compose(request, values), self._token(values))
        ) as showing:
            async for shown in showing:
                yield shown

    def _token(self, values: Sequence[Any]) -> str:
        """The word by which the Edit room knows its own jobs again; empty for jobs of other rooms."""
        if self._edit is None:
            return ""
        scripts = 0 if self._scripts is None else len(self._scripts.fields)
        try:
            return read_given(values[len(values) - scripts - 1 - len(IDS)]).get("token", "")
        except InvalidRequest:
            return ""  # composing the job refuses it with the same sentence

    def compose(self, request: gr.Request, values: Sequence[Any]) -> GenerationRequest:
        """What the form and the panels of `fields` ask for. Blocks. Raises `InvalidRequest` for a wrong kind."""
        owner, count = owner_of(request), len(form.NAMES)
        asked = form.compose(values[:count], self._own.defaults(owner))
        last = len(values) - (0 if self._scripts is None else len(self._scripts.fields))
        sent = last - (0 if self._edit is None else 1 + len(IDS))
        begin = sent - (0 if self._style is None else len(OFFERED))
        if self.control is not None:
            asked = replace(asked, control=self.control.compose(values[count:begin], page_of(request)))
        if self._style is not None:
            asked = self._style.fill(asked, values[begin:sent], page_of(request))
        if self._edit is not None:
            asked = self._edit.fill(asked, values[sent:last], page_of(request))
        return asked if self._scripts is None else self._scripts.fill(asked, values[last:], page_of(request))

    async def enlarge(self, event: gr.EventData, request: gr.Request, *values: Any) -> AsyncGenerator[Shown, None]:
        """Make a picture of the gallery larger, as a job of its own, and show it like one that is drawn."""
        owner = owner_of(request)

        def wanted() -> GenerationRequest:
            fmt = str(self._own.public(owner)["samples_format"])
            count = len(values) - len(self.extras)
            asked = enlargement(self._studio.pictures, owner, said_by(event), Wished(*values[:count]), fmt)
            return asked if self._larger is None else self._larger.fill(asked, values[count:], page_of(request))

        async with aclosing(self._queue(request, wanted)) as showing:
            async for shown in showing:
                yield shown

    async def _queue(
        self, request: gr.Request, compose: Callable[[], GenerationRequest], token: str = ""
    ) -> AsyncGenerator[Shown, None]:
        owner = owner_of(request)
        try:
            job_id = await self._desk.submit(await asyncio.to_thread(compose), owner)
            self._remember(job_id, token)
        except StudioError as error:
            yield refusal(error.message), gr.skip()
            return
        except Exception:
            log.exception("the form could not be turned into a job")
            yield refusal(TROUBLE), gr.skip()
            return
        yield gr.skip(), gr.skip()
        async with aclosing(self._show(request, owner, [job_id])) as showing:
            async for shown in showing:
                yield shown

    def _remember(self, job_id: str, token: str) -> None:
        if token:
            self._edits[job_id] = token
        while len(self._edits) > REMEMBERED:
            self._edits.popitem(last=False)

    async def open(self, request: gr.Request) -> AsyncGenerator[Shown, None]:
        """A page was opened or has its line back: the owner's pictures, and what of theirs is still being drawn."""
        owner = owner_of(request)
        yield gr.skip(), await self._shelf(owner)
        async with aclosing(self._show(request, owner, await self._desk.unfinished(owner))) as showing:
            async for shown in showing:
                yield shown

    async def _show(self, request: gr.Request, owner: str, jobs: list[str]) -> AsyncGenerator[Shown, None]:
        finished: dict[str, int] = {}
        async with aclosing(self._desk.follow(str(request.session_hash), owner, jobs)) as tellings:
            async for told in tellings:
                known = finished.get(told["job"], 0)
                finished[told["job"]] = told["pictures"]
                told["edit"] = self._edits.get(told["job"])
                fresh = told["pictures"] > known or told["phase"] == "done"
                yield told, await self._shelf(owner) if fresh else gr.skip()

    async def _shelf(self, owner: str) -> dict[str, Any]:
        return await asyncio.to_thread(shelf, self._studio.pictures, owner)

    async def starting(self) -> AsyncGenerator[str, None]:
        """The status line, pushed as the start goes on, until the studio can draw or has given up."""
        status = self._studio.status
        last = ""
        while True:
            line = elements.status_line(status)
            if line != last:
                yield line
            last = line
            if status.phase in ("ready", "failed"):
                return
            await asyncio.sleep(LOOK)

    def left(self, request: gr.Request) -> str:
        """What whoever looks has left of what their tier allows."""
        return elements.left(left_line(self._studio, owner_of(request)))

    async def interrupt(self, request: gr.Request) -> None:
        """Stop the job that this page shows."""
        if not await self._desk.stop(str(request.session_hash), owner_of(request)):
            gr.Info("There is no job of yours to stop.", title="Stop")

    async def skip(self, request: gr.Request) -> None:
        """Leave the current batch and go on with the next."""
        if not await self._desk.skip(str(request.session_hash), owner_of(request)):
            gr.Info("There is no batch of yours to skip.", title="Skip")

    async def ping(self) -> None:
        """Nothing to do: the question itself makes the browser listen for answers again."""

    def recall(self, event: gr.EventData, request: gr.Request, *values: Any) -> list[Any]:
        """The parameters of a finished picture, back into the form; what infotext cannot say stays as it is there."""
        infotext = recalled_by(self._studio.pictures, event, request)
        if infotext is None:
            raise gr.Error("This picture is no longer in the gallery.", print_exception=False)
        try:
            asked, unknown = to_request(self._said(infotext), form.compose(values))
        except StudioError as error:
            raise gr.Error(error.message, print_exception=False) from error
        if unknown and not text_by(event):  # of a text that the page sent, it has said so itself
            names = html.escape(", ".join(unknown))  # Gradio shows it as HTML
            gr.Info(f"Left out, because this studio does not know it: {names}.", title="Settings")
        facts = facts_of(self._studio.catalog, asked.model.checkpoint)
        if facts.problem:
            gr.Warning(facts.problem, title="Model")
            facts = facts_of(self._studio.catalog, values[form.NAMES.index("model.checkpoint")])
        if asked.refiner.checkpoint:
            refiner = facts_of(self._studio.catalog, asked.refiner.checkpoint)
            if refiner.problem:
                gr.Warning(refiner.problem, title="Refiner")
            asked = replace(asked, refiner=replace(asked.refiner, checkpoint=refiner.name))
        spread = form.spread(replace(asked, model=replace(asked.model, checkpoint=facts.name)), facts)
        settled, missing = settle(spread, self._studio.catalog, facts)
        if missing:
            gr.Info(html.escape(" ".join(missing)), title="Settings")
        return form.only(settled, only_of(event), gr.skip())

    def _said(self, infotext: str) -> dict[str, str]:
        """What it says by its labels, as scripts want it to be read."""
        return self._studio.scripts.recalled(infotext, parse(infotext))

    def fit(self, checkpoint: str | None) -> list[Any]:
        """Another model was chosen: its own size, sampler, steps and guidance, and prompts that suit it."""
        facts = facts_of(self._studio.catalog, checkpoint)
        if facts.problem:
            gr.Warning(facts.problem, title="Model")
        values = form.defaults(facts)
        prompts = {"prompts": list(self._table.prompts_for(facts.name))}
        able = [
            gr.update(visible=True) if facts.can(word) else gr.update(visible=False, value=values[name])
            for name, word in self.ABILITIES.items()
        ]
        second = (gr.update(visible=True), gr.skip()) if facts.can("hires") else (gr.update(visible=False), False)
        guided = gr.update(visible=facts.can("negative_prompt"))
        return [*(values[name] for name in self.FITTED), guided, *able, *second, self._table.aspects[0], prompts]

    def count(self, text: Any, checkpoint: Any, steps: Any) -> str:
        """How many tokens the prompt has for that model. A prompt or model that makes no sense has no number."""
        try:
            whole = int(steps) if isinstance(steps, int | float) and 1 <= steps <= 1000 else 20
            return elements.tokens(self._studio.prompts.count(str(text or ""), checkpoint or None, whole))
        except StudioError:
            return elements.tokens(None)

    def styles(self) -> Any:
        """The styles that there are now, for a page that was opened."""
        return gr.update(choices=style_choices(self._studio.prompts))

    def offer_refresh(self, request: gr.Request) -> Any:
        """The button for looking at the model folders again, for those who may."""
        return gr.update(visible=not is_guest(self._studio.accounts, request))

    def refresh(self, request: gr.Request, checkpoint: str | None, refiner: str | None = None) -> list[Any]:
        """Look at the model folders again and say what cannot be used, and why. Not for guests, as in the API."""
        if is_guest(self._studio.accounts, request):
            raise gr.Error(NOT_FOR_GUESTS, print_exception=False)
        catalog = self._studio.catalog
        catalog.refresh()
        for entry in catalog.models():
            if entry.problem is not None:
                gr.Warning(f"{entry.name}: {entry.problem}", title="Cannot be used")
        choices = choices_of(catalog, "models")
        names = [value for _, value in choices]
        kept = checkpoint if checkpoint in names else next(iter(names), None)
        second = gr.update(choices=[NO_MODEL, *choices], value=refiner if refiner in names else "")
        return [gr.update(choices=choices, value=kept), second]

    def resize(self, aspect: str, checkpoint: str | None) -> tuple[int, int]:
        """Width and height of an aspect at the model's native size."""
        return size_for(aspect, facts_of(self._studio.catalog, checkpoint))
