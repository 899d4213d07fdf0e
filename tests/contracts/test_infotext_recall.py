"""From a plan to infotext and back to a request."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.contracts.catalog import Family, FileEntry, ModelEntry
from modules.contracts.detailer import MERGES, NO_REGIONS, ORDERS, PLAIN_DETAILER, Detail
from modules.contracts.guidance import CFG_SCHEDULES, GuidanceParams
from modules.contracts.infotext import parse
from modules.contracts.infotext_fields import infotext_of
from modules.contracts.infotext_recall import carried, to_request
from modules.contracts.plan import (
    GenerationPlan,
    MemoryPlan,
    PassPlan,
    PicturePlan,
    PictureWords,
    SamplerPlan,
    SeparateParts,
)
from modules.contracts.prompting import EMPHASIS_MODES
from modules.contracts.refiner import REFINED_PASSES, RefinerUse
from modules.contracts.repainting import FILL_MODES
from modules.contracts.request import (
    GROUPS,
    MAX_SEED,
    AttentionParams,
    CacheParams,
    CanvasParams,
    DetailerParams,
    FeatureParams,
    GenerationRequest,
    HandoverParams,
    HiresParams,
    ImageParams,
    InpaintParams,
    ModelParams,
    PromptParams,
    ReachParams,
    RefinerParams,
    RegionParams,
    SamplingParams,
    SdUpscaleParams,
    SeedParams,
    TileParams,
    ToneParams,
)
from modules.contracts.tiles import TILE_METHODS, TILED_PASSES
from modules.contracts.tone import TONE_MODES

FAMILY = Family("sd15", "SD 1.5", "sd", {}, "unet", ("text_encoder",), 4, 8, 8, 512, {}, "epsilon")
FAMILY = replace(FAMILY, capabilities=frozenset({"deep_cache"}))


def plan_of(request: GenerationRequest) -> GenerationPlan:
    """The plan of a request that leaves nothing open."""
    sampling = request.sampling
    amounts = {name: getattr(sampling, name) for name in ("s_churn", "s_tmin", "s_noise")}
    first = SamplerPlan(sampling.sampler, sampling.scheduler, sampling.steps, sampling.eta, **amounts)
    second = replace(
        first,
        sampler=request.hires.sampler or first.sampler,
        scheduler=request.hires.scheduler or first.scheduler,
        steps=request.hires.steps or first.steps,
    )
    canvas = request.canvas
    prompt, hires = request.prompt, request.hires
    further = (prompt.second, prompt.third, prompt.negative_second, prompt.negative_third)
    words = PictureWords(*further, hires.prompt, hires.negative)
    refiner, use = request.refiner, None
    if refiner.checkpoint is not None:
        entry = ModelEntry(refiner.checkpoint, Path("y"), "diffusers", "sd15", 512)
        use = RefinerUse(entry, FAMILY, refiner.switch_at, refiner.by_steps)
    picture = PicturePlan(0, prompt.text, prompt.negative, request.seeds.seed, request.seeds.subseed, words=words)
    return GenerationPlan(
        request=request,
        model=ModelEntry(request.model.checkpoint, Path("x"), "diffusers", "sd15", 512),
        family=FAMILY,
        parts=SeparateParts(
            None, FileEntry(reader, Path("z"), "te") if (reader := request.model.text_encoder) else None
        ),
        batches=((picture,),),
        first=PassPlan(canvas.width, canvas.height, first, sampling.cfg_scale, 1.0, refiner=use),
        hires=PassPlan(canvas.width, canvas.height, second, sampling.cfg_scale, 0.7) if request.hires.enabled else None,
        placement={},
        memory=MemoryPlan(),
    )


def text_of(request: GenerationRequest, **extra: str) -> str:
    plan = plan_of(request)
    return infotext_of(
        plan,
        plan.pictures[0],
        model_hash="0123456789",
        vae_name=request.model.vae,
        vae_hash=None,
        version="atelier-0.1.0",
        extra=extra,
    )


BASIC = GenerationRequest(
    prompt=PromptParams("a cat", "blurry"),
    canvas=CanvasParams(512, 768),
    seeds=SeedParams(5),
    sampling=SamplingParams(20, "DPM++ 2M", "Karras", 7.0),
    model=ModelParams("some model"),
)


def test_the_text_has_a1111s_order():
    request = replace(BASIC, prompt=PromptParams("a cat", "blurry", clip_skip=2))
    assert text_of(request, **{"Lora hashes": "a: 12"}) == (
        "a cat\nNegative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 512x768, "
        "Model hash: 0123456789, "
        'Model: some model, Clip skip: 2, RNG: CPU, Lora hashes: "a: 12", Version: atelier-0.1.0'
    )


def test_hires_and_inpaint_are_told():
    hires = HiresParams(True, 1.5, "Latent (nearest-exact)", 7, denoising_strength=0.4, prompt="a big cat, sharp")
    text = text_of(replace(BASIC, hires=hires))
    assert (
        'Denoising strength: 0.4, RNG: CPU, Hires prompt: "a big cat, sharp", Hires upscale: 1.5, Hires steps: 7'
        in text
    )
    assert "Hires upscaler: Latent (nearest-exact)" in text
    request = replace(BASIC, image=ImageParams((b"x",), 0.6), inpaint=InpaintParams(b"m", fill="original", invert=True))
    text = text_of(request)
    for part in (
        "Denoising strength: 0.6",
        "Mask mode: Inpaint not masked",
        "Mask blur: 4",
        "Masked content: original",
    ):
        assert part in text
    assert "Inpaint area: Only masked, Masked area padding: 32" in text


def test_a_text_of_a1111_is_recalled():
    text = (
        "castle\nNegative prompt: fog\nSteps: 30, Sampler: DPM++ 2M SDE Karras, CFG scale: 6.5, Seed: 77, "
        "Size: 640x512, Model hash: 6ce0161689, Model: v1-5, Variation seed: 9, "
        "Variation seed strength: 0.25, Clip skip: 2, Denoising strength: 0.55, Hires upscale: 2, "
        "Hires upscaler: Latent, ENSD: 31337, Version: v1.10.1"
    )
    request, unknown = to_request(parse(text), replace(BASIC, canvas=CanvasParams(8, 8, batch_size=4)))
    assert (request.prompt.text, request.prompt.negative, request.prompt.clip_skip) == ("castle", "fog", 2)
    assert (request.canvas.width, request.canvas.height, request.canvas.batch_size) == (640, 512, 4)
    assert (request.sampling.sampler, request.sampling.scheduler) == ("DPM++ 2M SDE Karras", None)
    assert (request.sampling.steps, request.sampling.cfg_scale, request.seeds.seed) == (30, 6.5, 77)
    assert (request.seeds.subseed, request.seeds.subseed_strength) == (9, 0.25)
    assert request.hires == HiresParams(True, 2.0, "Latent", denoising_strength=0.55)
    assert request.model.checkpoint == "v1-5"
    assert unknown == ("ENSD",)


def test_labels_of_other_programs_are_understood():
    text = "x\nSteps: 8, Sampler: Euler a, Guidance scale: 3, Seed: 1, Size: 64x64, Parser: native, App: SD.Next"
    request, unknown = to_request(parse(text), BASIC)
    assert (request.sampling.cfg_scale, request.sampling.sampler, unknown) == (3.0, "Euler a", ())


def test_what_a_text_does_not_mention_takes_its_default():
    base = replace(BASIC, hires=HiresParams(True), prompt=PromptParams("old", clip_skip=3))
    request, _ = to_request(parse("new\nSteps: 8, Seed: 1, CFG scale: 2"), base)
    assert not request.hires.enabled
    assert request.prompt == PromptParams("new")
    assert request.canvas == base.canvas


def test_a_prompt_alone_changes_the_prompt_only():
    request, unknown = to_request(parse("just words"), BASIC)
    assert request == replace(BASIC, prompt=PromptParams("just words", ""))
    assert unknown == ()


def test_a_drawn_prompt_is_told_with_its_template_and_recalled_as_it_was_drawn():
    plan = plan_of(BASIC)
    words = PictureWords(template="a {cat|dog}", negative_template="{blurry|grey}", hires_prompt="x")
    text = infotext_of(
        plan,
        replace(plan.pictures[0], words=words),
        model_hash=None,
        vae_name=None,
        vae_hash=None,
        version="1",
        extra={},
    )
    assert text.startswith("a cat\nNegative prompt: blurry\n")
    assert "Template: a {cat|dog}, Negative Template: {blurry|grey}" in text
    assert "Hires prompt" not in text
    request, unknown = to_request(parse(text), BASIC)
    assert (request.prompt.text, request.prompt.negative, unknown) == ("a cat", "blurry", ())
    other, unknown = to_request(
        parse("x\nSteps: 8, Seed: 1, Size: 8x8, Wildcard prompt: __a__, Emphasis: No norm"), BASIC
    )
    assert (other.prompt.emphasis, unknown) == ("No norm", ())


def test_a_number_that_is_none_is_reported():
    request, unknown = to_request(parse("x\nSteps: many, Seed: 1, CFG scale: 2, Size: 64x64"), BASIC)
    assert (request.sampling.steps, unknown) == (20, ("Steps",))


_names = st.sampled_from(["Euler", "DPM++ 2M", "DPM++ 2S a", "Euler a"])
_schedules = st.sampled_from(["Karras", "SGM Uniform", "Beta"])
_layers = st.sampled_from(["mid", "0, 1", "up.0, down.block_1", "7"])
_words = st.one_of(
    st.text(max_size=60),
    st.text(alphabet=string.printable, max_size=60),
    st.sampled_from(
        ['say "x"', "a: b, c: d, e: f", "x\nNegative prompt: y", " Negative prompt:", "512x512", "\n\n", "\\"]
    ),
    st.lists(st.sampled_from(["Negative prompt:", "\n", '"', ",", ":", "Steps: 3", "\\", "a"]), max_size=9).map(
        "".join
    ),
)
_share = st.floats(0, 1, allow_nan=False)
_sides = st.integers(1, 64).map(lambda n: n * 8)
_seeds = st.integers(0, MAX_SEED)


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    """Requests with every field that infotext carries at random, and nothing left open."""
    strength = draw(st.one_of(st.just(0.0), st.floats(0.01, 1)))
    seeds = SeedParams(draw(_seeds), draw(_seeds) if strength else -1, strength)
    if draw(st.booleans()):
        seeds = replace(seeds, resize_from_width=draw(_sides), resize_from_height=draw(_sides))
    sampling = SamplingParams(
        steps=draw(st.integers(1, 150)),
        sampler=draw(_names),
        scheduler=draw(_schedules),
        cfg_scale=draw(st.floats(0, 30)),
        cfg_rescale=draw(_share),
        eta=draw(st.one_of(st.none(), _share)),
        s_churn=draw(_share),
        s_tmin=draw(_share),
        s_tmax=draw(st.one_of(st.none(), st.floats(0.1, 99))),
        s_noise=draw(_share),
        s_min_uncond=draw(_share),
        s_min_uncond_all=draw(st.booleans()),
    )
    mode = draw(st.sampled_from(["txt2img", "img2img", "inpaint"]))
    hires = draw(_hires()) if draw(st.booleans()) else HiresParams()
    details = draw(st.lists(_detail(), max_size=4))
    first = details[0] if details else Detail(NO_REGIONS, PLAIN_DETAILER)
    return GenerationRequest(
        regions=first.regions,
        detailer=first.detailer,
        further=tuple(details[1:]),
        tiles=TileParams(
            draw(st.sampled_from(TILE_METHODS)),
            draw(st.none() | _sides),
            overlap=draw(st.none() | st.integers(0, 2048)),
            passes=draw(st.sampled_from(TILED_PASSES)) if hires.enabled and mode == "txt2img" else TILED_PASSES[0],
        ),
        upscale=SdUpscaleParams(draw(_names), draw(st.floats(1, 8))) if mode == "img2img" else SdUpscaleParams(),
        prompt=draw(_prompts()),
        canvas=CanvasParams(draw(_sides), draw(_sides), tiling=draw(st.booleans())),
        seeds=seeds,
        sampling=sampling,
        guidance=draw(_guidance()),
        handover=draw(_handover()),
        refiner=draw(_refiner(hires=hires.enabled)),
        tone=ToneParams(
            draw(st.sampled_from(TONE_MODES)),
            brightness=draw(st.floats(-1, 1)),
            tint=draw(st.sampled_from(["#000000", "#12aB9f"])),
            hires=draw(st.booleans()),
        ),
        reach=ReachParams(clamp=draw(st.booleans()), boundary=draw(st.floats(0.1, 10))),
        attention=AttentionParams(pag_scale=draw(_share), seg_blur=draw(st.floats(0.1, 99)), slg_layers=draw(_layers)),
        features=FeatureParams(freeu_b1=draw(_share), freeu_end=draw(_share)),
        cache=draw(_caches()),
        hires=hires,
        image=None
        if mode == "txt2img"
        else ImageParams(
            (b"x",), draw(_share), noise_multiplier=draw(_share), edit_scale=draw(st.none() | st.floats(0.1, 99))
        ),
        inpaint=draw(_inpaint()) if mode == "inpaint" else None,
        model=ModelParams(
            draw(st.sampled_from(["a model", "512x512", "x: y", "org/name"])),
            "a vae",
            draw(st.none() | st.sampled_from(["a reader", "512x512", "x: y"])),
        ),
    )


@st.composite
def _detail(draw: st.DrawFn) -> Detail:
    regions = RegionParams(
        draw(st.sampled_from(["Contrast", "face_yolov8n", "a, detector"])),
        draw(_words),
        confidence=draw(_share),
        most=draw(st.integers(0, 100)),
        order=draw(st.sampled_from(ORDERS)),
        y_offset=draw(st.integers(-99, 99)),
        merge=draw(st.sampled_from(MERGES)),
    )
    paint = DetailerParams(
        draw(_words),
        draw(_words),
        draw(_share),
        only_masked=draw(st.booleans()),
        width=draw(st.none() | _sides),
        steps=draw(st.none() | st.integers(1, 99)),
        sampler=draw(st.none() | _names),
    )
    return Detail(regions, paint)


@st.composite
def _prompts(draw: st.DrawFn) -> PromptParams:
    return PromptParams(
        draw(_words),
        draw(_words),
        clip_skip=draw(st.integers(1, 12)),
        second=draw(_words),
        third=draw(_words),
        negative_second=draw(_words),
        negative_third=draw(_words),
        emphasis=draw(st.sampled_from(EMPHASIS_MODES)),
        comma_backtrack=draw(st.integers(0, 75)),
    )


@st.composite
def _guidance(draw: st.DrawFn) -> GuidanceParams:
    return GuidanceParams(
        start=draw(_share),
        end=draw(_share),
        schedule=draw(st.sampled_from(CFG_SCHEDULES)),
        mimic_scale=draw(st.floats(0, 100)),
        threshold_percentile=draw(st.floats(50, 100)),
        apg=draw(st.booleans()),
        apg_parallel=draw(_share),
        apg_threshold=draw(st.floats(0, 1000)),
        apg_momentum=draw(st.floats(-1, 0.95)),
        zero_star=draw(st.booleans()),
        zero_steps=draw(st.integers(0, 100)),
        perp_neg=draw(st.floats(0, 10)),
    )


@st.composite
def _caches(draw: st.DrawFn) -> CacheParams:
    if draw(st.booleans()):
        return CacheParams()
    interval, depth, order = draw(st.integers(2, 20)), draw(st.integers(1, 3)), draw(st.integers(0, 3))
    return CacheParams("DeepCache", interval, depth, draw(_share), order, draw(st.floats(0, 0.5)), 0.75)


@st.composite
def _handover(draw: st.DrawFn) -> HandoverParams:
    return HandoverParams(
        sampler=draw(st.one_of(st.none(), _names)),
        scheduler=draw(st.one_of(st.none(), _schedules)),
        steps=draw(st.integers(0, 150)),
        at=draw(_share),
    )


@st.composite
def _refiner(draw: st.DrawFn, *, hires: bool) -> RefinerParams:
    if draw(st.booleans()):
        return RefinerParams()
    return RefinerParams(
        checkpoint=draw(st.sampled_from(["a refiner", "512x512", "x: y"])),
        switch_at=draw(_share),
        by_steps=draw(st.booleans()),
        passes=draw(st.sampled_from(REFINED_PASSES)) if hires else REFINED_PASSES[0],
    )


@st.composite
def _hires(draw: st.DrawFn) -> HiresParams:
    sized = draw(st.booleans())
    return HiresParams(
        enabled=True,
        scale=2.0 if sized else draw(st.floats(1, 8)),
        upscaler=draw(st.sampled_from(["Latent", "Latent (nearest-exact)", "Lanczos", "4x: sharp, new"])),
        steps=draw(st.integers(0, 40)),
        resize_width=draw(_sides) if sized else 0,
        resize_height=draw(_sides) if sized else 0,
        denoising_strength=draw(_share),
        sampler=draw(st.one_of(st.none(), _names)),
        scheduler=draw(st.one_of(st.none(), _schedules)),
        prompt=draw(_words),
        negative=draw(_words),
        checkpoint=draw(st.sampled_from([None, "another"])),
    )


@st.composite
def _inpaint(draw: st.DrawFn) -> InpaintParams:
    only_masked = draw(st.booleans())
    return InpaintParams(
        mask=b"m",
        blur=draw(st.integers(0, 64)),
        blur_y=draw(st.none() | st.integers(0, 64)),
        fill=draw(st.sampled_from(FILL_MODES)),
        only_masked=only_masked,
        padding=draw(st.integers(0, 256)) if only_masked else 32,
        invert=draw(st.booleans()),
        round=draw(st.booleans()),
    )


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests())
def test_what_is_written_comes_back(request_made):
    media = {"image": None, "inpaint": None}
    if request_made.image is not None:
        media["image"] = ImageParams((b"x",))
    if request_made.inpaint is not None:
        media["inpaint"] = InpaintParams(b"m")
    for defaults in (True, False):
        parsed = parse(text_of(request_made), defaults=defaults)
        found, unknown = to_request(parsed, replace(GenerationRequest(), **media))
        assert unknown == ()
        assert found == request_made


@pytest.mark.parametrize("name", sorted(carried()))
def test_what_is_said_to_be_carried_exists(name):
    group, field = name.split(".")
    assert hasattr(GROUPS[group], "__dataclass_fields__")
    assert field in GROUPS[group].__dataclass_fields__
