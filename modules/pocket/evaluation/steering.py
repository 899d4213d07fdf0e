"""The properties of what steers a drawing beside its prompt: negative prompt, guidance, seed, start picture, size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from modules.pocket.evaluation.bars import Bar, Finding, Shown, share
from modules.pocket.evaluation.colours import presence
from modules.pocket.evaluation.difference import compare, layout_overlap
from modules.pocket.evaluation.drawing import Draw, Manner, Pictures
from modules.pocket.evaluation.judge import judge
from modules.pocket.evaluation.obedience import obeys
from modules.pocket.evaluation.questions import Question
from modules.pocket.evaluation.sources import Start
from modules.pocket.scenes.vocabulary import FIGURES

LOWERED = 0.8
"""Least part of a colour that its name as negative prompt takes away."""
RISE = 0.005
"""Least rise of adherence from no guidance to the default."""
APART = 1.0
"""Least mean difference, of 255, between pictures from two seeds."""
AGAIN = 2.0
"""Most difference, of 255, of any value between two drawings from one seed."""
KEPT, LOST = 0.6, 0.4
"""Overlap of the things before and after: least at strength 0.3, most at 0.9."""
SINGLE = 0.9
"""Least share of large pictures that show one thing when one was asked for."""


def measure_negative(draw: Draw, count: int, manner: Manner, colour: str = "blue") -> Finding:
    """How much of a colour its name as negative prompt takes away, over `count` pictures whose prompts name no colour.

    The figure is None where the model drew none of that colour to begin with: nothing was measured then.
    """
    order = manner.order([f"a {FIGURES[place % len(FIGURES)]}" for place in range(count)])
    plain, without = draw(order), draw(replace(order, negative=colour))
    before = float(np.mean([presence(picture, colour).share for picture in plain]))
    after = float(np.mean([presence(picture, colour).share for picture in without]))
    lowered = 1 - after / before if before > 0 else None
    shown = tuple(Shown(picture, presence(picture, colour).share < 0.01) for picture in [*plain, *without])
    return Finding((Bar("lowered", lowered, LOWERED),), {"before": round(before, 5), "after": round(after, 5)}, shown)


def measure_guidance(draw: Draw, questions: Sequence[Question], manner: Manner, scales: Sequence[float]) -> Finding:
    """Adherence (share of right colours, grounds and kinds, all together) at rising scales, the default one last."""
    prompts = [asked.prompt for asked in questions]
    risen = {}
    shown: list[Shown] = []
    for scale in scales:
        pictures = draw(replace(manner.order(prompts), guidance=scale))
        seen = [judge(picture) for picture in pictures]
        pairs = list(zip(questions, seen, strict=True))
        hits = [each.colour == asked.colour for asked, each in pairs] + [
            each.ground == asked.ground for asked, each in pairs
        ]
        hits += [each.shape == asked.kind for asked, each in pairs if asked.kind in FIGURES]
        risen[scale] = share(hits) or 0.0
        shown += [Shown(picture, obeys(asked, each)) for picture, (asked, each) in zip(pictures, pairs, strict=True)]
    rise = risen[scales[-1]] - risen[scales[0]]
    figures = {"adherence_at": {str(scale): round(value, 4) for scale, value in risen.items()}}
    return Finding((Bar("rise", rise, RISE),), figures, tuple(shown))


def measure_seeds(draw: Draw, prompt: str, count: int, manner: Manner) -> Finding:
    """Whether `count` seeds, at least two, give pictures that differ, and one seed the same picture again."""
    order = manner.order([prompt] * count)
    pictures = draw(order)
    again = draw(order.part(0, 1))[0]
    apart = min(compare(one, other).mean for one, other in combinations(list(pictures), 2))
    bars = (
        Bar("least_apart", apart, APART),
        Bar("same_seed_differs", compare(pictures[0], again).largest, AGAIN, least=False),
    )
    return Finding(bars, {"seeds": count}, tuple(Shown(picture, apart >= APART) for picture in pictures))


def measure_layout(draw: Draw, starts: Sequence[Start], manner: Manner) -> Finding:
    """Whether a picture keeps its layout when 0.3 of it is drawn anew, and loses it at 0.9.

    The start shows a thing at a side, and the prompt asks for it in the middle.
    """
    images = np.stack([start.picture for start in starts])
    order = replace(manner.order([start.asked.prompt for start in starts]), images=images, size=images.shape[1])
    kept = draw(replace(order, strength=0.3))
    lost = draw(replace(order, strength=0.9))
    before, after = _overlaps(images, kept), _overlaps(images, lost)
    bars = (
        Bar("overlap_at_0.3", float(np.mean(before)), KEPT),
        Bar("overlap_at_0.9", float(np.mean(after)), LOST, least=False),
    )
    shown = [Shown(picture, True) for picture in images]
    shown += [Shown(picture, overlap >= KEPT) for picture, overlap in zip(kept, before, strict=True)]
    shown += [Shown(picture, overlap <= LOST) for picture, overlap in zip(lost, after, strict=True)]
    return Finding(bars, {"pictures": len(starts)}, tuple(shown))


def measure_large(
    draw: Draw, questions: Sequence[Question], manner: Manner, size: int = 512, bare: Draw | None = None
) -> Finding:
    """Whether pictures of a larger size than the native one still show one thing when asked for one.

    They are drawn as the model's own defaults say; `bare` draws the same without these, to see what they add.
    """
    order = replace(manner.order([asked.prompt for asked in questions]), size=size)
    pictures, plain = draw(order), None if bare is None else bare(order)
    seen = [judge(picture) for picture in pictures]
    single = [each.count == 1 for each in seen]
    figures = {
        "size": size,
        "prompts": len(questions),
        "one_thing_bare": None if plain is None else share([judge(picture).count == 1 for picture in plain]),
        "colour": share([each.colour == asked.colour for asked, each in zip(questions, seen, strict=True)]),
        "ground": share([each.ground == asked.ground for asked, each in zip(questions, seen, strict=True)]),
        "all": share([obeys(asked, each) for asked, each in zip(questions, seen, strict=True)]),
    }
    shown = tuple(Shown(picture, hit) for picture, hit in zip(pictures, single, strict=True))
    return Finding((Bar("one_thing", share(single), SINGLE),), figures, shown)


def _overlaps(before: Pictures, after: Pictures) -> list[float]:
    return [layout_overlap(one, other) for one, other in zip(before, after, strict=True)]
