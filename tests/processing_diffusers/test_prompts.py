"""What prompts do to pictures: schedules, alternation, AND, long texts, and all that in company."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from modules.contracts.request import CanvasParams, HiresParams, PromptParams
from modules.memory.planner import plan_memory
from modules.processing_diffusers import engine as engine_module
from modules.processing_diffusers.conductor import Conductor, Role, Voice, even_lengths
from modules.processing_diffusers.families.sd import SdAdapter
from modules.processing_diffusers.plan import joined_rows
from tests.processing_diffusers.conftest import CLOSE, ask, draw_together, pixels


def draw(bench, text, negative="blurry", **more):
    model = more.pop("model", None)
    words = {key: more.pop(key) for key in ("emphasis", "second", "third", "clip_skip") if key in more}
    return bench.draw(ask(prompt=PromptParams(text, negative, **words), model=model, **more))


def apart(one, other):
    """The largest difference of two results' first pictures."""
    return int(abs(pixels(one.pictures[0]) - pixels(other.pictures[0])).max())


def test_a_schedule_that_says_the_same_all_along_changes_nothing(bench, exact):
    plain = exact(draw(bench, "a red circle", steps=4))
    for text in ("a [red:red:2] circle", "a [red|red] circle", "[a red circle::1.0]", "[a cat:a red circle:0]"):
        torch.testing.assert_close(exact(draw(bench, text, steps=4)), plain, rtol=0, atol=CLOSE)


def test_a_schedule_turns_at_its_step_and_the_negative_has_one_too(bench):
    cat, dog = draw(bench, "a cat", steps=4), draw(bench, "a dog", steps=4)
    halves = draw(bench, "a [cat:dog:2]", steps=4)
    assert apart(halves, cat) > 0
    assert apart(halves, dog) > 0
    assert apart(halves, draw(bench, "a [cat:dog:0.5]", steps=4)) == 0
    assert apart(draw(bench, "a [cat:dog:4]", steps=4), cat) == 0
    assert apart(draw(bench, "a cat", "[red:blue:1]", steps=4), draw(bench, "a cat", "red", steps=4)) > 0
    assert apart(draw(bench, "a [cat|dog]", steps=4), halves) > 0


@pytest.fixture
def spoken(monkeypatch):
    """The count at which each conducted call was made, in order."""
    seen = []
    conduct = Conductor.conduct

    def watch(self, call, arguments):
        seen.append(self.count)
        return conduct(self, call, arguments)

    monkeypatch.setattr(Conductor, "conduct", watch)
    return seen


@pytest.mark.parametrize(
    ("sampler", "counts"), [("Euler", [0, 1, 2]), ("Heun", [0, 1, 2, 3, 4]), ("HeunPP2", [0, 0, 0, 1, 1, 1, 2])]
)
def test_each_model_call_has_the_words_of_its_count(bench, spoken, sampler, counts):
    draw(bench, "a [cat:dog:2]", steps=3, sampler=sampler)
    assert spoken == counts


@pytest.mark.parametrize(
    ("sampler", "steps", "text", "calls"),
    [
        ("Euler", 4, "a [cat:dog:2]", "cccd"),
        ("Euler", 4, "a [cat:dog:0.5]", "cccd"),
        ("Euler", 5, "a [cat|dog]", "ccdcd"),
        ("Heun", 3, "a [cat:dog:2]", "cccdd"),
        ("Heun", 3, "a [cat:dog:0.5]", "ccccd"),
    ],
)
def test_the_words_of_each_call_are_those_of_a1111(bench, monkeypatch, sampler, steps, text, calls):
    said, at = [], Voice.at

    def listen(voice, count):
        found = at(voice, count)
        if len(voice.entries) > 1:
            said.append(found["embeds"].sum().item())
        return found

    monkeypatch.setattr(Voice, "at", listen)
    draw(bench, text, steps=steps, sampler=sampler)
    names = {said[0]: "c"}
    assert "".join(names.setdefault(one, "d") for one in said[-len(calls) :]) == calls


def test_an_adaptive_sampler_changes_its_words_too(bench, spoken):
    draw(bench, "a [cat:dog:1]", steps=2, sampler="DPM adaptive")
    assert spoken == list(range(len(spoken)))
    assert len(spoken) > 2


def test_the_second_pass_goes_on_in_the_schedule(bench):
    hires = HiresParams(True, 2.0, "Latent", 4, denoising_strength=0.5)
    same = draw(bench, "a [cat:dog:1.0]", hires=hires)
    late = draw(bench, "a [cat:dog:1.5]", hires=hires)
    cat = draw(bench, "a cat", hires=hires)
    assert apart(same, cat) > 0
    assert apart(late, cat) > 0
    assert apart(late, same) > 0
    own = draw(bench, "a cat", hires=replace(hires, prompt="a dog"))
    assert apart(own, draw(bench, "a [cat:dog:1.0]", hires=replace(hires, prompt=""))) == 0


def test_and_mixes_prompts_by_their_weights(bench, exact):
    cat = exact(draw(bench, "a cat"))
    torch.testing.assert_close(exact(draw(bench, "a cat :0.25 AND a cat :0.75")), cat, rtol=0, atol=CLOSE)
    torch.testing.assert_close(exact(draw(bench, "a cat AND a dog :0")), cat, rtol=0, atol=CLOSE)
    # A weight is a guidance of its own: twice the weight is twice the scale.
    strong = exact(draw(bench, "a cat", cfg=6.0))
    torch.testing.assert_close(exact(draw(bench, "a cat :2", cfg=3.0)), strong, rtol=0, atol=CLOSE)
    assert apart(draw(bench, "a cat AND a dog"), draw(bench, "a cat")) > 0
    # Without guidance the negative prompt is asked all the same, to mix round.
    alone = exact(draw(bench, "a cat", cfg=1.0))
    torch.testing.assert_close(exact(draw(bench, "a cat :0.5 AND a cat :0.5", cfg=1.0)), alone, rtol=0, atol=CLOSE)


def test_texts_of_unequal_length_stand_beside_each_other(bench):
    long = "a cat, " * 30
    assert apart(draw(bench, long, "x"), draw(bench, "a cat", "x")) > 0
    assert apart(draw(bench, "a cat", long), draw(bench, "a cat", "x")) > 0
    three, two = "a cat, " * 50, "a dog, " * 30
    assert apart(draw(bench, three, two), draw(bench, two, three)) > 0


def test_emphasis_and_breaks_have_their_effect(bench):
    plain = draw(bench, "a red circle")
    assert apart(draw(bench, "a (red:1.4) circle"), plain) > 0
    assert apart(draw(bench, "a (red:1.0) circle"), plain) == 0
    assert apart(draw(bench, "a (red:1.4) circle", emphasis="Ignore"), plain) == 0
    assert apart(draw(bench, "a red BREAK circle"), plain) > 0
    assert apart(draw(bench, "a (red:1.4) circle", emphasis="No norm"), draw(bench, "a (red:1.4) circle")) > 0


MIXED = (
    ("a red circle", "blurry", 3),
    ("a [cat:dog:2]", "blurry", 5),
    ("a [cat|dog]", "", 4),
    ("a cat AND a dog :0.5", "blurry", 3),
    ("a cat, " * 30, "blurry", 4),
    ("a cat", "a dog, " * 30, 3),
    ("a (red:1.4) circle BREAK [a|the] cat AND white :-0.3", "blurry", 4),
)


def test_all_kinds_of_prompts_draw_together_what_they_draw_alone(bench, exact):
    requests = [
        ask(prompt=PromptParams(text, negative), steps=steps, seed=40 + place)
        for place, (text, negative, steps) in enumerate(MIXED)
    ]
    draw_together(bench, exact, requests)


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_every_family_knows_the_syntax(all_families, family):
    def picture(text, negative="blurry", **more):
        return draw(all_families, text, negative, model=f"tiny-{family}", steps=3, **more)

    cat = picture("a cat")
    assert apart(picture("a [cat:cat:1]"), cat) == 0
    assert apart(picture("a [cat:dog:1]"), cat) > 0
    assert apart(picture("a (cat:1.5)"), cat) > 0
    assert apart(picture("a cat AND a dog"), cat) > 0
    assert apart(picture("a cat, " * 300), cat) > 0
    assert apart(picture("a cat", second="a dog"), cat) > 0
    assert apart(picture("a cat", second="a cat"), cat) == 0


def test_an_encoder_of_its_own_where_there_is_none_is_noted(bench):
    result = draw(bench, "a cat", second="a dog")
    assert any("1 text encoder" in note for note in result.notes)
    assert apart(result, draw(bench, "a cat")) == 0


def test_a_repeated_text_is_not_encoded_again(bench):
    draw(bench, "a [white:green:2] dog, (a cat:1.2)")
    bench.engine.multiplexer.figures.reset()
    draw(bench, "a [white:green:2] dog, (a cat:1.2)")
    assert "text_encoder" not in bench.engine.stats()["targets"]


def test_pictures_of_a_batch_have_words_and_tags_of_their_own(bench):
    result = draw(bench, "a {cat|dog|red circle|blue square} <note:{one|two}:1>", batch=4, count=2, seed=3)
    prompts = [picture.prompt for picture in result.pictures]
    assert len(set(prompts)) > 2
    for picture in result.pictures:
        assert picture.infotext.startswith(picture.prompt)
        assert 'Template: "a {cat|dog|red circle|blue square} <note:{one|two}:1>"' in picture.infotext
        assert picture.recipe["prompt"] == picture.prompt
    plan = bench.engine.resolve(ask("<note:{one|two}:1>", batch=8))
    assert {picture.networks[0].name for picture in plan.pictures} == {"one", "two"}
    again = bench.draw(ask(prompt=PromptParams(prompts[5], "blurry"), seed=result.pictures[5].seed))
    assert (pixels(again.pictures[0]) == pixels(result.pictures[5])).all()


def embedding(value, length=3):
    return {"embeds": torch.full((length, 2), float(value))}


def answer_by_words(arguments):
    """A denoiser that answers with the mean of its words, and remembers nothing."""
    return (arguments["encoder_hidden_states"].mean(dim=(1, 2))[:, None] + arguments["sample"],)


def test_a_conductor_cuts_its_calls_and_keeps_rows_apart():
    calls = []

    def call(arguments):
        calls.append(arguments["sample"].shape[0])
        return answer_by_words(arguments)

    def voice(value, weight=1.0):
        return Voice(((9, embedding(value)),), weight)

    roles = [Role((voice(10), voice(20, 0.5)), voice(1)), Role((voice(30),), voice(2))]
    conductor = Conductor(SdAdapter(), roles, 2)
    sample = torch.tensor([[0.0], [100.0], [0.0], [100.0]])
    (found,) = conductor.conduct(call, {"sample": sample, "encoder_hidden_states": None, "timestep": 5})
    assert calls == [2, 2, 1]
    assert found.flatten().tolist() == [1, 102, 1 + 9 + 0.5 * 19, 130]
    (only,) = conductor.only(1).conduct(answer_by_words, {"sample": sample[:1], "encoder_hidden_states": None})
    assert only.flatten().tolist() == [30]
    with pytest.raises(ValueError, match="3 rows"):
        conductor.conduct(call, {"sample": sample[:3]})


def test_lengths_are_evened_out_where_that_changes_nothing():
    adapter = SdAdapter()
    assert [one["embeds"].shape[0] for one in even_lengths(adapter, [embedding(1, 3), embedding(2, 6)])] == [6, 6]
    assert [one["embeds"].shape[0] for one in even_lengths(adapter, [embedding(1, 4), embedding(2, 6)])] == [12, 12]
    assert even_lengths(adapter, [embedding(1, 4), embedding(2, 5)]) is None
    shapes = []

    def call(arguments):
        shapes.append(tuple(arguments["encoder_hidden_states"].shape))
        return answer_by_words(arguments)

    roles = [Role((Voice(((9, embedding(5, 4)),)),), Voice(((9, embedding(7, 7)),)))]
    conductor = Conductor(adapter, roles, 8)
    (found,) = conductor.conduct(call, {"sample": torch.zeros(2, 1), "encoder_hidden_states": None})
    assert found.flatten().tolist() == [7, 5]
    assert shapes == [(1, 7, 2), (1, 4, 2)]


def test_joined_prompts_are_counted_in_the_plan_and_in_what_it_will_need(bench, monkeypatch):
    def plan_of(text, hires="", count=1):
        wish = HiresParams(bool(hires), 2.0, "Latent", 2, prompt=hires)
        return bench.engine.resolve(ask(prompt=PromptParams(text), canvas=CanvasParams(64, 64, count, 1), hires=wish))

    assert joined_rows(plan_of("a cat"), 2) == 0
    assert joined_rows(plan_of("a cat AND a dog AND fog", count=2), 2) == 8
    assert joined_rows(plan_of("a cat", "a AND b AND c AND d"), 2) == 5
    asked = []

    def listen(*given):
        asked.append(given[-1])
        return plan_memory(*given)

    monkeypatch.setattr(engine_module, "plan_memory", listen)
    draw(bench, "a cat AND a dog AND fog AND rain", steps=1)
    draw(bench, "a cat", steps=1)
    assert asked == [5, 0]
