"""From words to what the denoiser is conditioned on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from PIL import Image

from modules.contracts.networks import NetworkUse
from modules.contracts.plan import PassPlan, PicturePlan
from modules.processing_diffusers.conductor import Conductor, Role, Voice, even_lengths
from modules.processing_diffusers.embeddings import Encoded
from modules.processing_diffusers.families.base import Embedding
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.plan import reference_rows
from modules.processing_diffusers.scripting import change_words
from modules.processing_diffusers.stages.prepare import row_of
from modules.prompts.areas import Area, lay_out, parse_areas
from modules.prompts.emphasis import is_weighted, plain_text
from modules.prompts.encoding import EncoderSpec, Manner, Reading, measure, read_texts
from modules.prompts.timeline import Pace
from modules.prompts.words import Course, Screenplay, Texts, tell_screenplay

Uses = tuple[NetworkUse, ...]
"""All networks of a picture."""
Shown = Sequence[Image.Image]
"""Pictures that others are made from."""


class _Reader(NamedTuple):
    """With what the texts of a picture are read."""

    uses: Uses
    shown: int | None
    """Which of the shown pictures the reader sees."""


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What a pass is conditioned on."""

    arguments: dict[str, Any]
    """Of the pipeline's call."""
    conductor: Conductor | None = None
    """Where the words change or are mixed; then those of `arguments` only stand in for them."""
    refined: Conditioning | None = None
    """What the refiner is conditioned on, by its own encoders."""

    def only(self, place: int, count: int) -> Conditioning:
        """That of one picture out of `count`."""
        conductor = None if self.conductor is None else self.conductor.only(place)
        refined = None if self.refined is None else self.refined.only(place, count)
        return Conditioning(row_of(self.arguments, place, count), conductor, refined)


def encode_pass(
    job: Job, pictures: Sequence[PicturePlan], pass_plan: PassPlan, shown: Shown = (), *, second: bool = False
) -> Conditioning:
    """`encode_words` for the job's model, and for the refiner of the pass where it has one."""
    words, refined = encode_words(job, pictures, pass_plan, shown, second=second), job.refined
    if pass_plan.refiner is None or refined is None:
        return words
    seen = refined.plan.batches[job.strand.batch]
    return replace(words, refined=encode_words(refined, seen, pass_plan, shown, second=second))


def encode_words(
    job: Job, pictures: Sequence[PicturePlan], pass_plan: PassPlan, shown: Shown = (), *, second: bool = False
) -> Conditioning:
    """The words of the pictures through one pass. Texts that were encoded lately are taken from memory.

    `shown` are the pictures that these are made from, one for all or one each, for readers that see them. `second` is
    the hires pass, with its own prompts where there are any. Raises `InvalidRequest` for prompts that join
    too much or change too often.
    """
    adapter = job.model.adapter
    plays = [_screenplay(job, picture, pass_plan, second) for picture in pictures]
    guided = adapter.is_guided(pass_plan.cfg_scale)
    if adapter.scale_inside and any(picture.negative for picture in pictures):
        job.strand.note(
            f"{job.plan.model.name} takes the CFG scale as an input and no negative prompt; it was left out."
        )
    # What AND joins is mixed round the unguided answer, also where the pipeline itself does not guide.
    mixed = "negative_prompt" in job.model.family.capabilities and any(play.composed for play in plays)
    across = job.plan.request.guidance.perp_neg > 0 and guided
    courses = [_courses(play, negative=guided or mixed, empty=across) for play in plays]
    seen = shown if adapter.sees else ()
    used = [
        _Reader(picture.hires_uses if second else picture.uses, place % len(seen) if seen else None)
        for place, picture in enumerate(pictures)
    ]
    known = _encode_all(job, used, courses, seen)
    roles = [_role(job, play, known[use], negative=guided or mixed) for play, use in zip(plays, used, strict=True)]
    if not second:
        _tell_of_areas(job, pictures, plays)
    if across:
        roles = [_across(job, role, play, known[use]) for role, play, use in zip(roles, plays, used, strict=True)]
    roles = change_words(job, pictures, roles, second=second)
    still = all(play.still and not play.composed for play in plays) and all(role.empty is None for role in roles)
    if still and not adapter.paired:
        whole = [role.voices[0].at(0) for role in roles]
        against = [role.negative.at(0) for role in roles if guided and role.negative is not None]
        even = even_lengths(adapter, [*whole, *against])
        if even is not None:
            return Conditioning(adapter.condition(even[: len(whole)], even[len(whole) :] if guided else None))
    first = [roles[0].voices[0].at(0)] * len(roles)
    most = job.port.limit // (1 + reference_rows(job.plan))
    free = first if guided and not adapter.paired else None
    return Conditioning(adapter.condition(first, free), Conductor(adapter, roles, most))


def _courses(play: Screenplay, *, negative: bool, empty: bool = False) -> list[Course]:
    against = [play.negative] if negative else []
    return [course for course, _ in play.parts] + against + ([_silence(play)] if empty else [])


def _silence(play: Screenplay) -> Course:
    """The empty prompt for as many encoders as the negative one has."""
    return Course(((play.negative.entries[-1][0], ("",) * len(play.negative.entries[0][1])),))


def _screenplay(job: Job, picture: PicturePlan, pass_plan: PassPlan, second: bool) -> Screenplay:
    """The picture's words for that pass, for as many encoders as the family has."""
    words = picture.words
    first = job.plan.first.sampler.counts(job.plan.request.steps)
    encoders = max(len(job.model.adapter.encoders), 1)
    pace = Pace(pass_plan.sampler.counts(pass_plan.steps), first) if second else Pace(first)
    positive: Texts = (picture.prompt, words.second, words.third)
    negative: Texts = (picture.negative, words.negative_second, words.negative_third)
    if second and words.hires_prompt:
        positive = (words.hires_prompt, "", "")
    if second and words.hires_negative:
        negative = (words.hires_negative, "", "")
    return tell_screenplay(positive[:encoders], negative[:encoders], pace)


def _role(job: Job, play: Screenplay, known: dict[Texts, Embedding], *, negative: bool) -> Role:
    def voice(course: Course, weight: float, area: Area | None) -> Voice:
        return Voice(tuple((last, known[texts]) for last, texts in course.entries), weight, area)

    # What joins nothing, such as a second pass with a prompt of its own, is for the whole picture.
    areas, share = parse_areas(job.plan.request.prompt.areas if play.composed else "")
    places = lay_out(areas, len(play.parts)) if areas else (None,) * len(play.parts)
    voices = tuple(voice(course, weight, area) for (course, weight), area in zip(play.parts, places, strict=True))
    behind = share if areas else None
    if not negative:
        return Role(voices, None, behind=behind)
    empty = job.model.adapter.empty
    against = tuple(
        (last, known[texts] if any(texts) else empty(known[texts])) for last, texts in play.negative.entries
    )
    return Role(voices, Voice(against), behind=behind)


def _tell_of_areas(job: Job, pictures: Sequence[PicturePlan], plays: Sequence[Screenplay]) -> None:
    """Note pictures whose prompt, once styles and choices are settled, joins nothing that areas could be of."""
    if not parse_areas(job.plan.request.prompt.areas)[0]:
        return
    for picture, play in zip(pictures, plays, strict=True):
        if not play.composed:
            job.strand.note(f"Picture {picture.index + 1} was drawn without prompt areas: its prompt has no AND.")


def _across(job: Job, role: Role, play: Screenplay, known: dict[Texts, Embedding]) -> Role:
    """The role with its negative prompt acting across the prompt only; unchanged where that prompt is empty."""
    if not any(any(texts) for texts in play.negative.texts):
        return role
    (last, silence) = _silence(play).entries[0]
    empty = Voice(((last, job.model.adapter.empty(known[silence])),))
    return replace(role, empty=empty, across=job.plan.request.guidance.perp_neg)


def _encode_all(
    job: Job, used: Sequence[_Reader], courses: Sequence[Sequence[Course]], shown: Shown
) -> dict[_Reader, dict[Texts, Embedding]]:
    """What the encoders make of the texts of each picture, with the networks of the picture beside them."""
    wanted: dict[_Reader, dict[Texts, None]] = {}
    for reader, sung in zip(used, courses, strict=True):
        wanted.setdefault(reader, {}).update(dict.fromkeys(texts for course in sung for texts in course.texts))
    known: dict[_Reader, dict[Texts, Embedding]] = {}
    for reader, found in wanted.items():
        known[reader] = {}
        picture = None if reader.shown is None else shown[reader.shown]
        for texts in job.networks.groups(list(found), " ".join, reader.uses):
            with job.networks.reading(job.pipeline, [" ".join(each) for each in texts], reader.uses):
                known[reader].update(encode_texts(job, texts, picture))
    for note in job.networks.notes:
        job.strand.note(note)
    return known


def encode_texts(job: Job, texts: Sequence[Texts], picture: Image.Image | None = None) -> dict[Texts, Embedding]:
    """What the model's encoders make of each set of texts, and of the picture that they are about where they see it."""
    adapter = job.model.adapter
    with torch.no_grad():
        if not adapter.encoders:
            return {each: _embed_whole(job, each[0], picture) for each in texts}
        read = [_read(job, spec, [each[place] for each in texts]) for place, spec in enumerate(adapter.encoders)]

        def blank(place: int) -> Reading:
            found = _read(job, adapter.encoders[place], [""])
            if found is None:
                raise ValueError("An encoder that is not there was asked for an empty text.")
            return found[""]

        return {
            each: adapter.assemble(
                job.pipeline, [None if found is None else found[each[n]] for n, found in enumerate(read)], blank
            )
            for each in texts
        }


def _read(job: Job, spec: EncoderSpec, texts: Sequence[str]) -> dict[str, Reading] | None:
    """What one encoder says of each text, from memory where it is known; None where the model lacks it."""
    encoder, tokenizer = getattr(job.pipeline, spec.encoder, None), getattr(job.pipeline, spec.tokenizer, None)
    if encoder is None or tokenizer is None:
        return None
    cache, prompt = job.model.embeddings, job.plan.request.prompt
    manner = Manner(prompt.emphasis, prompt.comma_backtrack, prompt.clip_skip)
    keys = {text: (spec.encoder, encoder.signature, text, manner) for text in dict.fromkeys(texts)}
    known = {text: found for text, key in keys.items() if (found := cache.get(key)) is not None}
    missing = [text for text in keys if text not in known]
    if missing:
        ruler = job.model.rulers.get(spec)
        if ruler is None:
            ruler = job.model.rulers[spec] = measure(tokenizer, spec.length)
        readings = read_texts(missing, tokenizer, encoder, spec, manner, ruler)
        for text, reading in zip(missing, readings, strict=True):
            # A copy, as what a merged call gave is a part of what it gave to all.
            vector = None if reading.pooled is None else reading.pooled.clone()
            known[text] = replace(reading, pooled=vector)
            cache.put(keys[text], known[text])
    return known


def _embed_whole(job: Job, text: str, picture: Image.Image | None) -> Embedding:
    """For families whose pipelines read whole texts: the words without weights."""
    prompt = job.plan.request.prompt
    if prompt.emphasis != "None":
        if prompt.emphasis != "Ignore" and is_weighted(text):
            job.strand.note(f"{job.model.family.label} takes no weights in prompts; they were left out.")
        text = plain_text(text)
    encoders = (getattr(job.pipeline, name, None) for name in job.model.text_encoders)
    mark = None if picture is None else (picture.size, hashlib.sha256(picture.tobytes()).digest())
    key = (text, prompt.clip_skip, tuple(one.signature for one in encoders if one is not None), mark)
    known: Encoded | None = job.model.embeddings.get(key)
    if known is None:
        if picture is None:
            embedding = job.model.adapter.embed(job.pipeline, [text], prompt.clip_skip)[0]
        else:
            embedding = job.model.adapter.embed_seeing(job.pipeline, text, picture)
        known = Encoded({name: value.clone() for name, value in embedding.items()})
        job.model.embeddings.put(key, known)
    return known.embedding
