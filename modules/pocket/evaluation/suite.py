"""All properties under one roof: what each needs, which can be measured on what is there, and one report of them.

The same properties on fewer prompts are the end-to-end tests of the studio's own features: give `evaluate` a `Draw`
over the engine instead of one over a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modules.pocket.evaluation.bars import Finding
from modules.pocket.evaluation.drawing import Draw, Manner
from modules.pocket.evaluation.guided import Trace, measure_colours, measure_control
from modules.pocket.evaluation.learned import Learned, measure_learned
from modules.pocket.evaluation.obedience import measure_adherence, measure_counts, measure_places
from modules.pocket.evaluation.painting import measure_inpainting
from modules.pocket.evaluation.questions import ask_counts, ask_grounds, ask_places
from modules.pocket.evaluation.sources import start_aside, start_hidden
from modules.pocket.evaluation.speed import FAST, USUAL, measure_seconds
from modules.pocket.evaluation.steering import (
    measure_guidance,
    measure_large,
    measure_layout,
    measure_negative,
    measure_seeds,
)

PROMPTS = 200
"""Of adherence, places and counts; the other properties take a part of it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured. Properties that need what is None or empty are left out of the report, with that reason."""

    draw: Draw
    guidance: float
    """The model's own default, which properties of guidance are measured up to."""
    size: int
    """Native width and height in pixels."""
    inpaint: Draw | None = None
    overlaid: bool = False
    """Whether `inpaint` lays the old picture over what is outside of the mask."""
    turbo: Draw | None = None
    """The distilled model of few steps, at its own defaults."""
    controls: Mapping[str, Trace] = field(default_factory=dict)
    """ControlNets that `draw` knows by name, and how pictures are traced for each."""
    palettes: Mapping[str, Trace] = field(default_factory=dict)
    """T2I-Adapters of colours that `draw` knows as controls by name, and how pictures are traced for each."""
    bare: Draw | None = None
    """As `draw`, without what the model's own defaults do for pictures above its native size."""
    learned: Sequence[Learned] = ()
    """LoRAs and textual inversions that `draw` knows by name."""


@dataclass(frozen=True, slots=True)
class Report:
    """Findings by name, and for what was not measured the reason."""

    findings: dict[str, Finding]
    left_out: dict[str, str]

    @property
    def met(self) -> bool:
        """Whether every bar that was measured is met."""
        return all(finding.met for finding in self.findings.values())

    def as_json(self) -> dict[str, Any]:
        """The whole report without its pictures."""
        return {
            "met": self.met,
            "properties": {name: finding.as_json() for name, finding in self.findings.items()},
            "left_out": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class Task:
    """One property, ready to be measured; or, with a reason, one that cannot be."""

    run: Callable[[], Finding] | None
    reason: str = ""


def evaluate(
    subject: Subject,
    manner: Manner,
    prompts: int = PROMPTS,
    only: Sequence[str] = (),
    done: Callable[[str, Finding], None] | None = None,
) -> Report:
    """Measures every property, or those named; `done` is told of each as it ends.

    Raises ValueError for a name that is no property, saying which there are.
    """
    tasks = list_tasks(subject, manner, prompts)
    if unknown := [name for name in only if name not in tasks]:
        raise ValueError(f"no property {unknown[0]!r}; there are {', '.join(tasks)}")
    findings: dict[str, Finding] = {}
    left_out: dict[str, str] = {}
    for name, task in tasks.items():
        if only and name not in only:
            continue
        if task.run is None:
            left_out[name] = task.reason
            continue
        findings[name] = task.run()
        if done is not None:
            done(name, findings[name])
    return Report(findings, left_out)


def list_tasks(subject: Subject, manner: Manner, prompts: int) -> dict[str, Task]:
    """The properties by name, in the order in which they are measured."""
    draw, size = subject.draw, manner.size or subject.size
    questions = ask_grounds(prompts)
    some, few = max(2, prompts // 4), max(2, prompts // 8)
    scales = (1.0, (1 + subject.guidance) / 2, subject.guidance)
    guided, unguided = subject.guidance > 1, Task(None, "the model is drawn without guidance")
    tasks = {
        "adherence": Task(lambda: measure_adherence(draw, questions, manner)),
        "places": Task(lambda: measure_places(draw, ask_places(prompts), manner)),
        "counts": Task(lambda: measure_counts(draw, ask_counts(prompts), manner)),
        "negative": Task(lambda: measure_negative(draw, max(16, prompts // 2), manner)) if guided else unguided,
        "guidance": Task(lambda: measure_guidance(draw, questions[:some], manner, scales)) if guided else unguided,
        "seeds": Task(lambda: measure_seeds(draw, questions[0].prompt, 8, manner)),
        "layout": Task(lambda: measure_layout(draw, start_aside(questions[:few], size), manner)),
        "large": Task(lambda: measure_large(draw, questions[:few], manner, bare=subject.bare)),
        "inpainting": _inpainting(subject, manner, some, size),
    }
    return {**tasks, **_guided(subject, manner, few, size), **_learned(subject, manner), **_seconds(subject, manner)}


def _inpainting(subject: Subject, manner: Manner, count: int, size: int) -> Task:
    inpaint = subject.inpaint
    if inpaint is None:
        return Task(None, "no inpainting model")
    return Task(lambda: measure_inpainting(inpaint, start_hidden(ask_grounds(count), size), manner, subject.overlaid))


def _guided(subject: Subject, manner: Manner, count: int, size: int) -> dict[str, Task]:
    def task(name: str, trace: Trace) -> Task:
        return Task(lambda: measure_control(subject.draw, name, trace(ask_grounds(count), size), manner))

    def paint(name: str, trace: Trace) -> Task:
        return Task(lambda: measure_colours(subject.draw, name, trace(ask_grounds(count), size), manner))

    found = {f"control {name}": task(name, trace) for name, trace in subject.controls.items()}
    painted = {f"colours {name}": paint(name, trace) for name, trace in subject.palettes.items()}
    return {
        **(found or {"control": Task(None, "no ControlNet")}),
        **(painted or {"colours": Task(None, "no T2I-Adapter")}),
    }


def _learned(subject: Subject, manner: Manner) -> dict[str, Task]:
    def task(learned: Learned) -> Task:
        return Task(lambda: measure_learned(subject.draw, learned, manner))

    found = {f"learned {each.adapter}": task(each) for each in subject.learned}
    return found or {"learned": Task(None, "no LoRA and no textual inversion")}


def _seconds(subject: Subject, manner: Manner) -> dict[str, Task]:
    usual = replace(manner, size=256, steps=20)
    turbo = subject.turbo
    fast = Manner(size=256, seed=manner.seed)
    return {
        "seconds": Task(lambda: measure_seconds(subject.draw, usual, USUAL)),
        "seconds turbo": Task(None, "no distilled model")
        if turbo is None
        else Task(lambda: measure_seconds(turbo, fast, FAST)),
    }
