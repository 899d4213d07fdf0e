"""Textual inversion: only the word learns, and both files give the pipeline what was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from modules.pocket.stages.base import denoising_loss, open_base
from modules.pocket.stages.inversion import VECTORS, Word, export_inversion, train_inversion
from modules.training.journal import Budget, load_checkpoint
from tests.factories.pocket_base import SIDE, scene_sample

TOKEN = "<thing>"


def named_sample(index, side):
    sample = scene_sample(0, side)
    return replace(sample, text=f"a {TOKEN} on the white background")


def test_other_words_keep_their_meaning(tiny_base):
    base, before = open_base(tiny_base), open_base(tiny_base).embed(["a red circle"])
    word = Word(base, TOKEN, 3)
    assert word.spelled(f"a {TOKEN}.") == "a <thing> <thing>_1 <thing>_2."
    with word.standing_in(base.text_encoder):
        assert torch.equal(base.embed(["a red circle"]), before)
        first = base.embed([word.spelled(TOKEN)])
        with torch.no_grad():
            word.embedding[2] += 1
        assert not torch.equal(base.embed([word.spelled(TOKEN)]), first)
    assert not torch.equal(base.embed([word.spelled(TOKEN)]), first)


def test_the_word_learns_and_the_pipeline_reads_what_was_trained(tiny_base, tuning, tmp_path):
    how = replace(tuning, batch=4, max_steps=15, pace=4)
    train_inversion(tmp_path, Budget(5), 300, how, TOKEN, named_sample)
    assert train_inversion(tmp_path, Budget(5), 300, how, TOKEN, named_sample)["step"] == 30
    state = load_checkpoint(tmp_path / "inversion.pt")
    assert list(state["model"]) == ["embedding"]

    base = open_base(tiny_base)
    torch.manual_seed(0)
    word = Word(base, TOKEN)
    clean = base.encode(np.stack([named_sample(0, SIDE).picture] * 4))

    def loss():
        with torch.no_grad(), word.standing_in(base.text_encoder):
            words = base.embed([word.spelled(named_sample(0, SIDE).text)] * 4)
            torch.manual_seed(1)
            lot = np.random.default_rng(1)
            guess = lambda noisy, times: base.unet(noisy, times, words).sample  # noqa: E731
            return sum(denoising_loss(base, clean, guess, lot).item() for _ in range(6)), words[:1]

    before, _ = loss()
    word.load_state_dict(state["average"])
    after, trained = loss()
    assert after < before

    export_inversion(tmp_path, tmp_path / "embeddings", TOKEN)
    first, second = (tmp_path / "embeddings" / f"thing{end}.safetensors" for end in ("", "-diffusers"))
    assert torch.equal(load_file(first)["emb_params"], load_file(second)[TOKEN])
    assert load_file(first)["emb_params"].shape == (VECTORS, 32)

    from diffusers import StableDiffusionPipeline

    for file, given in ((first, {"token": TOKEN}), (second, {})):
        pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_base), local_files_only=True)
        pipeline.load_textual_inversion(str(file.parent), weight_name=file.name, local_files_only=True, **given)
        read, _ = pipeline.encode_prompt(named_sample(0, SIDE).text, "cpu", 1, False)
        assert torch.allclose(read, trained, atol=1e-5)


def test_before_the_first_checkpoint_there_is_nothing_to_export(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"inversion\.pt"):
        export_inversion(tmp_path, tmp_path / "out")
