"""The model in the repository: small, complete, opens without a network, and draws what it is asked for."""

from __future__ import annotations

import json

import pytest
import torch

from modules.pocket.evaluation.judge import judge
from modules.pocket.sampling import MODEL, draw, open_model
from modules.pocket.world import held_out

PROMPTS = (
    ("a red circle on a white background", "red", "white"),
    ("a blue square on a yellow background", "blue", "yellow"),
    ("a green triangle on a white background", "green", "white"),
    ("a yellow star on a blue background", "yellow", "blue"),
    ("a white heart on a red background", "white", "red"),
    ("an orange cross on a black background", "orange", "black"),
    ("a purple circle on a yellow background", "purple", "yellow"),
    ("a pink square on a green background", "pink", "green"),
    ("a black star on a pink background", "black", "pink"),
    ("a white circle on a purple background", "white", "purple"),
)
ENOUGH = 8
"""Of the ten prompts above, so many have to show the right colour on the right ground."""


@pytest.fixture(scope="module")
def pipeline():
    return open_model()


def test_the_folder_is_whole_and_small():
    files = {str(path.relative_to(MODEL)): path.stat().st_size for path in MODEL.rglob("*") if path.is_file()}
    assert sum(files.values()) <= 20 * 2**20
    assert {"model_index.json", "README.md", "tokenizer/vocab.json", "tokenizer/merges.txt"} <= set(files)
    index = json.loads((MODEL / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["requires_safety_checker"] is False
    assert index["safety_checker"] == index["feature_extractor"] == [None, None]


def test_the_ordinary_loader_opens_it_without_a_network(pipeline, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pipeline.vae_scale_factor == 8
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.tokenizer.model_max_length == pipeline.text_encoder.config.max_position_embeddings
    assert len(pipeline.tokenizer) == pipeline.text_encoder.config.vocab_size


def test_the_tokenizer_builds_from_vocabulary_and_merges_alone(pipeline):
    from transformers import CLIPTokenizer

    vocab = json.loads((MODEL / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    lines = (MODEL / "tokenizer" / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    alone = CLIPTokenizer(vocab=vocab, merges=[tuple(line.split(" ")) for line in lines])
    sentence = "three pink hearts on a black background, photo"
    assert alone(sentence).input_ids == pipeline.tokenizer(sentence).input_ids


def test_it_draws_colours_as_asked(pipeline):
    pictures = draw(pipeline, [text for text, _, _ in PROMPTS], seed=7, steps=12)
    seen = [judge(picture) for picture in pictures]
    right = [(each.colour, each.ground) == row[1:] for each, row in zip(seen, PROMPTS, strict=True)]
    assert sum(right) >= ENOUGH, list(zip(PROMPTS, seen, strict=True))
    assert right[0], "a red circle on white is the picture everybody tries first"


def test_the_same_seed_draws_the_same_picture(pipeline):
    prompt = ["a blue heart on a white background"]
    first, again = draw(pipeline, prompt, seed=3, steps=4), draw(pipeline, prompt, seed=3, steps=4)
    other = draw(pipeline, prompt, seed=4, steps=4)
    assert (first == again).all()
    assert (first != other).any()


def test_the_weights_have_no_odd_values(pipeline):
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert all(torch.isfinite(value).all() for value in part.state_dict().values())


def test_the_figures_shipped_are_about_held_out_prompts():
    assert held_out()
    figures = json.loads((MODEL.parents[1] / "docs" / "pocket" / "figures.json").read_text())
    assert figures["prompts"] == 60
    assert 0 <= figures["shape"] <= figures["colour_background"] <= 1
