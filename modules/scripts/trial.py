"""An extension on trial: drawn with once in every way in which it takes part, and everything that it throws noted."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from modules.contracts.errors import StudioError
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    ImageParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.contracts.result import GenerationResult
from modules.contracts.run import Engine, RunContext
from modules.contracts.scripts import ScriptParams, ScriptUse
from modules.scripts.drawing import encode
from modules.scripts.loading import Extension
from modules.scripts.shelf import QUICK_SECONDS, ScriptShelf
from modules.scripts.v1 import overrides

SIZE = 64
STEPS = 2
EARLIER = frozenset({"title", "show", "ui"})
"""What A1111's scripts are asked when they are loaded."""


@dataclass(slots=True)
class Fault:
    """Something that the extension threw."""

    what: str
    trace: str
    """Of the first time."""
    times: int = 1


@dataclass(slots=True)
class Drawn:
    """A job of the trial."""

    what: str
    pictures: int
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Verdict:
    """What came of it."""

    extension: str
    seconds: float
    """What loading took."""
    bytes: int
    jobs: list[Drawn] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    """How often each method was called, as `Title.method`."""
    unasked: list[str] = field(default_factory=list)
    """Methods that no job of the trial led to."""
    faults: list[Fault] = field(default_factory=list)


class Trial:
    """Watches one extension of a shelf. The shelf's other extensions take part in its jobs and are not watched."""

    def __init__(self, shelf: ScriptShelf, extension: Extension) -> None:
        """From now on every call of its methods is counted."""
        self._shelf, self._extension = shelf, extension
        self.verdict = Verdict(extension.name, extension.seconds, extension.bytes)
        self._hooks: list[str] = []
        for script in extension.scripts:
            for one in (script, *(tab.script for tab in getattr(script, "tabs", {}).values())):
                for name in _hooks(one, extension.package):
                    self._watch(one, name, f"{script.title}.{name}")
        report = shelf.report

        def noted(extension: Extension, what: str, error: BaseException) -> None:
            if extension is self._extension:
                self._fault(what, error)
            report(extension, what, error)

        shelf.report = noted  # type: ignore[method-assign]
        # It is to be asked to the end, however often it fails.
        shelf.settle = _unsettled  # type: ignore[method-assign]

    def _watch(self, script: Any, name: str, label: str) -> None:
        real: Callable[..., Any] = getattr(script, name)
        if label not in self._hooks:
            self._hooks.append(label)

        @functools.wraps(real)
        def counted(*given: Any, **named: Any) -> Any:
            self.verdict.asked[label] = self.verdict.asked.get(label, 0) + 1
            try:
                return real(*given, **named)
            except Exception as error:
                if name == "closed":  # the shelf tells nobody of it but the log
                    self._fault(f"{label} failed", error)
                raise

        setattr(script, name, counted)

    def _fault(self, what: str, error: BaseException) -> None:
        sentence = f"{what}: {type(error).__name__}: {error}"
        known = next((fault for fault in self.verdict.faults if fault.what == sentence), None)
        if known is None:
            self.verdict.faults.append(Fault(sentence, _trace(error)))
        else:
            known.times += 1

    @property
    def _thrown(self) -> int:
        return sum(fault.times for fault in self.verdict.faults)

    def draw(self, engine: Engine, model: str) -> None:
        """Text to picture, picture to picture, and each script that owns a run, with the defaults of all parameters."""
        plain = GenerationRequest(
            PromptParams("a red circle", negative="a blue square"),
            CanvasParams(SIZE, SIZE),
            SeedParams(1),
            SamplingParams(steps=STEPS),
        )
        plain = replace(plain, model=replace(plain.model, checkpoint=model))
        first = self._job(engine, "txt2img", plain)
        given = encode(first.pictures[0].image) if first and first.pictures else b""
        again = replace(plain, image=ImageParams((given,), denoising_strength=0.5)) if given else None
        if again is not None:
            self._job(engine, "img2img", again)
        for mode, request in (("txt2img", plain), ("img2img", again)):
            for extension, script in self._shelf.scripts(mode, always_on=False):
                if extension is self._extension and request is not None:
                    owned = replace(request, scripts=ScriptParams(run=ScriptUse(script.title)))
                    self._job(engine, f"{mode}, {script.title}", owned)
        self._look()

    def _job(self, engine: Engine, what: str, request: GenerationRequest) -> GenerationResult | None:
        before = self._thrown
        try:
            result = engine.generate(request, RunContext(f"trial-{len(self.verdict.jobs)}", previews=False))
        except StudioError as error:
            self.verdict.jobs.append(Drawn(what, 0, (error.message,)))
            if self._thrown == before:
                self._fault(f"The job {what} could not be drawn", error)
            return None
        self.verdict.jobs.append(Drawn(what, len(result.pictures), result.notes))
        return result

    def _look(self) -> None:
        """What the page asks."""
        for script in self._extension.scripts:
            for name in ("panel", "routes"):
                if overrides(script, name):
                    try:
                        self._shelf.caller.call(functools.partial(_listed, getattr(script, name)), QUICK_SECONDS)
                    except Exception as error:  # border 'extension'
                        self._shelf.report(self._extension, f"{script.title} failed in {name}", error)

    def close(self) -> Verdict:
        """What came of it, once engine and shelf are closed."""
        self.verdict.unasked = [label for label in self._hooks if label not in self.verdict.asked]
        return self.verdict


def _unsettled(extension: Extension, *, failed: bool) -> None:
    """Failures are counted by the verdict."""


def _listed(ask: Callable[[], Any]) -> Any:
    found = ask()
    return found if isinstance(found, str) else list(found)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-8000:]


def _hooks(script: Any, package: str) -> Iterator[str]:
    """Names of methods that classes of the extension put in the place of the base's."""
    order = type(script).__mro__
    own = [kind for kind in order if kind.__module__.partition(".")[0] == package]
    base = [kind for kind in order if kind not in own and kind is not object]
    for name in sorted({name for kind in own for name in vars(kind)}):
        known = any(callable(vars(kind).get(name)) for kind in base)
        if known and not name.startswith("_") and name not in EARLIER:
            yield name
