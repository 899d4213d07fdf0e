"""The scripts of one job: what they are asked, in their order, and what becomes of a job when they fail."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from modules.contracts.errors import InvalidRequest, JobCancelled, ScriptFailed, StudioError, reason_of
from modules.contracts.events import Event, ImageReady, StepDone
from modules.contracts.infotext_fields import ORDER
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult, Picture
from modules.contracts.run import Engine, RunContext
from modules.contracts.scripts import NO_SCRIPTS, BatchFacts, Facts, Guard, Moment
from modules.contracts.validation import MAX_PICTURES
from modules.scripts.context import JobContext, Line
from modules.scripts.fields import sound_fields
from modules.scripts.loading import Extension
from modules.scripts.parameters import read_values
from modules.scripts.shelf import ScriptShelf
from modules.scripts.v1 import Script, overrides

_END = object()
Check = Callable[[GenerationRequest], None]


@dataclass(slots=True)
class Part:
    """One script in one job."""

    extension: Extension
    script: Script
    context: JobContext
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Batches of a job are drawn side by side; a script is asked one thing of a job at a time."""
    failed: set[str] = field(default_factory=set)
    """Methods that are not called any more in this job."""


class Session:
    """Implements `JobHooks`, and conducts a job from its request to its pictures."""

    def __init__(self, shelf: ScriptShelf, engine: Engine, run: RunContext, check: Check, limit: float) -> None:
        """`check` raises for requests that may not be drawn; `limit` is how long a script may take at a time, s."""
        self._shelf, self._engine, self._run, self._check, self._limit = shelf, engine, run, check, limit
        self._line = Line(run)
        self._parts: tuple[Part, ...] = ()
        self._owner: Part | None = None
        self._drawn, self._saves = 0, False

    def gather(self, request: GenerationRequest) -> bool:
        """Find out which scripts take part; whether any does. Raises `InvalidRequest` for an owner that is gone."""
        wanted, mode = request.scripts, request.mode
        given = {use.name.strip().casefold(): use for use in wanted.always}
        parts = []
        for extension, script in self._shelf.scripts(mode, always_on=True):
            use = given.pop(script.title.casefold(), None)
            values = read_values(script.title, script.parameters, () if use is None else use.values)
            parts.append(self._part(extension, script, values, self._draw_apart))
        for use in given.values():
            self._line.note(f"The script {use.name} is not there any more; the job was drawn without it.")
        self._parts = tuple(parts)
        if wanted.run is not None:
            extension, script = self._shelf.find(wanted.run.name, mode, always_on=False)
            values = read_values(script.title, script.parameters, wanted.run.values)
            self._owner = self._part(extension, script, values, self._draw_for_owner)
        return bool(self._parts or self._owner or self._line.notes)

    def _part(
        self,
        extension: Extension,
        script: Script,
        values: Mapping[str, Any],
        draw: Callable[[GenerationRequest], GenerationResult],
    ) -> Part:
        settings, folder = self._shelf.settings(extension), self._shelf.storage(extension)
        return Part(extension, script, JobContext(self._line, draw, values, settings=settings, folder=folder))

    def conduct(self, request: GenerationRequest) -> GenerationResult:
        """Draw the job. Raises `StudioError` only."""
        self._saves = request.output.save
        try:
            request = self._transform(request)
            if self._owner is None:
                result = self._engine.generate(request, self._hooked(self._run.emit, self._finish))
            else:
                result = self._own(self._owner, request)
            for part in self._everybody:
                if self._has(part, "after_job"):
                    self._ask(part, "after_job", (tuple(map(_copied, result.pictures)),))
        finally:
            with contextlib.ExitStack() as ending:  # goes on with the others whatever one raises, which comes out last
                for part in reversed(self._everybody):
                    ending.callback(self._end, part)
        return replace(result, notes=(*result.notes, *self._line.notes))

    def _end(self, part: Part) -> None:
        try:
            self._ask(part, "job_ended", ())
        finally:
            self._shelf.settle(part.extension, failed=bool(part.failed))

    @property
    def _everybody(self) -> tuple[Part, ...]:
        return (*self._parts, self._owner) if self._owner is not None else self._parts

    def _hooked(self, emit: Callable[[Event], None], finished: Callable[[Picture], None]) -> RunContext:
        return replace(self._run, emit=emit, finished=finished, hooks=self)

    def _transform(self, request: GenerationRequest) -> GenerationRequest:
        kept = request.scripts

        def checked(found: Any) -> GenerationRequest:
            if not isinstance(found, GenerationRequest):
                raise ValueError(f"it gave {type(found).__name__} and not a request")
            found = replace(copy.deepcopy(found), scripts=kept)
            if (found.enlarge is None) != (request.enlarge is None):
                raise ValueError("it made another kind of job of it")
            self._check(found)
            return found

        for part in self._everybody:
            if part is self._owner and request.each:  # it draws what and as many as it wants
                request = replace(request, each=())
                self._line.note(f"{part.script.title} owns the run, so pictures have no words of their own.")
            request = self._ask(part, "before_job", (), request, Guard(copy.deepcopy, checked))
        return request

    def _own(self, part: Part, request: GenerationRequest) -> GenerationResult:
        """The pictures of a script that owns the run, each handed out as it comes."""
        pictures: list[Picture] = []
        interrupted = False
        cancelled, call = self._run.cancelled.is_set, self._shelf.caller.call
        title = part.script.title
        try:
            coming = call(lambda: iter(part.script.run(part.context, request)), None, cancelled)
            while (found := call(lambda: _checked_picture(next(coming, _END)), None, cancelled)) is not _END:
                picture = replace(found, index=len(pictures))
                pictures.append(picture)
                self._finish(picture)
                self._run.emit(ImageReady(self._run.job_id, picture))
                self._run.check()
        except JobCancelled:
            interrupted = True
        except StudioError:
            raise
        except Exception as error:  # border 'script'
            part.failed.add("run")
            self._shelf.report(part.extension, f"{title} failed", error)
            raise ScriptFailed(f"The script {title} failed with {type(error).__name__}: {reason_of(error)}.") from error
        return GenerationResult(tuple(pictures), {}, interrupted=interrupted)

    def _draw_for_owner(self, request: GenerationRequest) -> GenerationResult:
        def emit(event: Event) -> None:
            if isinstance(event, StepDone):
                begun, share = self._line.progress
                event = replace(event, progress=min(begun + event.progress * share, 1.0), eta_seconds=None)
            if not isinstance(event, ImageReady):
                self._run.emit(event)

        return self._draw(request, self._hooked(emit, _keep_nothing))

    def _draw_apart(self, request: GenerationRequest) -> GenerationResult:
        return self._draw(request, replace(self._run, emit=_say_nothing, finished=_keep_nothing, previews=False))

    def _draw(self, request: GenerationRequest, run: RunContext) -> GenerationResult:
        self._run.check()
        if not isinstance(request, GenerationRequest):
            raise InvalidRequest(f"generate was given {type(request).__name__} and not a request.")
        request = replace(request, scripts=NO_SCRIPTS)
        self._check(request)
        self._drawn += request.canvas.batch_size * request.canvas.batch_count
        if self._drawn > MAX_PICTURES:
            raise InvalidRequest(f"The scripts of one job may draw {MAX_PICTURES} pictures, and this is one too many.")
        result = self._engine.generate(request, run)
        self._run.check()
        return result

    def _finish(self, picture: Picture) -> None:
        def checked(found: Any) -> Picture:
            given = _checked_picture(found)
            if not isinstance(given.infotext, str) or len(given.infotext) > 1_000_000:
                raise ValueError("its infotext is no text, or too long")
            return replace(picture, image=given.image, infotext=given.infotext)

        guard = Guard(_copied, checked)
        for part in self._everybody:
            picture = self._ask(part, "saving", (), picture, guard)
        self._run.finished(picture)
        for part in self._everybody if self._saves else ():
            if self._has(part, "saved"):
                self._ask(part, "saved", (_copied(picture),))

    def wants(self, moment: Moment) -> bool:
        """Whether any script of the job has such a method of its own."""
        return any(self._has(part, moment) for part in self._parts) or (
            moment == "before_batch" and any(self._has(part, "before_picture") for part in self._parts)
        )

    def change(self, moment: Moment, facts: Facts, value: Any, guard: Guard) -> Any:
        """As `JobHooks` says."""
        for part in self._parts:
            value = self._ask(part, moment, (facts,), value, guard)
        return value

    def tell(self, moment: Moment, facts: Facts) -> None:
        """As `JobHooks` says."""
        for part in self._parts:
            self._ask(part, moment, (facts,))
            if moment == "before_batch" and isinstance(facts, BatchFacts):
                for picture in facts.pictures:
                    self._ask(part, "before_picture", (picture,))

    def fields(self, index: int) -> Mapping[str, str]:
        """As `JobHooks` says; what the studio itself writes is not overwritten."""
        found: dict[str, str] = {}
        for part in self._everybody:
            found |= sound_fields(part.script, part.context, frozenset(ORDER))
        return found

    @staticmethod
    def _has(part: Part, method: str) -> bool:
        return overrides(part.script, method) and method not in part.failed

    def _ask(
        self, part: Part, method: str, given: tuple[Any, ...], value: Any = None, guard: Guard | None = None
    ) -> Any:
        """Call one method of one script. What it gives is checked by `guard`; without one nothing is asked for."""
        if not self._has(part, method):
            return value

        def work() -> Any:
            act = getattr(part.script, method)
            if guard is None:
                act(part.context, *given)
                return None
            found = act(part.context, *given, guard.copy(value))
            return None if found is None else guard.check(found)

        try:
            with part.lock:
                found = self._shelf.caller.call(work, self._limit, self._run.cancelled.is_set)
        except Exception as error:  # border 'script'
            if isinstance(error, JobCancelled):
                self._run.check()
            part.failed.add(method)
            title = part.script.title
            self._shelf.report(part.extension, f"{title} failed in {method}", error)
            if isinstance(error, ScriptFailed):
                raise
            self._line.note(
                f"The script {title} failed in {method} and was left out of it: "
                f"{type(error).__name__}: {reason_of(error)}."
            )
            return value
        return value if found is None else found


def _copied(picture: Picture) -> Picture:
    return replace(picture, image=picture.image.copy(), recipe=json.loads(json.dumps(picture.recipe, default=str)))


def _checked_picture(found: Any) -> Any:
    if found is _END:
        return found
    if not isinstance(found, Picture) or not isinstance(found.image, Image.Image):
        raise ValueError(f"it gave {type(found).__name__} where a picture is needed")
    image = found.image.convert("RGB")
    return replace(found, image=image.copy() if image is found.image else image)


def _say_nothing(event: Event) -> None:
    """Of what a script draws for itself."""


def _keep_nothing(picture: Picture) -> None:
    """Of what a script draws for itself."""
