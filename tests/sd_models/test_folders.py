"""Diffusers folders: index, configs and headers together say what a model is, or why it cannot be used."""

from __future__ import annotations

import json
import shutil

import pytest

from modules.sd_models.detect import Broken, Recognised, Unknown
from modules.sd_models.families import load_rules
from modules.sd_models.folders import find_weights, inspect_folder
from modules.support.paths import ROOT
from tests.factories import models

RULES = load_rules(ROOT / "configs" / "families.json")


@pytest.fixture
def copy(tmp_path, tiny_sd15_folder):
    """A copy of the tiny SD 1.5 that a test may break."""
    return shutil.copytree(tiny_sd15_folder, tmp_path / "model")


def change(path, **changes):
    content = json.loads(path.read_text("utf-8"))
    content.update(changes)
    path.write_text(json.dumps(content), "utf-8")


def reason(folder, kind=Broken):
    outcome = inspect_folder(folder, RULES)
    assert isinstance(outcome, kind), outcome
    return outcome.reason


@pytest.mark.parametrize("family", ["sd15", "sd15-inpaint", "sd2", "sdxl", "sd3", "flux"])
def test_tiny_folders_are_recognised(family, request):
    folder = request.getfixturevalue(f"tiny_{family.replace('-', '_')}_folder")
    outcome = inspect_folder(folder, RULES)
    assert isinstance(outcome, Recognised)
    assert outcome.family == family
    assert outcome.facts["native_size"] == 64
    assert outcome.facts["latent_factor"] == 8
    assert outcome.facts["dtype"] == "F32"


def test_the_prediction_type_comes_from_the_scheduler(tiny_sd2_folder, tmp_path):
    assert inspect_folder(tiny_sd2_folder, RULES).facts["prediction_type"] == "v_prediction"


def test_schnell_is_told_from_dev(tmp_path):
    outcome = inspect_folder(models.tiny_flux(tmp_path / "flux", guidance=False), RULES)
    assert outcome.family == "flux-schnell"


def test_half_precision_and_shards_are_seen(tmp_path):
    outcome = inspect_folder(models.tiny_flux(tmp_path / "m", fp16=True, shard=200_000), RULES)
    assert isinstance(outcome, Recognised)
    assert (outcome.facts["dtype"], outcome.facts["variant"]) == ("F16", "fp16")
    assert outcome.facts["files"] > 5


def test_full_precision_is_preferred(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copyfile(weights, copy / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert find_weights(copy / "unet") == weights


def test_a_folder_of_another_width_is_sd15_when_its_parts_fit(tmp_path):
    """The model that ships is in SD 1.5's layout with a narrower text encoder."""
    from tests.factories import parts
    from tests.factories.words import save_clip_tokenizer

    words = save_clip_tokenizer(tmp_path / "m" / "tokenizer")
    with parts.seeded(1):
        components = {
            "text_encoder": parts.clip_text(words, 64, activation="quick_gelu"),
            "tokenizer": models.CLIP_TOKENIZER,
            "unet": parts.unet((32, 32), 64, sample_size=16),
            "vae": parts.vae(),
            "scheduler": parts.sd_scheduler(),
        }
    folder = models.save(tmp_path / "m", "StableDiffusionPipeline", components, fp16=True, shard=None)
    outcome = inspect_folder(folder, RULES)
    assert isinstance(outcome, Recognised)
    assert (outcome.family, outcome.facts["native_size"]) == ("sd15", 128)


def test_parts_that_do_not_fit_each_other_are_broken(copy, tiny_sd2_folder):
    shutil.rmtree(copy / "text_encoder")
    shutil.copytree(tiny_sd2_folder / "text_encoder", copy / "text_encoder")
    assert "gives 1024 numbers a token and its unet takes 768" in reason(copy)


def test_a_missing_part_is_named(copy):
    shutil.rmtree(copy / "vae")
    assert "lacks the folder vae" in reason(copy)


def test_missing_weights_are_named(copy):
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "model/unet holds no weights" in reason(copy)


def test_pickled_weights_are_refused_with_the_way_out(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert "models convert" in reason(copy)


def test_truncated_weights_are_broken(copy):
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "100 of" in reason(copy)


@pytest.mark.parametrize("text", ["{", "[]", '{"unet": 3}', ""])
def test_an_index_that_makes_no_sense_is_broken_or_unknown(copy, text):
    (copy / "model_index.json").write_text(text)
    assert isinstance(inspect_folder(copy, RULES), Broken | Unknown)


def test_component_names_cannot_leave_the_folder(copy):
    change(copy / "model_index.json", **{"../../etc": ["diffusers", "AutoencoderKL"]})
    assert "no plain name" in reason(copy)


def test_a_pipeline_without_denoiser_is_unknown(tmp_path):
    folder = tmp_path / "speech"
    (folder / "vocoder").mkdir(parents=True)
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": "AudioPipeline", "vocoder": ["transformers", "SpeechT5HifiGan"]})
    )
    assert "AudioPipeline" in reason(folder, Unknown)


def test_a_denoiser_of_no_family_is_unknown(copy):
    from tests.factories.headers import write_weightless

    write_weightless(copy / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (8, 4, 3, 3)})
    assert "of no known model family" in reason(copy, Unknown)
