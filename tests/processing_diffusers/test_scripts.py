"""What scripts do to jobs, and what they cannot do: seen in pixels."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.errors import InvalidRequest, JobCancelled, ScriptFailed
from modules.contracts.events import ImageReady, StepDone
from modules.contracts.request import GenerationRequest
from modules.contracts.run import RunContext
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse
from modules.scripts.engine import ScriptedEngine
from modules.scripts.loading import Extension
from modules.scripts.shelf import ScriptShelf
from modules.scripts.v1 import Number, PictureWish, Script, Toggle
from tests.processing_diffusers.conftest import ask, in_threads, pixels


class House:
    """An engine with scripts around it."""

    def __init__(self, bench, folder: Path, *scripts: Script, limit: float = 20.0) -> None:
        self.shelf = ScriptShelf([], [], folder)
        self.extensions = [
            Extension(f"ext{number}", folder, (), scripts=(script,), loaded=True)
            for number, script in enumerate(scripts)
        ]
        self.shelf._extensions = tuple(self.extensions)
        self.engine = ScriptedEngine(bench.engine, self.shelf, lambda request: None, lambda: limit)

    def draw(self, request, context=None, **said):
        """Draw with what is said to scripts by title."""
        uses = tuple(
            ScriptUse(name, tuple(GivenValue(key, value) for key, value in values.items()))
            for name, values in said.items()
        )
        request = replace(request, scripts=ScriptParams(uses)) if uses else request
        return self.engine.generate(request, context or RunContext("job", previews=False))


@pytest.fixture
def house(bench, tmp_path):
    made = []

    def make(*scripts, **given):
        made.append(House(bench, tmp_path, *scripts, **given))
        return made[-1]

    yield make
    for one in made:
        one.shelf.close()


def same(one, other) -> bool:
    return bool((pixels(one) == pixels(other)).all())


def test_without_a_script_that_does_anything_the_engine_hears_of_none(bench, house):
    seen = []

    class Watched:
        def generate(self, request, context):
            seen.append(context.hooks)
            return bench.engine.generate(request, context)

    empty = house()
    empty.engine = ScriptedEngine(Watched(), empty.shelf, lambda request: None, lambda: 5.0)
    assert same(empty.draw(ask()).pictures[0], bench.draw(ask()).pictures[0])
    assert seen == [None]


def test_a_request_is_transformed_and_checked_again(bench, house):
    class Seeded(Script):
        seed = Number("Seed", 7)

        def before_job(self, job, request):
            return replace(request, seeds=replace(request.seeds, seed=job.values["seed"]))

    result = house(Seeded()).draw(ask(seed=1), Seeded={"seed": 9})
    assert result.pictures[0].seed == 9
    assert same(result.pictures[0], bench.draw(ask(seed=9)).pictures[0])
    assert "Seeded: seed: 9" in result.pictures[0].infotext.replace('"', "")

    wild = house(Seeded()).draw(ask(seed=1), Seeded={"seed": 2**40})
    assert wild.pictures[0].seed == 1
    assert "failed in before_job" in wild.notes[-1]
    assert "Seed is 1099511627776" in wild.notes[-1]


def test_pictures_of_a_job_can_have_words_and_seeds_of_their_own(bench, house):
    class Several(Script):
        count = Number("Count", 2)
        seed = Number("Seed", 9)

        def before_job(self, job, request):
            words = ["a blue square", "a red circle"] * 2
            rows = (PictureWish(text, "blurry", job.values["seed"], 0) for text in words[: job.values["count"]])
            return replace(request, each=tuple(rows))

    lively = house(Several())
    result = lively.draw(ask(batch=2))
    goals = [bench.draw(ask(text, seed=9)).pictures[0] for text in ("a blue square", "a red circle")]
    assert result.notes == ()
    assert [(one.prompt, one.seed) for one in result.pictures] == [("a blue square", 9), ("a red circle", 9)]
    change = [abs(pixels(one) - pixels(goal)).max() for one, goal in zip(result.pictures, goals, strict=True)]
    assert max(change) <= 1
    wrong = lively.draw(ask(batch=2), Several={"count": 3})
    assert "3 pictures have words of their own in a job of 2" in wrong.notes[0]
    assert "Seed of picture 1 is -5" in lively.draw(ask(batch=2), Several={"seed": -5}).notes[0]

    class Owner(Script):
        always_on = False

        def run(self, job, request):
            return job.generate(replace(request, canvas=replace(request.canvas, batch_size=1))).pictures

    owned = house(Several(), Owner()).draw(replace(ask(batch=2), scripts=ScriptParams(run=ScriptUse("Owner"))))
    assert [one.prompt for one in owned.pictures] == ["a red circle"]
    assert "Owner owns the run" in owned.notes[0]


def test_latents_after_a_step_change_the_picture_of_that_job_only(bench, house):
    class Still(Script):
        on = Toggle("On")

        def after_step(self, job, facts, latents):
            job.state.setdefault("seen", []).append((facts.step, tuple(latents.shape), facts.batch.pictures[0].seed))
            return torch.zeros_like(latents) if job.values["on"] and facts.step == facts.steps else None

    script = Still()
    lively = house(script)
    plain = [bench.draw(ask(seed=seed)).pictures[0] for seed in (1, 2)]
    changed, other = in_threads(
        [lambda: lively.draw(ask(seed=1), Still={"on": True}), lambda: lively.draw(ask(seed=2))]
    )
    assert not same(changed.pictures[0], plain[0])
    assert same(other.pictures[0], plain[1])
    assert changed.notes == other.notes == ()


def test_steps_of_a_merged_batch_show_each_job_its_own_rows(bench, house):
    seen = {}

    class Rows(Script):
        def after_step(self, job, facts, latents):
            seen.setdefault(job.job_id, []).append((latents.clone(), facts))

    lively = house(Rows())
    wanted = {"a": ask(seed=1, batch=2), "b": ask(seed=5)}
    in_threads([lambda key=key: lively.draw(wanted[key], RunContext(key, previews=False)) for key in wanted])
    assert [len(seen[key]) for key in ("a", "b")] == [3, 3]
    assert {tuple(latents.shape) for latents, _ in seen["a"]} == {(2, 4, 8, 8)}
    assert {tuple(latents.shape) for latents, _ in seen["b"]} == {(1, 4, 8, 8)}
    assert [[one.seed for one in seen[key][0][1].batch.pictures] for key in ("a", "b")] == [[1, 2], [5]]
    assert [facts.step for _, facts in seen["a"]] == [1, 2, 3]
    assert seen["a"][-1][1].sigma == 0
    alone = dict(seen)
    seen.clear()
    lively.draw(wanted["b"], RunContext("b", previews=False))
    assert torch.allclose(seen["b"][-1][0], alone["b"][-1][0], atol=1e-4)


def test_the_first_latents_of_a_pass_decide_the_picture(bench, house):
    class Other(Script):
        def before_steps(self, job, facts, latents):
            noise = torch.randn(latents.shape, generator=torch.Generator("cpu").manual_seed(2))
            return noise * latents.std() / noise.std()

    drawn = house(Other()).draw(ask(seed=1)).pictures[0]
    assert not same(drawn, bench.draw(ask(seed=1)).pictures[0])


def test_answers_before_and_after_guidance_can_be_changed(bench, house):
    """Answers that are alike without and with the prompt give the picture that a scale of 1 gives."""

    class Unguided(Script):
        def noise_prediction(self, job, facts, answers):
            free, bound = answers
            return (bound, bound) if free is not None else None

    class Louder(Script):
        def guided_prediction(self, job, facts, answer):
            return answer * 1.05

    drawn = house(Unguided()).draw(ask(cfg=5.0)).pictures[0]
    assert abs(pixels(drawn) - pixels(bench.draw(ask(cfg=1.0)).pictures[0])).max() <= 1
    assert not same(house(Louder()).draw(ask()).pictures[0], bench.draw(ask()).pictures[0])


def test_finished_latents_that_answers_mean_can_be_changed_before_guidance_and_before_the_step(bench, house):
    """Guidance is a straight line, so both ways to do without it give the picture of a scale of 1; and what the last
    step leads to is what it was told to lead to, whatever it starts from."""

    class Unguided(Script):
        def clean_predictions(self, job, facts, clean):
            return (clean[1], clean[1]) if clean[0] is not None else None

    class Led(Script):
        latents = None

        def stepping(self, job, facts, way):
            start, goal = way
            Led.kept = torch.full_like(goal, 0.25)
            return start + 1, Led.kept

        def after_step(self, job, facts, latents):
            Led.latents = latents

    drawn = house(Unguided()).draw(ask(cfg=5.0)).pictures[0]
    assert abs(pixels(drawn) - pixels(bench.draw(ask(cfg=1.0)).pictures[0])).max() <= 1
    assert house(Led()).draw(ask()).notes == ()
    assert torch.allclose(Led.latents, Led.kept, atol=1e-5)


def test_the_denoiser_can_be_shown_another_noise_level_than_the_sampler_goes_by(bench, house):
    """Without a change the answer is bit for bit the same; its way there and back is exact but for rounding; and a row
    without the prompt can be told another level than one with it."""
    levels = []

    class Told(Script):
        factor = Number("Factor", 1.0)
        row = Number("Row", -1)

        def model_input(self, job, facts, given):
            latents, told = given
            levels.append((tuple(latents.shape), [round(float(one) / facts.sigma, 6) for one in told]))
            if job.values["row"] >= 0:
                told[job.values["row"]] *= job.values["factor"]
                return latents, told
            return latents, told * job.values["factor"]

    lively = house(Told())
    plain = bench.draw(ask(cfg=5.0)).pictures[0]
    even = lively.draw(ask(cfg=5.0)).pictures[0]
    assert levels == [((2, 4, 8, 8), [1.0, 1.0])] * 3
    assert abs(pixels(even) - pixels(plain)).max() <= 1
    lower = lively.draw(ask(cfg=5.0), Told={"factor": 0.7}).pictures[0]
    first, second = (lively.draw(ask(cfg=5.0), Told={"factor": 0.7, "row": row}).pictures[0] for row in (0, 1))
    found = [plain, lower, first, second]
    assert all(not same(one, other) for place, one in enumerate(found) for other in found[:place])


def test_the_words_of_each_call_can_be_changed_with_what_the_denoiser_sees(bench, house):
    seen = []

    class Muted(Script):
        from_step = Number("From", 99)

        def step_input(self, job, facts, given):
            latents, levels, words = given
            seen.append(None if words is None else tuple(words["embeds"].shape[:2]))
            if words is None or facts.step < job.values["from_step"]:
                return None
            count = len(facts.batch.pictures)
            words["embeds"][count:] = words["embeds"][:count]  # what is said without the prompt
            return latents, levels, words

    lively = house(Muted())
    plain, alike = (bench.draw(ask(text)).pictures[0] for text in ("a red circle", "blurry"))  # its negative prompt
    assert same(lively.draw(ask("a red circle", cfg=5.0)).pictures[0], plain)
    assert len(seen) == 3
    assert all(one[0] == 2 for one in seen)
    muted = lively.draw(ask("a red circle", cfg=5.0), Muted={"from_step": 0}).pictures[0]
    assert abs(pixels(muted) - pixels(alike)).max() <= 1
    assert not same(muted, plain)
    late = lively.draw(ask("a red circle", cfg=5.0), Muted={"from_step": 2}).pictures[0]
    assert not same(late, plain)
    assert not same(late, muted)
    seen.clear()
    lively.draw(ask("a red circle AND a blue square", cfg=5.0), Muted={"from_step": 0})
    assert set(seen) == {None}


def test_words_can_be_changed_and_others_keep_theirs(bench, house):
    class Turned(Script):
        def conditioning(self, job, facts, words):
            if facts.negative:
                return None
            return {name: value * 0 for name, value in words.items()}

    turned = house(Turned())
    first, second = (turned.draw(ask(text)).pictures[0] for text in ("a red circle", "a blue square"))
    assert same(first, second)
    fresh = bench.draw(ask("a red circle")).pictures[0]
    assert not same(first, fresh)


def test_images_are_changed_after_decoding_and_before_they_are_handed_out(house):
    class Grey(Script):
        def decoded(self, job, facts, images):
            return [image.convert("L") for image in images]

    class Large(Script):
        def picture(self, job, facts, image):
            job.infotext["Large by"] = 2
            return image.resize((image.width * 2, image.height * 2))

    grey = pixels(house(Grey()).draw(ask()).pictures[0])
    assert (grey[..., 0] == grey[..., 1]).all()
    large = house(Large()).draw(ask(batch=2))
    assert [picture.image.size for picture in large.pictures] == [(128, 128)] * 2
    assert all("Large by: 2" in picture.infotext for picture in large.pictures)


def test_what_is_saved_can_differ_from_what_is_answered(house):
    class Marked(Script):
        def saving(self, job, picture):
            return replace(picture, image=Image.new("RGB", (8, 8), "red"), infotext="mine", seed=99)

    kept = []
    result = house(Marked()).draw(ask(), RunContext("job", previews=False, finished=kept.append))
    assert kept[0].image.size == (8, 8)
    assert (kept[0].infotext, kept[0].seed) == ("mine", 1)
    assert result.pictures[0].image.size == (64, 64)


def test_moments_come_in_their_order(house):
    lines = []

    class Diary(Script):
        pass

    def writing(method):
        def write(self, job, *given):
            lines.append(method)

        return write

    order = ["before_job", "before_batch", "before_picture", "conditioning", "conditioning", "before_steps"]
    order += ["model_input", "noise_prediction", "clean_predictions", "guided_prediction", "stepping", "after_step"] * 2
    order += ["decoded", "picture", "after_batch", "saving", "after_job"]
    for method in set(order):
        setattr(Diary, method, writing(method))
    house(Diary()).draw(ask(steps=2))
    assert lines == order


def spoil(one):
    """Change in place whatever can be changed."""
    if isinstance(one, torch.Tensor):
        one.fill_(float("nan"))
    elif isinstance(one, Image.Image):
        one.paste("red", (0, 0, *one.size))
    elif isinstance(one, list | tuple | dict):
        for each in one.values() if isinstance(one, dict) else one:
            spoil(each)
        if not isinstance(one, tuple):
            one.clear()
    elif isinstance(one, GenerationRequest):
        object.__setattr__(one.prompt, "text", "hacked")
        object.__setattr__(one, "seeds", None)


class Hostile(Script):
    """Throws, gives rubbish, or tampers with what it gets, at every moment."""

    way = "throw"

    def _act(self, *given):
        for one in given:
            spoil(one)
        if self.way in ("throw", "leave"):
            raise RuntimeError("boom") if self.way == "throw" else SystemExit(1)
        nan = next((torch.full_like(one, float("nan")) for one in given if isinstance(one, torch.Tensor)), 3)
        return {"rubbish": "rubbish", "shape": torch.zeros(1), "nan": nan}.get(self.way)

    def before_job(self, job, request):
        return self._act(request)

    def after_job(self, job, pictures):
        return self._act(*[picture.image for picture in pictures])

    def before_batch(self, job, facts):
        return self._act()

    def before_picture(self, job, facts):
        return self._act()

    def after_batch(self, job, facts):
        return self._act()

    def conditioning(self, job, facts, words):
        return self._act(words)

    def before_steps(self, job, facts, latents):
        return self._act(latents)

    def noise_prediction(self, job, facts, answers):
        return self._act(answers)

    def guided_prediction(self, job, facts, answer):
        return self._act(answer)

    def model_input(self, job, facts, given):
        return self._act(given)

    def clean_predictions(self, job, facts, clean):
        return self._act(clean)

    def stepping(self, job, facts, way):
        return self._act(way)

    def after_step(self, job, facts, latents):
        return self._act(latents)

    def decoded(self, job, facts, images):
        return self._act(images)

    def picture(self, job, facts, image):
        return self._act(image)

    def saving(self, job, picture):
        return self._act(picture.image)


@pytest.mark.parametrize("way", ["throw", "leave", "rubbish", "shape", "nan", "tamper"])
def test_a_hostile_script_changes_nothing_of_its_own_job_nor_of_others(bench, house, way):
    script = Hostile()
    script.way = way
    wanted = [ask(seed=3), ask(seed=4)]
    plain = [bench.draw(one).pictures[0] for one in wanted]
    kept = []
    beside = house(script)
    hurt, calm = in_threads(
        [
            lambda: beside.draw(wanted[0], RunContext("hurt", previews=False, finished=kept.append)),
            lambda: bench.draw(wanted[1], context=RunContext("calm", previews=False)),
        ]
    )
    assert abs(pixels(hurt.pictures[0]) - pixels(plain[0])).max() <= 1
    assert abs(pixels(kept[0]) - pixels(plain[0])).max() <= 1
    assert abs(pixels(calm.pictures[0]) - pixels(plain[1])).max() <= 1
    assert "a red circle" in hurt.pictures[0].infotext
    assert bool(hurt.notes) == (way != "tamper")
    assert same(bench.draw(wanted[0]).pictures[0], plain[0])


def test_the_end_of_a_job_is_told_however_it_ends(house):
    ended = []

    class Ending(Script):
        def job_ended(self, job):
            ended.append((self.title, job.state.get("drawn")))

        def after_job(self, job, pictures):
            job.state["drawn"] = len(pictures)

    class Owner(Ending):
        always_on = False

        def run(self, job, request):
            raise RuntimeError("boom")

    both = house(Ending(), Owner())
    both.draw(ask())
    with pytest.raises(ScriptFailed):
        both.draw(replace(ask(), scripts=ScriptParams(run=ScriptUse("Owner"))))
    assert ended == [("Ending", 1), ("Ending", None), ("Owner", None)]


def test_the_end_of_a_cancelled_job_is_told_to_all_though_one_does_not_come_back(house, monkeypatch):
    monkeypatch.setattr("modules.scripts.calling.GRACE", 0.05)
    gate, ended, context = threading.Event(), [], RunContext("job", previews=False)

    class Sleeper(Script):
        def after_step(self, job, facts, latents):
            context.cancelled.set()

        def job_ended(self, job):
            gate.wait()

    class Later(Script):
        def job_ended(self, job):
            ended.append(self.title)

    try:
        with pytest.raises(JobCancelled):
            house(Sleeper(), Later(), limit=60.0).draw(ask(), context)
    finally:
        gate.set()
    assert ended == ["Later"]


def test_what_failed_once_is_left_out_of_the_job_and_three_jobs_switch_it_off(house, caplog):
    class Bad(Script):
        calls = 0

        def after_step(self, job, facts, latents):
            Bad.calls += 1
            raise RuntimeError("boom")

    bad = house(Bad())
    notes = [bad.draw(ask()).notes for _ in range(4)]
    assert Bad.calls == 3
    assert [len(each) for each in notes] == [1, 1, 1, 0]
    assert notes[0] == ("The script Bad failed in after_step and was left out of it: RuntimeError: boom.",)
    assert "ext0 failed in 3 jobs in a row and was switched off." in bad.shelf.notices
    assert "Traceback" in bad.extensions[0].trace
    assert "extension ext0" in caplog.text


def test_a_sleeping_script_is_given_up_in_time_and_reported(bench, house):
    gate = threading.Event()

    class Sleeper(Script):
        def after_step(self, job, facts, latents):
            gate.wait()
            return torch.zeros_like(latents)

    drawn = house(Sleeper(), limit=0.2).draw(ask())
    gate.set()
    assert same(drawn.pictures[0], bench.draw(ask()).pictures[0])
    assert "TimedOut: it took longer than 0.2 s" in drawn.notes[0]


def test_a_job_with_a_sleeping_script_can_be_cancelled(house, monkeypatch):
    monkeypatch.setattr("modules.scripts.calling.GRACE", 0.05)
    gate, context = threading.Event(), RunContext("job", previews=False)

    class Sleeper(Script):
        def after_step(self, job, facts, latents):
            context.cancelled.set()
            gate.wait()

    began = time.monotonic()
    result = house(Sleeper(), limit=60.0).draw(ask(), context)
    gate.set()
    assert result.interrupted
    assert result.pictures == ()
    assert time.monotonic() - began < 30


class Loop(Script):
    """Draws the request several times, each with the next seed."""

    always_on = False
    count = Number("Count", 2, minimum=1, maximum=2000)

    def run(self, job, request):
        for number in range(job.values["count"]):
            job.progress(number, job.values["count"])
            seeds = replace(request.seeds, seed=request.seeds.seed + number)
            yield from job.generate(replace(request, seeds=seeds)).pictures


def owned(count, request=None):
    run = ScriptUse("Loop", (GivenValue("count", count),))
    return replace(request or ask(seed=5), scripts=ScriptParams(run=run))


def test_a_script_that_owns_the_run_hands_out_what_it_draws(bench, house):
    events, kept = [], []
    context = RunContext("job", events.append, previews=False, finished=kept.append)
    result = house(Loop()).draw(owned(3), context)
    assert [(picture.index, picture.seed) for picture in result.pictures] == [(0, 5), (1, 6), (2, 7)]
    assert same(result.pictures[2], bench.draw(ask(seed=7)).pictures[0])
    assert [picture.index for picture in kept] == [0, 1, 2]
    assert [event.picture.index for event in events if isinstance(event, ImageReady)] == [0, 1, 2]
    told = [event.progress for event in events if isinstance(event, StepDone)]
    assert told == sorted(told)
    assert told[2] == pytest.approx(1 / 3)
    assert told[-1] == pytest.approx(1.0)


def test_always_on_scripts_take_part_in_what_the_owner_draws(house):
    class Grey(Script):
        def picture(self, job, facts, image):
            return image.convert("L")

    for picture in house(Loop(), Grey()).draw(owned(2)).pictures:
        values = np.asarray(picture.image)
        assert (values[..., 0] == values[..., 1]).all()


def test_an_owner_that_is_cancelled_gives_what_it_has(house):
    context = RunContext("job", previews=False)
    context.finished = lambda picture: context.cancelled.set()
    result = house(Loop()).draw(owned(5), context)
    assert result.interrupted
    assert len(result.pictures) == 1


def test_an_owner_is_bounded_and_its_failures_are_the_jobs(house):
    class Throwing(Loop):
        title = "Loop"

        def run(self, job, request):
            yield job.generate(request).pictures[0]
            raise KeyError("lost")

    kept = []
    with pytest.raises(ScriptFailed, match="The script Loop failed with KeyError"):
        house(Throwing()).draw(owned(1), RunContext("job", previews=False, finished=kept.append))
    assert len(kept) == 1

    class Greedy(Loop):
        title = "Loop"

        def run(self, job, request):
            return job.generate(
                replace(request, canvas=replace(request.canvas, batch_size=64, batch_count=1024))
            ).pictures

    with pytest.raises(InvalidRequest, match="at most 1024"):
        house(Greedy()).draw(owned(1))


def test_a_script_draws_for_itself_without_its_hooks_and_its_time_does_not_count(bench, house):
    class Twice(Script):
        def picture(self, job, facts, image):
            other = job.generate(ask(seed=facts.seed + 1)).pictures[0].image
            return Image.blend(image, other, 0.5)

    kept = []
    drawn = house(Twice(), limit=1.0).draw(ask(seed=1), RunContext("job", previews=False, finished=kept.append))
    assert drawn.notes == ()
    one, other = (bench.draw(ask(seed=seed)).pictures[0].image for seed in (1, 2))
    assert same(drawn.pictures[0], Image.blend(one, other, 0.5))
    assert len(kept) == 1
