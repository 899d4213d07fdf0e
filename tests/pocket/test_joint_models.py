"""The network in SD 3's layout learns, stops and goes on, and leaves as a folder that diffusers opens."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from modules.contracts.request import SamplingParams
from modules.pocket.stages.flow import CountedAttention, even_times, walk
from modules.pocket.stages.lesson import Plan, guided, velocity_of
from modules.pocket.stages.scenery import tokenize
from modules.pocket.stages.silent import build_counter, build_silence
from modules.pocket.stages.text import WIDTH, load_text, train_text
from modules.pocket.stages.transformer import (
    GUIDANCE,
    build_transformer,
    export_transformer,
    load_transformer,
    train_transformer,
)
from modules.pocket.stages.vae import build_vae
from modules.pocket.stages.words import PADDING, say, with_projection
from modules.pocket.tokens import learn_merges, write_tokenizer
from modules.training.journal import Budget, load_checkpoint, save_checkpoint

TEXTS = ("a red circle", "a blue square")
PLAN = Plan(sides=(64,), total_steps=120, samples_every_s=0)


def tiny():
    """A network a hundredth of the family's."""
    torch.manual_seed(0)
    shape = {"num_layers": 1, "attention_head_dim": 16, "num_attention_heads": 3, "caption_projection_dim": 48}
    return build_transformer(**shape, sample_size=8, pos_embed_max_size=8)


def targets():
    """The latents that belong to TEXTS: two plain fields, far apart."""
    fields = torch.zeros(2, 4, 8, 8)
    fields[0, 0], fields[0, 1, :, :4], fields[1, 0], fields[1, 2, :4] = 1.0, -1.0, -1.0, 1.0
    return fields


@dataclass(frozen=True)
class Fields:
    """Batches of those latents and their words, a few without words."""

    folder: object

    def __call__(self, step):
        lot = np.random.default_rng([3, step])
        rows = lot.integers(2, size=8)
        ids = tokenize(self.folder, ["" if lot.random() < 0.1 else TEXTS[row] for row in rows])
        return targets()[rows].half().numpy(), ids


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with tokenizer, text encoder and autoencoder as the earlier stages leave them, hardly trained."""
    folder = tmp_path_factory.mktemp("joint")
    write_tokenizer(folder / "tokenizer", learn_merges(TEXTS))
    train_text(folder, Budget(5), total_steps=1, batch=2, max_steps=1)
    torch.manual_seed(1)
    vae = build_vae()
    save_checkpoint(folder / "vae.pt", {"average": vae.state_dict()})
    save_checkpoint(folder / "vae-white.pt", vae.state_dict())
    return folder


@pytest.fixture(scope="module")
def work(parts):
    """The same after the stage."""
    makers = (Fields(parts), Fields(parts))
    train_transformer(parts, Budget(5), 60, PLAN, tiny(), makers)
    return parts


def words_of(folder, texts):
    encoder = with_projection(load_text(folder)[1])
    return say(encoder, torch.from_numpy(tokenize(folder, list(texts))))


def drawn(folder, velocity, times):
    network = load_transformer(folder, tiny())
    network.set_attn_processor(CountedAttention(PADDING))
    with torch.no_grad():
        noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
        return walk(velocity(network), noise, times)


def test_the_text_encoder_says_before_its_idle_layer_what_it_was_trained_to_say(parts):
    tokenizer, encoder = load_text(parts)
    made = with_projection(encoder)
    ids = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt").input_ids
    plain = encoder(input_ids=ids, output_hidden_states=True)
    answer = made(input_ids=ids, output_hidden_states=True)
    last = encoder.config.num_hidden_layers
    assert torch.allclose(answer.hidden_states[-2], plain.hidden_states[last], atol=1e-5)
    assert torch.allclose(answer.last_hidden_state, plain.last_hidden_state, atol=1e-5)
    assert torch.allclose(answer.text_embeds, plain.pooler_output, atol=1e-5)
    words = say(made, ids)
    assert words.tokens.shape == (2, tokenizer.model_max_length + 1, 2 * WIDTH)
    assert words.tokens[:, -1].abs().max() == 0


def test_the_transformer_learns_what_belongs_to_which_words(work):
    rows = [json.loads(line) for line in (work / "transformer.jsonl").read_text().splitlines()]
    assert rows[-1]["loss_now"] < rows[0]["loss_now"] / 2
    words, empty = words_of(work, TEXTS), words_of(work, [""])
    made = drawn(work, lambda network: guided(network, words, empty, 1.5), even_times(8))
    right = (made - targets()).square().mean(dim=(1, 2, 3))
    wrong = (made - targets().flip(0)).square().mean(dim=(1, 2, 3))
    assert (right < 0.25).all(), right
    assert (wrong > 4 * right).all(), wrong


def test_a_resumed_training_ends_in_the_same_weights_to_the_bit(work, tmp_path):
    makers, ended = (Fields(work), Fields(work)), []
    for name, runs in (("whole", (4,)), ("parts", (1, 3))):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("tokenizer", "text.pt"):
            (folder / file).symlink_to(work / file)
        for steps in runs:
            # The change from the small side to the large one lies within, at seven tenths.
            train_transformer(folder, Budget(5), 60, replace(PLAN, total_steps=4, max_steps=steps), tiny(), makers)
        ended.append(load_checkpoint(folder / "transformer.pt"))
    assert ended[0]["step"] == ended[1]["step"] == 4
    for part in ("model", "average"):
        assert all(torch.equal(value, ended[1][part][name]) for name, value in ended[0][part].items())


def test_the_exported_folder_opens_and_draws_as_in_training(work, tmp_path):
    from diffusers import StableDiffusion3Pipeline

    target = tmp_path / "model"
    export_transformer(work, target, tiny())
    assert json.loads((target / "defaults.json").read_text()) == {
        "sampler": "Euler",
        "scheduler": "Automatic",
        "steps": 20,
        "cfg_scale": GUIDANCE,
    }
    card = (target / "README.md").read_text()
    assert "T5" in card
    assert "Apache-2.0" in card
    for path in target.rglob("*.json"):
        assert str(work) not in path.read_text()
    pipeline = StableDiffusion3Pipeline.from_pretrained(str(target), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.transformer.dtype == pipeline.text_encoder.dtype == pipeline.text_encoder_2.dtype == torch.float32
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    made = pipeline(
        TEXTS[0], latents=noise, num_inference_steps=4, guidance_scale=1.0, height=64, width=64, output_type="latent"
    ).images
    network = load_transformer(work, tiny())
    network.set_attn_processor(CountedAttention(PADDING))
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        wanted = walk(velocity_of(network, words_of(work, TEXTS[:1])), noise, pipeline.scheduler.sigmas)
    assert (made - wanted).abs().max() < 0.1
    picture = pipeline(TEXTS[0], num_inference_steps=2, guidance_scale=2.0, height=64, width=64).images[0]
    assert picture.size == (64, 64)


def test_the_studio_draws_with_an_exported_folder_what_diffusers_draws(work, tmp_path, monkeypatch):
    from diffusers import StableDiffusion3Pipeline

    from modules.processing_diffusers.stages import prepare
    from tests.processing_diffusers.conftest import ask, make_engine, pixels

    target = tmp_path / "models" / "checkpoints" / "trained"
    export_transformer(work, target, tiny())
    bench = make_engine(tmp_path / "engine", tmp_path / "models")
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    monkeypatch.setattr(prepare, "draw_noise", lambda pictures, plan: (noise, [torch.Generator()]))
    sampling = SamplingParams(steps=4)  # sampler, schedule and CFG are the model's own
    result = bench.draw(ask(TEXTS[0], model="trained", sampling=sampling))
    bench.engine.close()
    plain = StableDiffusion3Pipeline.from_pretrained(str(target), local_files_only=True, dtype=torch.float64)
    plain.set_progress_bar_config(disable=True)
    theirs = plain(
        TEXTS[0],
        negative_prompt="blurry",
        latents=noise.double(),
        num_inference_steps=4,
        guidance_scale=GUIDANCE,
        height=64,
        width=64,
    ).images[0]
    assert abs(pixels(result.pictures[0]) - np.asarray(theirs, np.int16)).max() <= 1
    assert not result.notes


def test_the_third_encoder_says_nothing_and_counts_as_the_first_does(parts):
    clip = load_text(parts)[0]
    counter = build_counter(clip.get_vocab(), clip.model_max_length)
    silence = build_silence(len(counter), 2 * WIDTH)
    for text in (*TEXTS, "a red square, a blue circle"):
        ids = counter(text, return_tensors="pt").input_ids
        assert ids.shape[1] == len(clip(text).input_ids) - 1  # it has no token for the beginning
        assert silence(ids)[0].shape == (1, ids.shape[1], 2 * WIDTH)
        assert silence(ids)[0].abs().max() == 0
    assert silence.half()(ids)[0].abs().max() == 0


def test_stages_say_what_is_missing(parts, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"transformer\.pt"):
        export_transformer(tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"latents-64\.pt"):
        train_transformer(parts, Budget(1), 60, replace(PLAN, total_steps=None, max_steps=1), tiny())
    assert not (tmp_path / "out").exists()


def test_the_command_line_knows_the_stage_and_where_its_model_goes(tmp_path):
    from modules.pocket.stages.joint_rows import folder_of, plan_for
    from modules.pocket.stages.table import STAGES, Run

    names = [stage.name for stage in STAGES]
    assert names.index("latents") < names.index("transformer")
    assert folder_of(tmp_path / "pocket", "mmdit") == tmp_path / "pocket-mmdit"
    on_card = plan_for(Run(tmp_path, tmp_path / "pocket", Budget(1), 60, "cuda"))
    assert (on_card.device, on_card.batch, on_card.workers > 0) == ("cuda", 256, True)
    assert plan_for(Run(tmp_path, tmp_path / "pocket", Budget(1), 60, "cpu")).workers == 0
