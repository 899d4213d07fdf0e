"""Kandinsky 5 draws as its own pipeline does, of any size, and its attention passes over what fills texts up."""

from __future__ import annotations

import pytest
import torch
from diffusers import Kandinsky5T2IPipeline
from diffusers.models.transformers.transformer_kandinsky import Kandinsky5AttnProcessor

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import Placement, SamplerPlan
from modules.contracts.request import CanvasParams
from modules.processing_diffusers.families.kandinsky import DESCRIBE, KandinskyAdapter
from modules.sd_models.tensors import kept_in_float32
from modules.sd_samplers.build import build_scheduler
from tests.factories import parts
from tests.factories.kandinsky import denoiser, tiny_kandinsky5
from tests.processing_diffusers.conftest import CLOSE, ask, make_engine


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    models = tmp_path_factory.mktemp("kandinsky-models")
    tiny_kandinsky5(models / "checkpoints" / "kandinsky5")
    bench = make_engine(tmp_path_factory.mktemp("kandinsky-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def tiny():
    with parts.seeded(3):
        model = denoiser()
    KandinskyAdapter().prepare(model)
    return model


def call(model, words, mask, latents=None):
    torch.manual_seed(5)
    given = torch.randn(len(words), 16, 8, 12) if latents is None else latents
    arguments = {
        "hidden_states": given,
        "encoder_hidden_states": words,
        "encoder_attention_mask": mask,
        "pooled_projections": torch.ones(len(words), 48, dtype=words.dtype),
        "timestep": torch.full((len(words),), 500.0),
    }
    with torch.no_grad():
        packed = KandinskyAdapter().pack(given.to(words.dtype))
        return KandinskyAdapter().run(model, **{**arguments, "hidden_states": packed})[0]


def test_the_library_draws_the_same(studio, exact):
    """Apart from how it rounds what is turned by place, for which it is given this attention."""
    pipeline = Kandinsky5T2IPipeline.from_pretrained(studio.paths.models / "checkpoints" / "kandinsky5")
    KandinskyAdapter().prepare(pipeline.transformer)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.resolutions = [(96, 64)]
    pipeline.prompt_template_encode_start_idx = len(pipeline.tokenizer.tokenizer(DESCRIBE).input_ids)
    plan = SamplerPlan("Euler", "Automatic", 3, None)
    pipeline.scheduler = build_scheduler(plan, pipeline.scheduler.config, flow=True)
    noise = torch.randn(1, 16, 8, 12, generator=torch.Generator("cpu").manual_seed(1))
    theirs = pipeline(
        "a red circle",
        negative_prompt="blurry",
        width=96,
        height=64,
        num_inference_steps=3,
        guidance_scale=5.0,
        latents=KandinskyAdapter().pack(noise),
        output_type="pt",
    ).image[0]
    ours = exact(studio.draw(ask(model="kandinsky5", steps=3, canvas=CanvasParams(96, 64))))
    assert float((ours - theirs).abs().max()) < CLOSE


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")  # the library's own norms
def test_attention_is_the_librarys_where_nothing_is_hidden(tiny):
    """Bit by bit in bfloat16, to which the library rounds in any case."""
    wide = kept_in_float32(type(tiny), Placement("cpu", "bfloat16"))
    for name, weight in tiny.named_parameters():
        if not set(wide) & set(name.split(".")):
            weight.data = weight.data.to(torch.bfloat16)
    words = torch.randn(2, 6, 32).to(torch.bfloat16)
    ours = call(tiny, words, torch.ones(2, 6))
    for layer in tiny.modules():
        if hasattr(layer, "set_processor"):
            layer.set_processor(Kandinsky5AttnProcessor())
    assert torch.equal(call(tiny, words, torch.ones(2, 6)), ours)


def test_what_fills_a_text_up_is_not_seen(tiny):
    words, mask = torch.randn(2, 9, 32), torch.ones(2, 9)
    mask[1, 4:] = 0
    other = words.clone()
    other[1, 4:] = 7.0
    found = call(tiny, words, mask)
    torch.testing.assert_close(call(tiny, other, mask), found)
    torch.manual_seed(5)
    latents = torch.randn(2, 16, 8, 12)[1:]
    torch.testing.assert_close(call(tiny, words[1:, :4], mask[1:, :4], latents), found[1:], rtol=1e-4, atol=1e-5)
    assert (call(tiny, words, torch.ones(2, 9)) - found).abs().max() > 1e-4


def test_a_canvas_beyond_its_places_is_refused(tiny):
    with pytest.raises(UnsupportedFeature, match=r"places for 128 tokens along a side, and this canvas has 129 × 1"):
        call(tiny, torch.ones(1, 3, 32), torch.ones(1, 3), torch.zeros(1, 16, 2, 258))


def test_latents_are_not_shifted(studio):
    entry = studio.engine._catalog.find_model("kandinsky5")
    family = studio.engine._catalog.family("kandinsky5")
    with studio.engine.storehouse.lease(entry, family, lambda share, part: None) as model:
        assert model.vae.module.config.shift_factor is None
        assert model.vae.module.config.scaling_factor == pytest.approx(0.3611)
        # What memory is planned with.
        assert (model.facts.width, model.facts.heads, model.facts.cells_per_token) == (32, 2, 4)
