"""What a scene is called: captions that vary as people's prompts do, and a record of what each of them says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modules.pocket.scenes import words
from modules.pocket.scenes.scene import Scene

LONGEST = 28
"""Words in a caption."""

KEYWORDS_SHARE = 0.12

ATTRIBUTES = ("kind", "colour", "size", "place", "count", "ground", "style", "kind2", "colour2", "relation")


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption, and the attributes of ATTRIBUTES that can be read from it."""

    text: str
    said: frozenset[str]


def attributes(scene: Scene) -> dict[str, str | int | None]:
    """The value of every attribute of ATTRIBUTES; None where the scene has none.

    "ground" is the colour of a plain ground and the kind of any other. Size and place belong to a single thing.
    "count" is how many there are of the first kind, so it is 1 for a pair.
    """
    first, second = scene.things[0], scene.things[1] if scene.relation else None
    single = scene.count == 1
    return {
        "kind": first.kind,
        "colour": first.colour,
        "size": scene.size if single else None,
        "place": scene.place if single else None,
        "count": 1 if scene.relation else scene.count,
        "ground": scene.ground.colours[0] if scene.ground.kind == "plain" else scene.ground.kind,
        "style": scene.style,
        "kind2": second.kind if second else None,
        "colour2": second.colour if second else None,
        "relation": scene.relation,
    }


def plain_caption(kind: str, colour: str, ground_colour: str) -> str:
    """The plainest caption: "a red circle on a white background"."""
    return f"{set_article(f'{colour} {kind}')} on {set_article(f'{ground_colour} background')}"


def set_article(phrase: str) -> str:
    """The phrase behind "a" or "an"."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def make_plural(noun: str) -> str:
    """More than one of a noun of KIND_WORDS."""
    if noun == "fish":
        return noun
    return noun + "es" if noun.endswith(("s", "sh", "ch", "x")) else noun + "s"


def count_words(text: str) -> int:
    """How many words a caption has, by its spaces."""
    return len(text.split())


def caption(scene: Scene, lot: np.random.Generator) -> Caption:
    """A caption by lot: lower case, at most 28 words, true of the scene; it may leave things out.

    Style and colours are said more often than not; the middle place and the flat style, which are what a model should
    draw unasked, only sometimes. One in eight is a list of keywords.
    """
    while True:
        writer = _Writer(scene, lot)
        text = writer.list_keywords() if lot.random() < KEYWORDS_SHARE else writer.write_sentence()
        if count_words(text) <= LONGEST:
            return Caption(text, frozenset(writer.said))


class _Writer:
    """Chooses words for one scene and notes what they say."""

    def __init__(self, scene: Scene, lot: np.random.Generator) -> None:
        self._scene = scene
        self._lot = lot
        self.said: set[str] = set()

    def _chance(self, share: float) -> bool:
        return float(self._lot.random()) < share

    def _pick(self, choices: Sequence[str], usual: float = 0.0) -> str:
        """One of the choices, evenly, or the first one with a share of its own."""
        if self._chance(usual):
            return choices[0]
        return choices[int(self._lot.integers(len(choices)))]

    def _name_thing(self, index: int, plural: bool = False, sure: float = 0.93) -> str:
        """Colour and kind without an article."""
        thing, mark = self._scene.things[index], "2" if index else ""
        noun = self._pick(words.KIND_WORDS[thing.kind], 0.75)
        self.said.add("kind" + mark)
        noun = make_plural(noun) if plural else noun
        if not self._chance(sure):
            return noun
        self.said.add("colour" + mark)
        return f"{self._pick(words.COLOUR_WORDS[thing.colour], 0.75)} {noun}"

    def _name_size(self) -> str:
        """A word for the size with a space after it, or nothing."""
        size = self._scene.size
        if self._scene.count > 1 or not self._chance(0.15 if size == "medium" else 0.75):
            return ""
        self.said.add("size")
        return self._pick(words.SIZE_WORDS[size], 0.35) + " "

    def _name_subject(self) -> str:
        """What the picture shows: one thing, several, or a pair."""
        scene = self._scene
        if scene.relation:
            return self._name_pair(scene.relation)
        if scene.count == 1:
            self.said.add("count")
            return set_article(self._name_size() + self._name_thing(0))
        if self._chance(0.06):
            return f"{self._pick(words.VAGUE_COUNTS)} {self._name_thing(0, plural=True)}"
        self.said.add("count")
        return f"{self._pick(words.COUNT_WORDS[scene.count], 0.6)} {self._name_thing(0, plural=True)}"

    def _name_pair(self, relation: str) -> str:
        self.said.add("count")
        first, second = set_article(self._name_thing(0)), set_article(self._name_thing(1))
        if self._chance(0.2):
            return f"{first} {self._pick(words.LOOSE_RELATIONS[relation])} {second}"
        self.said.add("relation")
        return f"{first} {self._pick(words.RELATION_WORDS[relation], 0.3)} {second}"

    def _name_place(self) -> str:
        scene = self._scene
        if scene.count > 1 or not self._chance(0.2 if scene.place == "middle" else 0.85):
            return ""
        self.said.add("place")
        return self._pick(words.PLACE_WORDS[scene.place], 0.25)

    def _name_ground(self) -> str:
        ground = self._scene.ground
        if not self._chance(0.85):
            return ""
        self.said.add("ground")
        colours = [self._pick(words.COLOUR_WORDS[name], 0.75) for name in ground.colours]
        if ground.kind == "plain":
            phrase = self._pick(words.PLAIN_WORDS, 0.4).format(*colours)
        elif ground.kind == "gradient":
            phrase = self._pick(words.GRADIENT_WORDS).format(*colours)
        else:
            phrase = self._pick(words.GROUND_WORDS[ground.kind], 0.2)
        for colour in colours:
            if colour[0] in "aeiou":
                phrase = phrase.replace(f" a {colour} ", f" an {colour} ")
        return phrase

    def _says_style(self) -> bool:
        if not self._chance(0.25 if self._scene.style == "flat" else 0.93):
            return False
        self.said.add("style")
        return True

    def write_sentence(self) -> str:
        """One sentence: a front, the subject, its place, the ground and the style, in one of several orders."""
        scene = self._scene
        front = end = ""
        if self._says_style():
            if self._chance(0.5):
                front = self._pick(words.STYLE_FRONTS[scene.style])
            else:
                end = self._pick(words.STYLE_ENDS[scene.style])
        elif self._chance(0.3):
            front = self._pick(words.FRONTS if scene.count == 1 else words.FRONTS[:-2])
        subject, place, ground = self._name_subject(), self._name_place(), self._name_ground()
        if ground and not front and not ground.startswith("with") and self._chance(0.15):
            text = f"{ground}, {subject} {place}"
        elif place and ground and self._chance(0.25):
            text = f"{front} {subject} {ground}, {place}"
        else:
            text = f"{front} {subject} {place} {ground}"
        text = " ".join(text.split())
        return f"{text}, {end}" if end else text

    def list_keywords(self) -> str:
        """Plain keywords behind commas; the thing comes first and the rest in any order."""
        scene = self._scene
        plural = scene.count > 1 and not scene.relation
        first = self._name_thing(0, plural)
        if plural:
            self.said.add("count")
            first = f"{self._pick(words.COUNT_WORDS[scene.count][:2])} {first}"
        keys = [first] + ([self._name_thing(1)] if scene.relation else [])
        rest = [self._name_size().strip()]
        place = self._name_place()
        rest.append("center" if place and scene.place == "middle" else scene.place if place else "")
        if self._chance(0.8):
            self.said.add("ground")
            ground = scene.ground
            if ground.kind == "plain":
                rest.append(f"{self._pick(words.COLOUR_WORDS[ground.colours[0]], 0.75)} background")
            elif ground.kind == "gradient":
                rest.append(f"{ground.colours[0]} to {ground.colours[1]} gradient")
            else:
                rest.append(self._pick(words.GROUND_KEYWORDS[ground.kind]))
        if self._says_style():
            rest.append(scene.style)
        rest = [word for word in rest if word]
        self._lot.shuffle(rest)
        return ", ".join([*keys, *rest])
