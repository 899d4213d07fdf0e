"""Families whose pipelines guide by two calls, or in a way of their own: left unguided, and guided by the stand-in."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.request import GuidanceParams, ImageParams, PromptParams
from modules.processing_diffusers.families.chroma import ChromaAdapter
from modules.processing_diffusers.families.lumina import LuminaAdapter
from modules.processing_diffusers.families.qwen import QwenImageAdapter
from modules.processing_diffusers.families.shift import measured_shift_for
from tests.factories import parts, transformers
from tests.factories.families import BUILDERS
from tests.processing_diffusers.conftest import CLOSE, ask, encode, in_threads, make_engine, speckled

PAIRED = ["chroma", "pixart", "z-image", "lumina2", "qwen-image", "sana", "flux2-klein", "hunyuan-dit", "kandinsky5"]
LAYERS = {
    "chroma": ("transformer_blocks.0.attn.to_q", 32),
    "pixart": ("transformer_blocks.0.attn1.to_q", 32),
    "z-image": ("layers.0.attention.to_q", 32),
    "lumina2": ("layers.0.attn.to_q", 36),
    "kandinsky5": ("visual_transformer_blocks.0.self_attention.to_query", 32),
    "hunyuan-dit": ("blocks.0.attn1.to_v", 32),
    "flux2-klein": ("transformer_blocks.0.attn.to_q", 32),
    "sana": ("transformer_blocks.0.attn1.to_q", 32),
    "qwen-image": ("transformer_blocks.0.attn.to_q", 32),
}
"""A layer of each that a LoRA changes, as diffusers names it, and its width."""
WHOLE = ("zimage", "lumina", "qwen", "sana", "flux2-klein", "kandinsky")
"""Adapters whose language models read a prompt as a whole."""
LONG = "a red circle and a blue square on a green background, " * 12


def save_lora(path, layer, width):
    """A LoRA in the naming of PEFT for one layer, as wide as it is high."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    pair = {name: torch.ones(size) for name, size in (("lora_A", (2, width)), ("lora_B", (width, 2)))}
    save_file({f"transformer.{layer}.{name}.weight": value for name, value in pair.items()}, path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """An engine with a model of each such family."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in PAIRED:
        BUILDERS[name](folder / "models" / "checkpoints" / name)
        save_lora(folder / "models" / "Lora" / f"lora-{name}.safetensors", *LAYERS[name])
    bench = make_engine(folder, folder / "models")
    yield bench
    bench.engine.close()


@pytest.mark.parametrize("family", PAIRED)
def test_both_answers_come_from_one_call(pairs, rows, family):
    for cfg, wanted in ((5.0, {2}), (1.0, {1})):
        rows.clear()
        pairs.draw(ask(model=family, cfg=cfg, steps=2))
        assert set(rows) == wanted


@pytest.mark.parametrize("adapter", [LuminaAdapter(), QwenImageAdapter()])
def test_some_keep_the_lengths_of_the_answer_to_the_prompt(adapter):
    free, bound = torch.randn(2, 1, 4, 3, 5).unbind()
    guided = adapter.mix(free, bound, 4.0)
    plain = free + 4.0 * (bound - free)
    torch.testing.assert_close(guided.norm(dim=-1), bound.norm(dim=-1))
    turned = torch.nn.functional.cosine_similarity(guided, plain, dim=-1)
    torch.testing.assert_close(turned, torch.ones_like(turned))


@pytest.mark.parametrize("family", [name for name in PAIRED if name not in ("lumina2", "qwen-image")])
def test_guidance_is_a_line_through_the_two_answers(pairs, exact, family, monkeypatch):
    """Without a step in between: the answer at scale 3 lies twice as far from that at 1 as the answer at 2 does."""
    from modules.processing_diffusers.multiplexer.stand_in import StandIn

    answers, plain = [], StandIn.__call__

    def listen(self, *given, **named):
        output = plain(self, *given, **named)
        if self._target.stepped:
            answers.append(output[0])
        return output

    monkeypatch.setattr(StandIn, "__call__", listen)
    for cfg in (1.0, 2.0, 3.0):
        pairs.draw(ask(model=family, cfg=cfg, steps=1))
    one, two, three = answers
    assert (two - one).abs().max() > 1e-4
    torch.testing.assert_close(three - one, 2 * (two - one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", PAIRED)
def test_long_prompts_stand_beside_short_ones(pairs, exact, family):
    """What fills a short one up changes nothing, in the same batch or in another job's."""
    short = ask(model=family, prompt=PromptParams("a cat", LONG), steps=2)
    changing = ask(model=family, prompt=PromptParams("[a cat:a dog:0.5] AND a circle", "blue"), steps=3, seed=3)
    alone = [exact(pairs.draw(request)) for request in (short, changing)]
    together = in_threads([lambda r=request: pairs.draw(r) for request in (short, changing)])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("family", PAIRED)
def test_a_lora_in_the_naming_of_diffusers_counts(pairs, exact, family):
    plain, changed, again = (
        exact(pairs.draw(ask(f"a red circle{tag}", model=family, steps=2)))
        for tag in ("", f"<lora:lora-{family}:3>", "")
    )
    assert (plain - changed).abs().max() > 1e-5
    assert torch.equal(plain, again)


@pytest.mark.parametrize("family", PAIRED)
def test_weights_and_schedules_of_guidance_count(pairs, exact, family):
    drawn = [
        exact(pairs.draw(ask(model=family, steps=2, **wish)))
        for wish in (
            {},
            {"text": "a (red:1.9) circle"},
            {"guidance": GuidanceParams(start=0.5)},
            {"guidance": GuidanceParams(apg=True)},
        )
    ]
    changed = [float((drawn[0] - other).abs().max()) for other in drawn[1:]]
    assert min(changed[1:]) > 1e-5, changed
    weighted = bool(pairs.engine._catalog.family(family).adapter not in WHOLE)
    assert (changed[0] > 1e-5) == weighted
    notes = pairs.draw(ask("a (red:1.9) circle", model=family, steps=1)).notes
    assert any("weights" in note for note in notes) != weighted


def test_a_pipeline_that_tells_of_no_steps_is_watched_all_the_same(pairs):
    """PixArt's has no callback: steps are counted and the kept part is put back by the scheduler."""
    from modules.contracts.events import StepDone

    pairs.events.clear()
    image = ImageParams((encode(speckled()),), 0.99)
    pairs.draw(ask(model="pixart", steps=4, image=image))
    assert len([event for event in pairs.events if isinstance(event, StepDone)]) >= 3


def test_what_fills_a_text_up_is_hidden_from_chroma():
    with parts.seeded(1):
        denoiser = transformers.chroma_transformer()
    words, mask = torch.randn(1, 6, 32), torch.tensor([[1.0, 1, 1, 0, 0, 0]])
    adapter, other = ChromaAdapter(), words.clone()
    other[:, 3:] = 7.0

    def answer(hidden):
        with torch.no_grad():
            return adapter.run(
                denoiser,
                hidden_states=torch.ones(1, 4, 64),
                encoder_hidden_states=hidden,
                timestep=torch.tensor([0.5]),
                img_ids=torch.zeros(4, 3),
                txt_ids=torch.zeros(6, 3),
                attention_mask=mask,
                return_dict=False,
            )[0]

    assert torch.isfinite(answer(words)).all()
    torch.testing.assert_close(answer(words), answer(other))


@pytest.mark.parametrize(("tokens", "steps"), [(256, 4), (4096, 28), (4300, 50), (6000, 50)])
def test_the_shift_of_flux2_is_the_librarys(tokens, steps):
    from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

    assert measured_shift_for(tokens, steps) == pytest.approx(compute_empirical_mu(tokens, steps))
