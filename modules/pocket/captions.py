"""Puts scenes into plain English, in many wordings; "a COLOUR SHAPE on a COLOUR background" is the commonest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modules.pocket.world import COLOURS, Scene

_ALL = frozenset(("shape", "colour", "ground", "size", "place", "count"))
_NUMBERS = {2: "two", 3: "three"}
_PLURALS = {"cross": "crosses"}
_LARGE = ("large", "big", "huge")
_SMALL = ("small", "little", "tiny")
_LEADS = ("", "", "", "a picture of ", "an image of ", "a drawing of ", "a photo of ", "a painting of ", "draw ")
_PLACES = {
    "left": ("on the left", "at the left", "on the left side"),
    "right": ("on the right", "at the right", "on the right side"),
    "top": ("at the top", "on top", "in the upper part"),
    "bottom": ("at the bottom", "in the lower part"),
    "centre": ("in the centre", "in the middle", "in the center"),
}
_SPECIAL = {
    "sky": ("under a blue sky", "in the sky", "on a sky background"),
    "sunset": ("at sunset", "on a sunset background", "in front of a sunset"),
    "checkerboard": ("on a checkerboard", "on a checkerboard background", "on a chess board"),
}


def plain_caption(shape: str, colour: str, ground: str) -> str:
    """The form that the evaluation asks in: "a red circle on a white background"."""
    return f"{_article(colour)} {colour} {shape} on {_article(ground)} {ground} background"


@dataclass(frozen=True, slots=True)
class Caption:
    """A wording, and which attributes of the scene it says: "shape", "colour", "ground", "size", "place", "count"."""

    text: str
    said: frozenset[str]


def caption(scene: Scene, lot: np.random.Generator) -> Caption:
    """One of the wordings of a scene, lower case, at most about twenty words; `lot` chooses.

    Some say only a part ("a red circle", "circle", "on a blue background"), so that a short prompt, or a negative one,
    means something too.
    """
    kind = lot.random()
    if kind < 0.03:
        return Caption(
            scene.shape if scene.count == 1 else scene.colour,
            frozenset(("shape",) if scene.count == 1 else ("colour",)),
        )
    if kind < 0.05:
        return Caption(_ground(scene.ground, lot).lstrip(", "), frozenset(("ground",)))
    if kind < 0.11:
        return Caption(_subject(scene, lot), _ALL - {"ground"})
    if kind < 0.4 and scene.ground in COLOURS:
        return Caption(f"{_subject(scene, lot)} on {_article(scene.ground)} {scene.ground} background", _ALL)
    text = f"{_choose(lot, _LEADS)}{_subject(scene, lot)} {_ground(scene.ground, lot)}"
    return Caption(text.replace(" ,", ","), _ALL)


def _subject(scene: Scene, lot: np.random.Generator) -> str:
    if scene.count > 1:
        return f"{_NUMBERS[scene.count]} {scene.colour} {_PLURALS.get(scene.shape, scene.shape + 's')}"
    words = [scene.colour, scene.shape]
    if scene.size == "large":
        words.insert(0, _choose(lot, _LARGE))
    elif scene.size == "small":
        words.insert(0, _choose(lot, _SMALL))
    article = "one" if lot.random() < 0.05 else _article(words[0])
    subject = " ".join([article, *words])
    if scene.place != "centre" or lot.random() < 0.1:
        subject += " " + _choose(lot, _PLACES[scene.place])
    return subject


def _ground(name: str, lot: np.random.Generator) -> str:
    if name in _SPECIAL:
        return _choose(lot, _SPECIAL[name])
    article = _article(name)
    return _choose(
        lot,
        (
            f"on {article} {name} background",
            f"on {article} {name} background",
            f"on {name}",
            f"on {article} {name} ground",
            f"in front of {article} {name} wall",
            f"with {article} {name} background",
            f", {name} background",
        ),
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _choose(lot: np.random.Generator, wordings: tuple[str, ...]) -> str:
    return wordings[int(lot.integers(len(wordings)))]
