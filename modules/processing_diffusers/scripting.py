"""Where the engine asks the scripts of a job. Without any, each of these returns at once what it was given.

A lane's pipeline is its own, so what is asked here has the rows of one job only, whatever they were merged with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from PIL import Image

from modules.contracts.infotext_enlarged import add_to_infotext
from modules.contracts.plan import PassPlan, PicturePlan
from modules.contracts.result import Picture
from modules.contracts.scripts import BatchFacts, Guard, JobHooks, Moment, PictureFacts, StepFacts, WordFacts
from modules.processing_diffusers.conductor import Role, Voice
from modules.processing_diffusers.job import Job
from modules.processing_diffusers.multiplexer.stand_in import Wider
from modules.processing_diffusers.shown import Shown, Words
from modules.processing_diffusers.tail import ScheduleTail

LARGEST = 16384
"""Pixels of a side of a picture that a script may give."""
OF_PASSES: tuple[Moment, ...] = (
    *("before_steps", "model_input", "step_input", "noise_prediction", "clean_predictions", "guided_prediction"),
    *("stepping", "after_step", "sampled"),
)
Mixer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Stepper = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def tell_batch(job: Job, moment: Literal["before_batch", "after_batch"], pictures: Sequence[PicturePlan]) -> None:
    """Say that a batch begins or has ended."""
    hooks = job.strand.context.hooks
    if hooks is not None and hooks.wants(moment):
        hooks.tell(moment, batch_facts(job, pictures))


def change_words(job: Job, pictures: Sequence[PicturePlan], roles: list[Role], *, second: bool) -> list[Role]:
    """The words of each picture, prompt and negative prompt, as scripts want them."""
    hooks = job.strand.context.hooks
    if hooks is None or not hooks.wants("conditioning"):
        return roles
    found = []
    for picture, role in zip(pictures, roles, strict=True):
        facts = WordFacts(_facts(picture), second, False)
        voices = tuple(_voiced(hooks, facts, voice) for voice in role.voices)
        negative = None if role.negative is None else _voiced(hooks, replace(facts, negative=True), role.negative)
        found.append(replace(role, voices=voices, negative=negative))
    return found


def change_decoded(job: Job, pictures: Sequence[PicturePlan], images: list[Image.Image]) -> list[Image.Image]:
    """The images of a batch; as many and as large."""
    hooks = job.strand.context.hooks
    if hooks is None or not hooks.wants("decoded"):
        return images

    def checked(found: Any) -> list[Image.Image]:
        if not isinstance(found, list | tuple) or len(found) != len(images):
            raise ValueError(f"it has to give a list of {len(images)} images")
        sound = [_sound(image) for image in found]
        if any(new.size != old.size for new, old in zip(sound, images, strict=True)):
            raise ValueError(f"images have to keep their size of {images[0].width}x{images[0].height}")
        return sound

    guard = Guard(lambda given: [image.copy() for image in given], checked)
    changed: list[Image.Image] = hooks.change("decoded", batch_facts(job, pictures), images, guard)
    return changed


def change_picture(job: Job, picture: PicturePlan, image: Image.Image) -> Image.Image:
    """One finished image, of any size."""
    hooks = job.strand.context.hooks
    if hooks is None or not hooks.wants("picture"):
        return image
    changed: Image.Image = hooks.change("picture", _facts(picture), image, Guard(lambda one: one.copy(), _sound))
    return changed


def change_enlarged(hooks: JobHooks | None, picture: Picture) -> Picture:
    """One finished picture that was made larger, with what scripts say of it; one with an alpha keeps it, and one that
    a script changes has eight bits a channel."""
    if hooks is None or not hooks.wants("picture"):
        return picture
    facts = PictureFacts(picture.index, picture.prompt, picture.negative, picture.seed, picture.subseed)
    image = hooks.change("picture", facts, picture.image, Guard(lambda one: one.copy(), _sound_with_alpha))
    infotext = add_to_infotext(picture.infotext, hooks.fields(picture.index))
    if image is picture.image:
        return replace(picture, infotext=infotext)
    recipe = {**picture.recipe, "width": image.width, "height": image.height}
    return replace(picture, image=image, infotext=infotext, recipe=recipe, deep=None)


class PassScripts:
    """The scripts of a job through one pass of one lane. Tensors go to them as (rows, C, H, W), fp32."""

    def __init__(self, hooks: JobHooks, job: Job, pass_plan: PassPlan, tail: ScheduleTail, begin: int) -> None:
        self._hooks, self._adapter, self._tail, self._begin = hooks, job.model.adapter, tail, begin
        factor = job.model.family.latent_factor
        self._cells = (pass_plan.height // factor, pass_plan.width // factor)
        self._steps, self._calls = pass_plan.steps, 0
        self._second = pass_plan is job.plan.hires
        self._batch = batch_facts(job, job.plan.batches[job.strand.batch])
        self._packed: torch.Size | None = None
        self.latents = torch.empty(0)
        """The latents that the coming model call is about, in the denoiser's layout."""

    @classmethod
    def of(
        cls, job: Job, pass_plan: PassPlan, tail: ScheduleTail, begin: int, portion: tuple[int, int]
    ) -> PassScripts | None:
        """None where no script wants anything of this pass; regions that are drawn once more are nobody's business.

        `portion` is which of how many pictures of the batch are drawn, where they are drawn one by one.
        """
        hooks = job.strand.context.hooks
        if hooks is None or (pass_plan is not job.plan.first and pass_plan is not job.plan.hires):
            return None
        if not any(map(hooks.wants, OF_PASSES)):
            return None
        found, (place, count) = cls(hooks, job, pass_plan, tail, begin), portion
        if count > 1:
            found._batch = replace(found._batch, pictures=found._batch.pictures[place : place + 1])
        return found

    def begin(self, latents: torch.Tensor) -> torch.Tensor:
        """What goes into the first step, in the denoiser's layout."""
        self._packed, self.latents = latents.shape[1:], latents
        if self._hooks.wants("before_steps"):
            self.latents = self._change("before_steps", latents, self._begin)
        return self.latents

    def before(self, wider: Wider | None, *, worded: bool) -> Wider | None:
        """Whoever asks for more than the pipeline does, with what scripts want the denoiser to see. With `worded` the
        words of a call are those that it is made with."""
        if self._tail.flow or not (self._hooks.wants("model_input") or self._hooks.wants("step_input")):
            return wider
        return Shown(self._show, self._tail, lambda: self.latents, wider, worded=worded)

    def _show(
        self, rows: torch.Tensor, levels: torch.Tensor, words: Words | None
    ) -> tuple[torch.Tensor, torch.Tensor, Words | None]:
        given = self._open(rows), levels

        def checked(found: Any) -> tuple[Any, ...]:
            seen, told = (_like(new, old) for new, old in zip(_pair(found), given, strict=True))
            return seen, _above_zero(told)

        seen, told = self._hooks.change("model_input", self._facts(self._done), given, Guard(_both, checked))
        seen, told, words = self._show_words(seen, told, words)
        return (rows if seen is given[0] else self._close(seen, rows)), told, words

    def _show_words(
        self, cells: torch.Tensor, levels: torch.Tensor, words: Words | None
    ) -> tuple[torch.Tensor, torch.Tensor, Words | None]:
        if not self._hooks.wants("step_input"):
            return cells, levels, words

        def copied(given: tuple[Any, ...]) -> tuple[Any, ...]:
            told = None if given[2] is None else {name: one.clone() for name, one in given[2].items()}
            return given[0].clone(), given[1].clone(), told

        def checked(found: Any) -> tuple[Any, ...]:
            if not isinstance(found, tuple) or len(found) != 3:
                raise ValueError("it has to give latents, noise levels and words")
            if words is None or found[2] is None:
                said = words
            elif not isinstance(found[2], dict) or set(found[2]) != set(words):
                raise ValueError(f"its words have to be the tensors {', '.join(words)}")
            else:
                said = {name: _like(found[2][name], old) for name, old in words.items()}
            return _like(found[0], cells), _above_zero(_like(found[1], levels)), said

        changed: tuple[torch.Tensor, torch.Tensor, Words | None] = self._hooks.change(
            "step_input", self._facts(self._done), (cells, levels, words), Guard(copied, checked)
        )
        return changed

    @property
    def ear(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Whoever hears the denoiser's answers before guidance."""
        return self._hear if self._hooks.wants("noise_prediction") or self._hooks.wants("clean_predictions") else None

    def _hear(self, output: torch.Tensor) -> torch.Tensor:
        count = len(self._batch.pictures)
        if output.shape[0] not in (count, 2 * count):
            return output
        if self._hooks.wants("noise_prediction"):
            output = self._change_answers("noise_prediction", output)
        if self._hooks.wants("clean_predictions"):
            sample = self.latents.repeat(output.shape[0] // count, *[1] * (self.latents.ndim - 1))
            clean = self._tail.denoise(output, sample)
            changed = self._change_answers("clean_predictions", clean)
            output = output if changed is clean else self._tail.answer(changed, sample).to(output.dtype)
        return output

    def _change_answers(
        self, moment: Literal["noise_prediction", "clean_predictions"], output: torch.Tensor
    ) -> torch.Tensor:
        guided = output.shape[0] == 2 * len(self._batch.pictures)
        whole = self._open(output)
        given = tuple(whole.chunk(2)) if guided else (None, whole)

        def checked(found: Any) -> tuple[Any, ...]:
            if (_pair(found)[0] is None) == guided:
                raise ValueError("the answer without the prompt has to be there exactly where it was")
            return tuple(None if old is None else _like(new, old) for new, old in zip(found, given, strict=True))

        free, bound = self._hooks.change(moment, self._facts(self._done), given, Guard(_both, checked))
        if free is given[0] and bound is given[1]:
            return output
        return self._close(bound if free is None else torch.cat([free, bound]), output)

    def around(self, mixer: Mixer | None) -> Mixer | None:
        """What gives the sampler its answers, with scripts behind it."""
        if not self._hooks.wants("guided_prediction"):
            return mixer

        def mix(output: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
            answer = output if mixer is None else mixer(output, sample)
            return self._change("guided_prediction", answer, self._done)

        return mix

    @property
    def stepper(self) -> Stepper | None:
        """What gives the sampler both its answer and the latents to step from."""
        return self._step if self._hooks.wants("stepping") else None

    def _step(self, output: torch.Tensor, sample: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        clean = self._tail.denoise(output, sample)
        given = self._open(sample), self._open(clean)

        def checked(found: Any) -> tuple[Any, ...]:
            return tuple(_like(new, old) for new, old in zip(_pair(found), given, strict=True))

        start, goal = self._hooks.change("stepping", self._facts(self._done), given, Guard(_both, checked))
        if start is given[0] and goal is given[1]:
            return output, sample
        sample = sample if start is given[0] else self._close(start, sample)
        clean = clean if goal is given[1] else self._close(goal, clean)
        return self._tail.answer(clean, sample).to(output.dtype), sample

    def end_step(self, latents: torch.Tensor, index: int) -> torch.Tensor:
        """The latents after model call `index`."""
        self._calls = index + 1
        if self._hooks.wants("after_step"):
            latents = self._change("after_step", latents, self._done)
        if self._calls >= len(self._tail.timesteps) and self._hooks.wants("sampled"):
            latents = self._change("sampled", latents, self._done)
        return latents

    @property
    def _done(self) -> int:
        return self._begin + self._calls // self._tail.order

    def _change(
        self,
        moment: Literal["before_steps", "guided_prediction", "after_step", "sampled"],
        packed: torch.Tensor,
        done: int,
    ) -> torch.Tensor:
        cells = self._open(packed)
        guard = Guard(lambda one: one.clone(), lambda found: _like(found, cells))
        changed: torch.Tensor = self._hooks.change(moment, self._facts(done), cells, guard)
        return packed if changed is cells else self._close(changed, packed)

    def _facts(self, done: int) -> StepFacts:
        over = self._calls >= len(self._tail.timesteps)
        sigma = self._tail.ends_at if over else self._tail.level
        return StepFacts(self._batch, self._second, done, self._steps, sigma)

    def _open(self, packed: torch.Tensor) -> torch.Tensor:
        """In rows, channels, height and width, where it is laid out like the latents; else as it is."""
        if packed.shape[1:] != self._packed:
            return packed.float()
        return self._adapter.unpack(packed.float(), *self._cells)

    def _close(self, cells: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        packed = cells if like.shape[1:] != self._packed else self._adapter.pack(cells)
        return packed.to(like.dtype)


def batch_facts(job: Job, pictures: Sequence[PicturePlan]) -> BatchFacts:
    """A batch as scripts see it."""
    return BatchFacts(job.strand.batch, len(job.plan.batches), tuple(map(_facts, pictures)))


def _facts(picture: PicturePlan) -> PictureFacts:
    return PictureFacts(picture.index, picture.prompt, picture.negative, picture.seed, picture.subseed)


def _voiced(hooks: JobHooks, facts: WordFacts, voice: Voice) -> Voice:
    return replace(voice, entries=tuple((last, _worded(hooks, facts, words)) for last, words in voice.entries))


def _worded(hooks: JobHooks, facts: WordFacts, words: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    def checked(found: Any) -> dict[str, torch.Tensor]:
        if not isinstance(found, dict) or set(found) != set(words):
            raise ValueError(f"it has to give the tensors {', '.join(words)}")
        return {name: _like(found[name], words[name]) for name in words}

    guard = Guard(lambda given: {name: value.clone() for name, value in given.items()}, checked)
    changed: Mapping[str, torch.Tensor] = hooks.change("conditioning", facts, words, guard)
    return changed


def _above_zero(levels: torch.Tensor) -> torch.Tensor:
    if not bool((levels > 0).all()):
        raise ValueError("noise levels have to be greater than 0")
    return levels


def _pair(found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError("it has to give two tensors")
    return found


def _both(two: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if one is None else one.clone() for one in two)


def _like(found: Any, old: torch.Tensor) -> torch.Tensor:
    """A copy of what a script gave, on the device and in the type of what it got."""
    if type(found) is not torch.Tensor:
        raise ValueError(f"it gave {type(found).__name__} where a tensor is needed")
    if found.shape != old.shape:
        raise ValueError(f"it gave a tensor of shape {tuple(found.shape)}; {tuple(old.shape)} is needed")
    if not bool(torch.isfinite(found).all()):
        raise ValueError("it gave numbers that are not finite")
    return found.detach().to(old.device, old.dtype, copy=True)


def _sound_with_alpha(found: Any) -> Image.Image:
    """The same, as RGBA where it has an alpha."""
    image = _sound(found)
    return found.convert("RGBA") if found.has_transparency_data else image


def _sound(found: Any) -> Image.Image:
    """A copy of an image that a script gave, as RGB."""
    if not isinstance(found, Image.Image):
        raise ValueError(f"it gave {type(found).__name__} where an image is needed")
    if not (1 <= found.width <= LARGEST and 1 <= found.height <= LARGEST):
        raise ValueError(f"it gave an image of {found.width}x{found.height}; up to {LARGEST} a side are allowed")
    return found.convert("RGB")
