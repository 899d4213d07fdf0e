"""The form against the declarations, in both directions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.film import FilmParams
from modules.contracts.guidance import GuidanceParams
from modules.contracts.request import (
    GenerationRequest,
    HandoverParams,
    ModelParams,
    RefinerParams,
    ToneParams,
    parameters,
)
from modules.prompts.book import PromptBook
from modules.ui import form
from modules.ui.facts import choices_of, facts_of, size_for
from modules.ui.handlers import Handlers
from tests.ui.fakes import FakeCatalog

POCKET = facts_of(FakeCatalog(), "pocket")


def values(**changes: object) -> list[object]:
    shown = form.defaults(POCKET)
    return [changes.get(name.replace(".", "_"), shown[name]) for name in form.NAMES]


def test_every_offered_parameter_is_declared_and_has_an_id_of_its_own():
    assert set(form.NAMES) <= {item.name for item in parameters()}
    assert len(set(form.ELEM_IDS.values())) == len(form.NAMES)


def test_values_land_in_the_right_fields():
    request = form.compose(
        values(
            prompt_text="a red circle",
            prompt_negative="blur",
            sampling_sampler="Euler a",
            sampling_steps=12,
            sampling_cfg_scale=4,
            canvas_width=256,
            canvas_height=128,
            seeds_seed=5,
            canvas_batch_size=2,
            canvas_batch_count=3,
            prompt_clip_skip=2,
            guidance_end=0.5,
            guidance_schedule="linear down",
            guidance_mimic_scale=3,
            guidance_apg=True,
            guidance_perp_neg=1.5,
            sampling_s_min_uncond=2,
            sampling_s_min_uncond_all=True,
            handover_sampler="DDIM",
            handover_steps=20,
            tone_brightness=0.2,
            tone_tint="#ff8000",
            reach_clamp=True,
            regions_detector="Contrast",
            tiles_method="MultiDiffusion",
            tiles_overlap=32,
            film_frames=17,
            film_format="png",
            detailer_strength=0.5,
            refiner_checkpoint="big",
            refiner_switch_at=0.7,
            hires_enabled=True,
            hires_scale=1.5,
            model_checkpoint="big",
            model_text_encoder="keen",
        )
    )
    assert (request.prompt.text, request.prompt.negative, request.prompt.clip_skip) == ("a red circle", "blur", 2)
    assert (request.sampling.sampler, request.sampling.steps, request.sampling.cfg_scale) == ("Euler a", 12, 4.0)
    assert isinstance(request.sampling.cfg_scale, float)
    assert (request.sampling.s_min_uncond, request.sampling.s_min_uncond_all) == (2.0, True)
    assert (request.canvas.width, request.canvas.height) == (256, 128)
    assert (request.canvas.batch_size, request.canvas.batch_count, request.seeds.seed) == (2, 3, 5)
    assert request.guidance == GuidanceParams(end=0.5, schedule="linear down", mimic_scale=3.0, apg=True, perp_neg=1.5)
    assert request.handover == HandoverParams("DDIM", steps=20)
    assert request.refiner == RefinerParams("big", 0.7)
    assert (request.tone, request.reach.clamp) == (ToneParams(brightness=0.2, tint="#ff8000"), True)
    assert request.film == FilmParams(17, None, "png")
    assert (request.tiles.method, request.tiles.overlap, request.tiles.width) == ("MultiDiffusion", 32, None)
    assert (request.regions.detector, request.detailer.strength, request.detailer.steps) == ("Contrast", 0.5, None)
    assert (request.hires.enabled, request.hires.scale) == (True, 1.5)
    assert request.model == ModelParams("big", None, "keen")


def test_empty_inputs_take_the_declared_defaults():
    request = form.compose([None] * len(form.NAMES))
    assert request == GenerationRequest()


def test_automatic_sampler_leaves_the_choice_to_the_model():
    assert form.compose(values(sampling_sampler="")).sampling.sampler is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (2.5, "Steps is 2.5; a whole number is needed."),
        ("many", "Steps is 'many'; a number is needed."),
        ([1], "Steps is [1]; a number is needed."),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(given, sentence):
    with pytest.raises(InvalidRequest) as caught:
        form.compose(values(sampling_steps=given))
    assert caught.value.message == sentence


def test_spread_is_the_inverse_of_compose():
    request = form.compose(values(prompt_text="x", seeds_seed=3, canvas_width=192, sampling_sampler="DDIM"))
    assert form.compose(form.spread(request, POCKET)) == request


def test_open_values_are_shown_as_what_the_model_will_take():
    shown = form.defaults(facts_of(FakeCatalog(), "big"))
    assert (shown["canvas.width"], shown["sampling.sampler"], shown["sampling.steps"]) == (1024, "Euler", 30)


def test_facts_of_an_unknown_model_are_a_sentence_and_no_error():
    facts = facts_of(FakeCatalog(), "nowhere to be found")
    assert facts.name is None
    assert "nowhere to be found" in str(facts.problem)
    assert form.defaults(facts)["canvas.width"] == 512


def test_broken_models_are_not_offered():
    assert [value for _, value in choices_of(FakeCatalog(), "models")] == ["pocket", "big"]


def test_an_unknown_catalogue_list_is_refused():
    with pytest.raises(ValueError, match="spells"):
        choices_of(FakeCatalog(), "spells")


@pytest.mark.parametrize("aspect", ["1:1", "4:3", "3:4", "16:9", "9:16", "2:3"])
@pytest.mark.parametrize("model", ["pocket", "big"])
def test_sizes_keep_the_native_area_and_the_multiple(aspect, model):
    facts = facts_of(FakeCatalog(), model)
    width, height = size_for(aspect, facts)
    wide, high = (int(part) for part in aspect.split(":"))
    assert width % facts.multiple == height % facts.multiple == 0
    assert width * height == pytest.approx(facts.native**2, rel=0.08)
    assert width / height == pytest.approx(wide / high, rel=0.06)


def test_styles_travel_as_words_and_come_back():
    request = form.compose(values(prompt_styles=["Oil", "Ink"], prompt_emphasis="No norm"))
    assert (request.prompt.styles, request.prompt.emphasis) == (("Oil", "Ink"), "No norm")
    shown = dict(zip(form.NAMES, form.spread(request, POCKET), strict=True))
    assert shown["prompt.styles"] == ["Oil", "Ink"]
    assert form.compose(values(prompt_styles=[])).prompt.styles == ()


def test_the_counter_counts_and_says_nothing_of_what_makes_no_sense():
    handlers = Handlers(SimpleNamespace(prompts=PromptBook(), settings=None, accounts=None), None, None)
    assert ">5/75<" in handlers.count("a photo of a cat", None, 20)
    assert "in 2 pieces" in handlers.count("cat " * 80, None, "?")
    assert handlers.count("x" * 200_000, None, 20) == ""
    assert handlers.styles()["choices"] == []


def test_a_number_that_the_browser_sends_as_0_for_none_stays_open():
    values = [{"film.frames": 0, "seeds.seed": 0}.get(name) for name in form.NAMES]
    asked = form.compose(values)
    assert asked.film.frames is None
    assert asked.seeds.seed == 0
