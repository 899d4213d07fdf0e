"""The methods of A1111's scripts at the moments of our own API, in A1111's order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from modules.a1111 import scripts as legacy
from modules.a1111.desk import desk_of
from modules.a1111.house import Now, Withheld, within
from modules.a1111.processing import Processed, StableDiffusionProcessing, process_images
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.request import MAX_SEED, GenerationRequest
from modules.contracts.result import Picture
from modules.contracts.scripts import BatchFacts, PictureFacts, PictureWish, StepFacts
from modules.prompts.tags import take_tags
from modules.scripts.context import JobContext

KEY = "a1111"
GATE = "a1111_gate"
BEGINNING = ("setup", "before_process", "process", "before_process_batch")


@dataclass(slots=True)
class Asked:
    """One script in one job."""

    now: Now
    p: Any
    script: legacy.Script
    values: tuple[Any, ...]

    def call(self, method: str, *given: Any, **named: Any) -> Any:
        """One method; what it adds to `p.extra_generation_params` goes into the infotext."""
        with within(self.now):
            found = getattr(self.script, method)(self.p, *given, *self.values, **named)
        self.now.context.infotext.update(self.p.extra_generation_params)
        return found


def _begin(self: Any, job: JobContext, request: GenerationRequest) -> Asked:
    tab = self.tab(request.mode)
    special = not tab.always_on or any(job.values[one.name] != one.default for one in self.parameters)
    self.gate.enter(job, special=special)
    job.state[GATE] = special
    now = Now(job, request, desk_of(self.package, job), saved=None if tab.always_on else [])
    with within(now):
        # An object of the job's own: what it keeps in itself is no business of other jobs.
        asked = Asked(now, StableDiffusionProcessing.of(request), copy.copy(tab.script), tab.asked(job.values))
    asked.p.script_args = list(asked.values)
    vars(asked.p).update(now.desk.extras)
    job.state[KEY] = asked
    return asked


def ended(self: Any, job: JobContext) -> None:
    """Let others in."""
    special = job.state.pop(GATE, None)
    if special is not None:
        self.gate.leave(job, special=special)


def _of(job: JobContext) -> Asked:
    asked = job.state.get(KEY)
    if asked is None:
        raise UnsupportedFeature("What the script did before the job failed, so it is left out of the rest.")
    return asked


def before_job(self: Any, job: JobContext, request: GenerationRequest) -> GenerationRequest | None:
    """`setup`, `before_process`, `process`; with one batch `before_process_batch`, whose prompts can still change."""
    asked = _begin(self, job, request)
    p = asked.p
    if all(getattr(type(asked.script), name) is getattr(legacy.Script, name) for name in BEGINNING):
        return None
    asked.call("setup")
    asked.call("before_process")
    p.setup_prompts()
    before = _lists(p)
    asked.call("process")
    if int(p.n_iter) == 1:
        _set_batch(p, 0, p.all_prompts, p.all_negative_prompts, p.all_seeds, p.all_subseeds)
        asked.call("before_process_batch", **_batch_words(p, 0))
        p.all_prompts, p.all_negative_prompts = list(p.prompts), list(p.negative_prompts)
        p.all_seeds, p.all_subseeds = list(p.seeds), list(p.subseeds)
    _carry(p, before)
    found: GenerationRequest = p.request()
    asked.now.request = found
    return found


def _lists(p: Any) -> tuple[list[Any], ...]:
    return list(p.all_prompts), list(p.all_negative_prompts), list(p.all_seeds), list(p.all_subseeds)


def _carry(p: Any, before: tuple[list[Any], ...]) -> None:
    """Bring what a script wrote into the lists of all pictures to the request: as one prompt and one seed where they
    are that, else picture by picture. As in A1111, there are as many as batches say, and no more than prompts. What a
    script before this one wrote there stands, but for what this one set."""
    if p.each and _lists(p) == before:
        p.setup_prompts()  # with what the script set in `process`
    lists = _lists(p)
    count = min(len(lists[0]), int(p.n_iter) * int(p.batch_size))
    if lists == before and count == len(lists[0]) and not p.each:
        return
    if not count or any(len(one) < count for one in lists):
        raise InvalidRequest(f"The lists of all pictures have {', '.join(str(len(one)) for one in lists)} entries.")
    if count % int(p.batch_size):
        p.batch_size, p.n_iter = 1, count
    p.n_iter = count // int(p.batch_size)
    prompts, negatives, seeds, subseeds = (one[:count] for one in lists)
    seeds, subseeds = [int(one) for one in seeds], [int(one) for one in subseeds]
    step = 0 if p.subseed_strength else 1
    if len(set(prompts)) == len(set(negatives)) == 1 and _follows(seeds, step) and _follows(subseeds, 1):
        p.prompt, p.negative_prompt, p.seed, p.subseed = prompts[0], negatives[0], seeds[0], subseeds[0]
        p.each = ()
        return
    rows = zip(map(str, prompts), map(str, negatives), seeds, subseeds, strict=True)
    p.each = tuple(PictureWish(*row) for row in rows)


def _follows(seeds: list[int], step: int) -> bool:
    return seeds == [(seeds[0] + step * place) % (MAX_SEED + 1) for place in range(len(seeds))]


def _set_batch(p: Any, number: int, *lists: Any) -> None:
    p.iteration = number
    p.prompts, p.negative_prompts, p.seeds, p.subseeds = (list(one) for one in lists)


def _batch_words(p: Any, number: int) -> dict[str, Any]:
    return {"batch_number": number, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}


def before_batch(self: Any, job: JobContext, facts: BatchFacts) -> None:
    """`before_process_batch` of a job with several batches, `process_batch`. Prompts and seeds are settled by then."""
    asked = _of(job)
    p, rows = asked.p, facts.pictures
    lists = (
        [one.prompt for one in rows],
        [one.negative for one in rows],
        [one.seed for one in rows],
        [one.subseed for one in rows],
    )
    _set_batch(p, facts.number, *lists)
    if facts.count > 1:
        asked.call("before_process_batch", **_batch_words(p, facts.number))
    tags = {"extra_network_data": _networks(p.prompts)}
    asked.call("after_extra_networks_activate", **_batch_words(p, facts.number), **tags)
    asked.call("process_batch", **_batch_words(p, facts.number))
    if (p.prompts, p.negative_prompts, p.seeds, p.subseeds) != lists:
        raise UnsupportedFeature(
            "Prompts and seeds are settled when a batch begins; a script changes them in process, or with one batch in "
            "before_process_batch."
        )


def _networks(prompts: list[str]) -> dict[str, list[Any]]:
    """The tags of the first prompt, which A1111 goes by, as `<lora:NAME:0.5>`; by kind."""
    found: dict[str, list[Any]] = {}
    for tag in take_tags(prompts[0])[1] if prompts else ():
        named = dict(tag.named)
        items = [tag.name, *tag.positional, *(f"{key}={value}" for key, value in tag.named)]
        found.setdefault(tag.kind, []).append(SimpleNamespace(items=items, positional=items, named=named))
    return found


def sampled(self: Any, job: JobContext, facts: StepFacts, latents: Any) -> Any:
    """`post_sample`, of the last pass alone."""
    asked = _of(job)
    if asked.now.request.hires.enabled and not facts.second:
        return None
    ps = legacy.PostSampleArgs(latents)
    asked.call("post_sample", ps)
    return ps.samples


def before_steps(self: Any, job: JobContext, facts: StepFacts, latents: Any) -> Any:
    """`before_hr` of a second pass, `process_before_every_sampling`, whose `x` may be changed in place."""
    asked = _of(job)
    asked.p.is_hr_pass = facts.second
    if facts.second:
        asked.call("before_hr")
    withheld = {"c": Withheld("The conditioning c"), "uc": Withheld("The conditioning uc")}
    asked.call("process_before_every_sampling", x=latents, noise=latents, **withheld)
    return latents


def decoded(self: Any, job: JobContext, facts: BatchFacts, images: list[Any]) -> list[Any]:
    """`postprocess_batch` with a tensor (pictures, 3, H, W) from 0 to 1, `postprocess_batch_list` with its rows."""
    import numpy as np
    import torch
    from PIL import Image

    asked = _of(job)
    asked.p.iteration = facts.number
    whole = torch.stack([torch.from_numpy(np.array(one.convert("RGB"))) for one in images])
    whole = whole.permute(0, 3, 1, 2).float() / 255
    asked.call("postprocess_batch", images=whole, batch_number=facts.number)
    pp = legacy.PostprocessBatchListArgs(list(whole))
    asked.call("postprocess_batch_list", pp, batch_number=facts.number)
    rows = [one.detach().cpu().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy() for one in pp.images]
    return [Image.fromarray(row) for row in rows]


def picture(self: Any, job: JobContext, facts: PictureFacts, image: Any) -> Any:
    """`postprocess_image`, `postprocess_image_after_composite`."""
    asked = _of(job)
    pp = legacy.PostprocessImageArgs(image, facts.index)
    asked.p.batch_index = facts.index % max(int(asked.p.batch_size), 1)
    asked.p.seeds, asked.p.prompts = asked.p.seeds or [facts.seed], asked.p.prompts or [facts.prompt]
    asked.call("postprocess_image", pp)
    asked.call("postprocess_image_after_composite", pp)
    return pp.image


def after_job(self: Any, job: JobContext, pictures: tuple[Picture, ...]) -> None:
    """`postprocess`. Pictures are handed out by then, so what it adds or replaces is told of and not kept."""
    asked = _of(job)
    with within(asked.now):
        processed = _processed(asked.p, pictures)
    before = list(processed.images)
    asked.call("postprocess", processed)
    if len(processed.images) != len(before) or any(
        new is not old for new, old in zip(processed.images, before, strict=True)
    ):
        job.note(f"{self.title} changed the pictures in postprocess, when they were already handed out.")


def _processed(p: Any, pictures: tuple[Picture, ...]) -> Processed:
    return Processed(
        p,
        [one.image for one in pictures],
        pictures[0].seed if pictures else p.seed,
        pictures[0].infotext if pictures else "",
        infotexts=[one.infotext for one in pictures],
        all_prompts=[one.prompt for one in pictures],
        all_seeds=[one.seed for one in pictures],
    )


def own(self: Any, job: JobContext, request: GenerationRequest) -> list[Picture]:
    """`run`; a script that gives nothing has the job drawn as it stands then."""
    asked = _begin(self, job, request)
    processed = asked.call("run")
    if processed is None:
        with within(asked.now):
            processed = process_images(asked.p)
    if not isinstance(processed, Processed):
        raise ValueError(f"run gave {type(processed).__name__} where a Processed is needed")
    drawn = {id(one.image): one for one in asked.now.drawn}
    found = []
    for place, image in enumerate(processed.images):
        picture = drawn.get(id(image)) or _foreign(asked, processed, image)
        text = processed.infotexts[place] if place < len(processed.infotexts) else picture.infotext
        found.append(replace(picture, index=place, infotext=str(text or picture.infotext)))
    given = {id(image) for image in processed.images}
    for image, text in asked.now.saved or ():
        if id(image) not in given:
            given.add(id(image))
            picture = drawn.get(id(image)) or _foreign(asked, processed, image)
            found.append(replace(picture, index=len(found), infotext=text or picture.infotext))
    return found


def _foreign(asked: Asked, processed: Processed, image: Any) -> Picture:
    """A picture that the script made itself, e.g. a grid; it has the words of the first that was drawn."""
    if not hasattr(image, "convert"):
        from PIL import Image

        image = Image.fromarray(image)
    if asked.now.drawn:
        return replace(asked.now.drawn[0], image=image)
    seeds = asked.p.seed if asked.p.seed != -1 else 0, asked.p.subseed if asked.p.subseed != -1 else 0
    return Picture(0, image, *seeds, str(asked.p.prompt), str(asked.p.negative_prompt), processed.info, {})


OWNING, ENDING = own, ended
Serves = Mapping[str, tuple[Callable[..., Any], frozenset[str]]]
_LATER = frozenset(
    {
        "after_extra_networks_activate",
        "post_sample",
        "process_batch",
        "process_before_every_sampling",
        "before_hr",
        "postprocess_batch",
    }
) | frozenset({"postprocess_batch_list", "postprocess_image", "postprocess_image_after_composite", "postprocess"})
ALWAYS_ON: Serves = {
    "before_job": (before_job, _LATER | frozenset(BEGINNING)),
    "before_batch": (
        before_batch,
        frozenset({"before_process_batch", "after_extra_networks_activate", "process_batch"}),
    ),
    "sampled": (sampled, frozenset({"post_sample"})),
    "before_steps": (before_steps, frozenset({"process_before_every_sampling", "before_hr"})),
    "decoded": (decoded, frozenset({"postprocess_batch", "postprocess_batch_list"})),
    "picture": (picture, frozenset({"postprocess_image", "postprocess_image_after_composite"})),
    "after_job": (after_job, frozenset({"postprocess"})),
}
"""What each moment of ours does, and which of A1111's methods it serves; one is left out where none is overridden."""
