"""What the family's own ControlNets follow and what its LoRAs and its textual inversion have learned, for judging them.

Only examples and hints come from the modules that trained them; nothing here looks at how well that went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np

from modules.pocket.evaluation.guided import Trace, Traced, trace_edges
from modules.pocket.evaluation.learned import Learned
from modules.pocket.evaluation.questions import Question, ask_grounds
from modules.pocket.scenes.lot import draw_scene, plain_scene
from modules.pocket.scenes.render import render
from modules.pocket.scenes.scene import Scene
from modules.pocket.stages.conditions import Condition, colour_grid, scribble, segmentation
from modules.pocket.stages.samples import Sample
from modules.pocket.unseen import MASCOT, STYLE, THING, glass_sample, mascot_sample, robot_sample

EXAMPLES = 48
"""With what was learned, and without."""
SIDE = 128
PROMPTS = 12

_FIRST, _SEED = 1_000_000, 77
"""Samples from this number on, and scenes of this seed, were not trained on."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one file has learned, by its name."""

    sample: Callable[[int, int], Sample]
    prompt: str
    """With places for the colour and the ground that are asked for."""
    same_scene: bool
    """Whether examples without it are the same scenes; otherwise they are others."""
    token: str = ""
    stand_in: str = ""


SUBJECTS = {
    "stained-glass": Subject(glass_sample, f"a {{colour}} {{kind}} on a {{ground}} background, {STYLE}", True),
    "robot": Subject(robot_sample, f"a {{colour}} {THING} on a {{ground}} background", False),
    "pocket-mascot": Subject(mascot_sample, f"a {MASCOT} on a {{ground}} background", False, MASCOT, "circle"),
}


def trace_condition(condition: Condition) -> Trace:
    """How pictures are traced for a ControlNet that learned to follow that condition."""

    def trace(questions: Sequence[Question], side: int) -> list[Traced]:
        rows = []
        for number, asked in enumerate(questions):
            scene = plain_scene(number, asked.kind, asked.colour, asked.ground)
            sample = Sample(render(scene, side), asked.prompt, scene)
            rows.append(Traced(asked, sample.picture, condition(sample, np.random.default_rng(number))))
        return rows

    return trace


TRACES: dict[str, Trace] = {
    "canny": trace_edges,
    "scribble": trace_condition(scribble),
    "segmentation": trace_condition(segmentation),
}
"""By the word in a ControlNet's name."""


PALETTES: dict[str, Trace] = {"colour": trace_condition(colour_grid)}
"""By the word in a T2I-Adapter's name."""


def open_learned(name: str) -> Learned:
    """What the file `name` has learned, as the property needs it; orders call it by that name.

    Raises KeyError for a name that SUBJECTS lacks.
    """
    subject = SUBJECTS[name]
    samples = list(islice(_clear(subject), EXAMPLES))
    scenes = [sample.scene for sample in samples] if subject.same_scene else list(islice(_other_scenes(), EXAMPLES))
    prompts = tuple(
        subject.prompt.format(kind=asked.kind, colour=asked.colour, ground=asked.ground)
        for asked in ask_grounds(PROMPTS)
    )
    shown = np.stack([sample.picture for sample in samples])
    return Learned(name, prompts, shown, np.stack([render(scene, SIDE) for scene in scenes]))


def _clear(subject: Subject) -> Iterator[Sample]:
    """Samples of one thing before a plain ground, on which features of the picture can be told apart."""
    return (sample for sample in (subject.sample(number, SIDE) for number in count(_FIRST)) if _single(sample.scene))


def _other_scenes() -> Iterator[Scene]:
    """Scenes of the world of one thing before a plain ground."""
    return (
        replace(scene, style="flat") for scene in (draw_scene(_SEED, number) for number in count()) if _single(scene)
    )


def _single(scene: Scene) -> bool:
    return scene.count == 1 and scene.ground.kind == "plain"
