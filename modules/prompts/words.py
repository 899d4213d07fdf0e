"""The words of a picture: what a request's prompts come to for it, and what they say at each step of a pass.

Order, as in A1111: styles, comments, choices and wildcards; what comes out is the picture's prompt, which infotext and
recipe tell. From that the tags of networks are taken, then `AND` divides it, then its schedule is told. Emphasis and
`BREAK` are left to whoever cuts the text into tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modules.contracts.networks import NetworkTag
from modules.contracts.plan import PictureWords
from modules.contracts.prompts import Style
from modules.contracts.request import GenerationRequest, HiresParams, PromptParams
from modules.prompts.choices import Lines, draw_choices
from modules.prompts.comments import strip_comments
from modules.prompts.composition import split_composition
from modules.prompts.styles import apply_styles
from modules.prompts.tags import take_tags
from modules.prompts.timeline import Pace, said_at, tell_timeline

Texts = tuple[str, ...]
"""What each text encoder of a model is given, the first one's first."""
FindStyles = Callable[[Sequence[str]], tuple[tuple[Style, ...], tuple[str, ...]]]


def _no_styles(names: Sequence[str]) -> tuple[tuple[Style, ...], tuple[str, ...]]:
    return (), tuple(names)


def _no_lines(name: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Sources:
    """What prompts are resolved with."""

    find_styles: FindStyles = _no_styles
    lines: Lines = _no_lines
    comments: bool = True
    """Whether `#` begins a comment."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Prompt and negative prompt of one picture, and what else its words are."""

    prompt: str
    negative: str
    words: PictureWords
    networks: tuple[NetworkTag, ...] = ()
    hires_networks: tuple[NetworkTag, ...] = ()


class Resolver:
    """Resolves the prompts of one request, picture by picture; tells in `notes` what it could not find."""

    def __init__(self, request: GenerationRequest, sources: Sources, notes: list[str]) -> None:
        prompt, hires = request.prompt, request.hires
        found, unknown = sources.find_styles(prompt.styles) if prompt.styles else ((), ())
        if unknown:
            notes.append(f"There is no style {', '.join(map(repr, unknown))}; it was left out.")
        self._sources, self._notes = sources, notes
        self._no_networks = prompt.no_networks
        self._prompt, self._hires = self._prepare(prompt, hires, found)

    def _prepare(
        self, prompt: PromptParams, hires: HiresParams, styles: Sequence[Style]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The templates: styles applied, comments gone."""
        positive, negative = [style.prompt for style in styles], [style.negative for style in styles]
        first = {
            "text": apply_styles(prompt.text, positive),
            "negative": apply_styles(prompt.negative, negative),
            **{name: getattr(prompt, name) for name in ("second", "third", "negative_second", "negative_third")},
        }
        second = {
            "prompt": apply_styles(hires.prompt, positive) if hires.enabled and hires.prompt else "",
            "negative": apply_styles(hires.negative, negative) if hires.enabled and hires.negative else "",
        }
        if self._sources.comments:
            first = {name: strip_comments(text) for name, text in first.items()}
            second = {name: strip_comments(text) for name, text in second.items()}
        return first, second

    def resolve(self, seed: int) -> Resolved:
        """What the picture of that seed is drawn from. Raises `InvalidRequest` for choices that never end."""
        first = {name: self._draw(text, seed) for name, text in self._prompt.items()}
        second = {name: self._draw(text, seed) for name, text in self._hires.items()}
        networks = take_tags(first["text"])[1]
        words = PictureWords(
            second=first["second"],
            third=first["third"],
            negative_second=first["negative_second"],
            negative_third=first["negative_third"],
            hires_prompt=second["prompt"],
            hires_negative=second["negative"],
            template=self._prompt["text"] if first["text"] != self._prompt["text"] else "",
            negative_template=self._prompt["negative"] if first["negative"] != self._prompt["negative"] else "",
        )
        hires_networks = take_tags(second["prompt"])[1] if second["prompt"] else networks
        if self._no_networks:
            networks = hires_networks = ()
        return Resolved(first["text"], first["negative"], words, networks, hires_networks)

    def _draw(self, text: str, seed: int) -> str:
        drawn = draw_choices(text, seed, self._sources.lines)
        for name in drawn.unknown:
            sentence = f"There is no wildcard {name!r}; it stands in the prompt as it was written."
            if sentence not in self._notes:
                self._notes.append(sentence)
        # What a choice put together may hold a comment again.
        return strip_comments(drawn.text) if self._sources.comments and drawn.text != text else drawn.text


@dataclass(frozen=True, slots=True)
class Course:
    """What a prompt says in the course of a pass: texts for all encoders, each with the last count where it holds."""

    entries: tuple[tuple[int, Texts], ...]

    @property
    def texts(self) -> tuple[Texts, ...]:
        """All that it ever says."""
        return tuple(dict.fromkeys(texts for _, texts in self.entries))


@dataclass(frozen=True, slots=True)
class Screenplay:
    """One picture's words through one pass."""

    parts: tuple[tuple[Course, float], ...]
    """What `AND` joins, with weights; usually one of weight 1."""
    negative: Course

    @property
    def composed(self) -> bool:
        """There is more than one prompt, or one with a weight."""
        return len(self.parts) > 1 or self.parts[0][1] != 1.0

    @property
    def still(self) -> bool:
        """It says the same at every step."""
        return all(len(course.entries) == 1 for course in (self.negative, *(course for course, _ in self.parts)))


def tell_screenplay(positive: Texts, negative: Texts, pace: Pace) -> Screenplay:
    """The words of one picture through a pass. Tags are taken out; only the first encoder's prompt is divided by `AND`.

    `positive` and `negative` have a text for each encoder; an empty one of a further encoder is the first one's.
    Raises `InvalidRequest` as `split_composition` and `tell_timeline` do.
    """
    clean = [take_tags(text)[0] for text in positive]
    parts = [(_course([text, *clean[1:]], pace), weight) for text, weight in split_composition(clean[0])]
    return Screenplay(tuple(parts), _course(negative, pace))


def _course(texts: Sequence[str], pace: Pace) -> Course:
    """Several texts that change at different steps as one course."""
    first = tell_timeline(texts[0], pace)
    timelines = [first, *(tell_timeline(text, pace) if text.strip() else first for text in texts[1:])]
    ends = sorted({last for timeline in timelines for last, _ in timeline})
    return Course(tuple((end, tuple(said_at(timeline, end) for timeline in timelines)) for end in ends))
