"""Stable Cascade draws as its own pipelines do, in two stages of which the second has steps of its own."""

from __future__ import annotations

import shutil

import pytest
import torch
from diffusers import StableCascadeDecoderPipeline, StableCascadePriorPipeline
from diffusers.models.unets.unet_stable_cascade import StableCascadeUNet
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.schedulers.scheduling_ddpm_wuerstchen import DDPMWuerstchenScheduler, DDPMWuerstchenSchedulerOutput

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.events import Preview, StepDone
from modules.contracts.plan import SamplerPlan
from modules.contracts.request import CanvasParams, HiresParams, PromptParams, RefinerParams, SamplingParams, ToneParams
from modules.contracts.run import RunContext
from modules.processing_diffusers.stages.unfold import SAMPLER, SCHEDULE
from modules.sd_samplers.build import COSINE_STEPS, build_scheduler
from tests.factories.cascade import apart, as_files, tiny_cascade
from tests.processing_diffusers.conftest import CLOSE, ask, in_threads, make_engine


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    models = tmp_path_factory.mktemp("cascade-models")
    whole = tiny_cascade(models / "checkpoints" / "whole")
    as_files(whole, models / "checkpoints" / "files")
    shutil.copytree(whole, models / "checkpoints" / "apart")
    apart(models / "checkpoints" / "apart")
    bench = make_engine(tmp_path_factory.mktemp("cascade-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def bench(studio):
    studio.events.clear()
    return studio


class Ours(DDPMWuerstchenScheduler):
    """The studio's scheduler as the library's pipelines call theirs: by shares of the way, over scaled latents."""

    def __init__(self, sampler, schedule, steps, generator):
        super().__init__()
        plan = SamplerPlan(sampler, schedule, steps, None)
        self.inner = build_scheduler(plan, self.config, flow=False)
        self.inner.set_timesteps(steps)
        self.inner.bind_generators([generator])
        self.place = 0

    def set_timesteps(self, *given, **named):
        shares = (self.inner.timesteps.double() + 1) / COSINE_STEPS
        self.timesteps = torch.cat([shares, torch.zeros(1, dtype=shares.dtype)])

    def _scale(self):
        return float(self.inner.sigmas[self.place] ** 2 + 1) ** 0.5

    def begin(self, noise):
        return noise.double() * float(self.inner.sigmas[0]) / self._scale()

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        time = self.inner.timesteps[self.place]
        following = self.inner.step(model_output, time, sample * self._scale(), return_dict=False)[0]
        self.place += 1
        return DDPMWuerstchenSchedulerOutput(prev_sample=(following / self._scale()).to(sample.dtype))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("scale", [4.0, 1.0])
def test_the_library_draws_the_same(bench, exact, scale):
    folder = bench.paths.models / "checkpoints" / "apart"
    generator = torch.Generator("cpu").manual_seed(1)
    first = StableCascadePriorPipeline.from_pretrained(folder.with_name("apart-prior"), torch_dtype=torch.float64)
    first.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 16, 3, 3, generator=generator)
    first.scheduler = Ours("DPM++ 2M", "Karras", 3, generator)
    meant = first(
        "a red circle",
        negative_prompt="blurry",
        width=128,
        height=128,
        num_inference_steps=3,
        guidance_scale=scale,
        latents=first.scheduler.begin(noise),
    )
    quantised = PaellaVQModel.from_pretrained(folder / "vqgan", torch_dtype=torch.float64)
    second = StableCascadeUNet.from_pretrained(folder / "decoder", torch_dtype=torch.float64)
    last = StableCascadeDecoderPipeline(second, first.tokenizer, first.text_encoder, first.scheduler, quantised)
    last.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 32, 32, generator=generator)
    last.scheduler = Ours(SAMPLER, SCHEDULE, 4, generator)
    theirs = last(
        meant.image_embeddings,
        "a red circle",
        num_inference_steps=4,
        guidance_scale=0.0,
        latents=last.scheduler.begin(noise),
        output_type="np",
    ).images[0]
    sampling = SamplingParams(steps=3, sampler="DPM++ 2M", scheduler="Karras", cfg_scale=scale)
    ours = exact(
        bench.draw(
            ask(model="apart", canvas=CanvasParams(128, 128), sampling=sampling, refiner=RefinerParams(decoder_steps=4))
        )
    )
    assert float((ours - torch.from_numpy(theirs).permute(2, 0, 1)).abs().max()) < CLOSE


def test_the_second_stage_has_steps_of_its_own(bench, exact, rows):
    def draw(steps):
        result = bench.draw(ask(model="whole", batch=2, steps=2, refiner=RefinerParams(decoder_steps=steps)))
        return exact(result), result

    few, result = draw(3)
    assert rows == [4, 4, 2, 2, 2]
    assert "Decoder steps: 3" in result.pictures[0].infotext
    told = [event for event in bench.events if isinstance(event, StepDone)]
    assert (told[-1].step, told[-1].steps, told[-1].progress) == (5, 5, 1.0)
    assert float((draw(5)[0] - few).abs().max()) > 1e-3


def test_words_reach_both_stages_and_the_scale_the_first(bench, exact, monkeypatch):
    """What one stage is told is kept from the other by turns."""
    from modules.processing_diffusers.families.cascade import CascadeAdapter

    def draw(text="a red circle", cfg=4.0):
        return exact(bench.draw(ask(text, model="whole", cfg=cfg)))

    usual, other = draw(), draw("two dogs")
    assert min(float((usual - one).abs().max()) for one in (other, draw(cfg=1.0))) > 1e-4
    plain = CascadeAdapter.run

    def deaf(self, denoiser, **arguments):
        silent = {name: torch.zeros_like(arguments[name]) for name in ("clip_text", "clip_text_pooled")}
        return plain(self, denoiser, **{**arguments, **silent})

    monkeypatch.setattr(CascadeAdapter, "run", deaf)
    assert float((draw() - draw("two dogs")).abs().max()) > 1e-5


def test_long_prompts_and_several_stand_beside_short_ones(bench, exact):
    long = "a red circle and a blue square on a green background, " * 12
    requests = [
        ask(model="whole", prompt=PromptParams("a cat", long), steps=2),
        ask(model="whole", prompt=PromptParams("[a cat:a dog:0.5] AND a (circle:1.3)", "blue"), steps=3, seed=3),
    ]
    alone = [exact(bench.draw(request)) for request in requests]
    together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)
    assert bench.engine.stats()["targets"]["decoder"]["mean_lanes"] > 1


@pytest.mark.parametrize("name", ["apart", "stage_c"])
def test_stages_that_stand_apart_are_one_model(bench, exact, name):
    entry = bench.engine._catalog.find_model(name)
    assert (entry.family, entry.problem) == ("stable-cascade", None)
    torch.testing.assert_close(
        exact(bench.draw(ask(model=name))), exact(bench.draw(ask(model="whole"))), rtol=0, atol=CLOSE
    )


def test_a_stage_alone_says_what_it_lacks(bench):
    listed = {entry.name: entry.problem for entry in bench.engine._catalog.models()}
    assert "it is used with the folder of the last one" in listed["apart-prior"]
    assert "second stage of Stable Cascade" in listed["stage_b"]
    assert "autoencoder of Stable Cascade" in listed["stage_a"]


def test_a_last_stage_is_found_as_soon_as_the_first_one_stands_beside_it(tmp_path):
    models = tmp_path / "models"
    whole = tiny_cascade(models / "checkpoints" / "late")
    first = apart(whole).rename(tmp_path / "elsewhere")
    bench = make_engine(tmp_path / "engine", models)
    (entry,) = (entry for entry in bench.engine._catalog.models() if entry.name == "late")
    assert "put the folder of its first one beside it as late-prior" in entry.problem
    first.rename(models / "checkpoints" / "late-prior")
    bench.engine._catalog.refresh()
    assert bench.engine._catalog.find_model("late").problem is None
    bench.engine.close()


@pytest.mark.parametrize("last", [1, 3])
def test_a_cancelled_job_ends_within_a_step_of_either_stage(bench, rows, last):
    """Steps 1 and 2 are the first stage's, 3 to 12 the second's."""

    def listen(event):
        if isinstance(event, StepDone) and event.step == last:
            context.cancelled.set()

    context = RunContext("job", listen)
    result = bench.draw(ask(model="whole", steps=2), context=context)
    assert result.interrupted
    assert not result.pictures
    assert last <= len(rows) <= last + 1


def test_previews_show_the_second_stage(bench):
    bench.settings.update({"show_progress_every_n_steps": 1})
    bench.draw(ask(model="whole", steps=2), previews=True)
    shown = [event.step for event in bench.events if isinstance(event, Preview)]
    assert shown == [*range(3, 12)]


def test_what_it_cannot_do_is_said(bench):
    with pytest.raises(UnsupportedFeature, match="Stable Cascade has no hires pass"):
        bench.draw(ask(model="whole", hires=HiresParams(True)))
    result = bench.draw(ask(model="whole", steps=1, tone=ToneParams(brightness=0.3)))
    assert any("no colours to correct" in note for note in result.notes)
