"""The model in the repository: small, complete, opens without a network, and draws what it is asked for."""

from __future__ import annotations

import json

import pytest
import torch

from modules.pocket.evaluation.judge import judge
from modules.pocket.evaluation.questions import ask, ask_grounds
from modules.pocket.sampling import MODEL, draw, open_model
from modules.pocket.stages.export import SIZE_LIMIT

PROMPTS = 12
ENOUGH = 10
"""Of so many questions about held-out combinations, so many have to show the right colour on the right ground."""


@pytest.fixture(scope="module")
def pipeline():
    return open_model()


def test_the_folder_is_whole_and_small():
    files = {str(path.relative_to(MODEL)): path.stat().st_size for path in MODEL.rglob("*") if path.is_file()}
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    assert sum(size for name, size in files.items() if name.split("/")[0] in parts) <= SIZE_LIMIT
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


def test_it_draws_what_training_never_showed(pipeline):
    """A few of the prompts of `launch.py pocket eval`; docs/pocket/figures.json has the figures of all of them."""
    asked = [ask("circle", "red", "white"), *ask_grounds(PROMPTS - 1)]
    pictures = draw(pipeline, [question.prompt for question in asked], seed=7, steps=12, batch=6)
    seen = [judge(picture) for picture in pictures]
    right = [(each.colour, each.ground) == (one.colour, one.ground) for each, one in zip(seen, asked, strict=True)]
    assert sum(right) >= ENOUGH, list(zip(asked, seen, strict=True))
    assert (seen[0].colour, seen[0].shape, seen[0].ground) == ("red", "circle", "white")  # what everybody tries first


def test_the_same_seed_draws_the_same_picture(pipeline):
    prompt = ["a blue heart on a white background"]
    first, again = draw(pipeline, prompt, seed=3, steps=4), draw(pipeline, prompt, seed=3, steps=4)
    other = draw(pipeline, prompt, seed=4, steps=4)
    assert (first == again).all()
    assert (first != other).any()


def test_the_weights_have_no_odd_values(pipeline):
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert all(torch.isfinite(value).all() for value in part.state_dict().values())


def test_the_figures_shipped_are_whole():
    """Every bar stands in the report with what was measured, met or not, and the report counts them rightly."""
    figures = json.loads((MODEL.parents[1] / "docs" / "pocket" / "figures.json").read_text())
    bars = {name: found["bars"] for name, found in figures["properties"].items()}
    assert {"adherence", "places", "counts", "negative", "guidance", "seeds", "layout", "large"} <= set(bars)
    assert figures["met"] is all(bar["met"] for found in bars.values() for bar in found)
    assert figures["properties"]["adherence"]["prompts"] >= 200
