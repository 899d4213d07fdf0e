"""T5's tokenizer does not ship: who needs it is told where it goes, and SD 3 draws without T5."""

from __future__ import annotations

import shutil

import pytest

from modules.contracts.errors import BrokenModel, UnsupportedFeature
from tests.factories import models
from tests.factories.single_files import single_file
from tests.processing_diffusers.conftest import ask, make_engine, pixels
from tests.sd_models.test_loader import load


@pytest.mark.parametrize(
    ("family", "part", "place"),
    [
        ("sd3", "tokenizer_3", "t5-tokenizer"),
        ("flux", "tokenizer_2", "t5-tokenizer"),
        ("chroma", "tokenizer", "t5-tokenizer"),
        ("z-image", "tokenizer", "qwen-tokenizer"),
        ("lumina2", "tokenizer", "gemma-tokenizer"),
        ("flux2", "tokenizer", "mistral-tokenizer"),
        ("kolors", "tokenizer", "chatglm-tokenizer"),
    ],
)
def test_the_error_says_which_file_goes_where(family, part, place, request, tmp_path):
    folder = request.getfixturevalue(f"tiny_{family.replace('-', '')}_folder")
    file = single_file(folder, tmp_path / "models" / "checkpoints" / "mine.safetensors", family)
    shutil.rmtree(file.with_suffix(".config") / part)
    with pytest.raises(
        BrokenModel, match=f"tokenizer.(json|model).*text-encoders/{place}.*mine.config/{part}"
    ) as caught:
        load(file)
    assert str(tmp_path) not in caught.value.message
    # What the sentence says, done: the model opens.
    shutil.copytree(folder / part, file.with_suffix(".config") / part)
    components = load(file).components
    assert components[part]("a red circle").input_ids
    shared = tmp_path / "models" / "text-encoders"
    shared.mkdir()
    (file.with_suffix(".config") / part).rename(shared / place)
    assert load(file, folders=(shared,)).components[part].get_vocab() == components[part].get_vocab()


def test_sd3_draws_without_t5_from_a_folder_and_from_a_file(tmp_path):
    checkpoints = tmp_path / "models" / "checkpoints"
    folder = models.tiny_sd3(checkpoints / "plain", t5=False)
    single_file(folder, checkpoints / "single.safetensors", "sd3")
    bench = make_engine(tmp_path / "engine", tmp_path / "models")
    try:
        drawn = [bench.draw(ask(model=name, sampler=None, steps=2)).pictures[0] for name in ("plain", "single")]
    finally:
        bench.engine.close()
    assert drawn[0].image.size == (64, 64)
    assert pixels(drawn[0]).std() > 0
    assert abs(pixels(drawn[0]) - pixels(drawn[1])).max() <= 1


def test_a_package_that_a_tokenizer_needs_is_named_with_the_command_that_gets_it(tiny_kolors_folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedFeature, match="ChatGLM3.*sentencepiece.*python launch.py --extra kolors"):
        load(tiny_kolors_folder)
