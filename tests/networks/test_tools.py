"""Models merged, LoRA extracted, networks written in: what comes out is what arithmetic says, and draws the same."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from modules.bootstrap.options import Options, PathOptions
from modules.contracts.errors import InvalidRequest
from modules.networks import command as networks_command
from modules.networks.extraction import Extract, cut, extract_network
from modules.sd_models import command as models_command
from modules.sd_models.merging import RECIPE, Merge, merge_models
from tests.factories.pocket import POCKET


def lot(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def file_of(path, seed, **more):
    """A single file with a weight in three blocks, one outside them, and an autoencoder."""
    names = ("model.diffusion_model.input_blocks.1.0.w", "model.diffusion_model.middle_block.1.w",
             "model.diffusion_model.output_blocks.2.0.w", "cond_stage_model.w", "first_stage_model.w")  # fmt: skip
    tensors = {name: lot(3, 4, seed=seed + place) for place, name in enumerate(names)}
    save_file({**tensors, "ids": torch.arange(3), **more}, str(path))
    return path


@pytest.fixture
def files(tmp_path):
    return [file_of(tmp_path / f"{name}.safetensors", seed * 10) for seed, name in enumerate("abc")]


def test_a_weighted_sum_and_an_added_difference(files, tmp_path):
    a, b, c = map(load_file, files)
    done = merge_models(Merge(files[0], files[1], share=0.25), tmp_path / "sum.safetensors")
    made = load_file(done.target)
    name = "cond_stage_model.w"
    torch.testing.assert_close(made[name], a[name] * 0.75 + b[name] * 0.25)
    assert torch.equal(made["first_stage_model.w"], a["first_stage_model.w"])
    assert torch.equal(made["ids"], a["ids"])
    with safe_open(str(done.target), "pt") as opened:
        recipe = json.loads(opened.metadata()[RECIPE])
    assert (recipe["multiplier"], recipe["interp_method"]) == (0.25, "Weighted sum")
    assert len(recipe["primary_model"]["sha256"]) == 64
    wish = Merge(files[0], files[1], files[2], share=0.5, with_vae=True, dtype="float16")
    added = load_file(merge_models(wish, tmp_path / "added.safetensors").target)
    for name in ("cond_stage_model.w", "first_stage_model.w"):
        torch.testing.assert_close(added[name], (a[name] + 0.5 * (b[name] - c[name])).half())


def test_shares_by_block(files, tmp_path):
    a, b = map(load_file, files[:2])
    made = load_file(
        merge_models(Merge(files[0], files[1], blocks=(0.0, 1.0, 0.5, 0.25)), tmp_path / "m.safetensors").target
    )
    shares = dict(zip(sorted(a), (0.0, None, None, 1.0, 0.5, 0.25), strict=True))
    for name, share in shares.items():
        if share is not None:
            torch.testing.assert_close(made[name], a[name] * (1 - share) + b[name] * share)
    with pytest.raises(InvalidRequest, match="4 are needed"):
        merge_models(Merge(files[0], files[1], blocks=(0.5,)), tmp_path / "n.safetensors")


def test_models_that_do_not_fit_are_refused_and_leave_nothing(files, tmp_path):
    other = file_of(tmp_path / "other.safetensors", 5, **{"cond_stage_model.w": lot(2, 2)})
    with pytest.raises(InvalidRequest, match=r"cond_stage_model\.w"):
        merge_models(Merge(files[0], other), tmp_path / "m.safetensors")
    with pytest.raises(InvalidRequest, match="exists already"):
        merge_models(Merge(files[0], files[1]), files[2])
    assert not list(tmp_path.glob("*m.safetensors*"))
    lonely = tmp_path / "lonely.safetensors"
    save_file({"x": lot(1)}, str(lonely))
    with pytest.raises(InvalidRequest, match="no weights of the same names"):
        merge_models(Merge(files[0], lonely), tmp_path / "m.safetensors")


def test_a_cut_of_full_rank_is_the_difference():
    for shape in ((6, 4), (6, 4, 3, 3)):
        difference = lot(*shape)
        up, down = cut(difference, 99)
        torch.testing.assert_close((up.flatten(1) @ down.flatten(1)).reshape(shape), difference)
        first, second = cut(difference, 2)
        singular = torch.linalg.svdvals(difference.flatten(1))
        left = difference.flatten(1) - first.flatten(1) @ second.flatten(1)
        torch.testing.assert_close(left.square().sum(), singular[2:].square().sum())


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The pocket model with changes of low rank in its UNet and text encoder."""
    folder = tmp_path_factory.mktemp("tuned") / "tuned"
    shutil.copytree(POCKET, folder, ignore=shutil.ignore_patterns("lora", "embeddings", "preview", "upscalers"))
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        path = folder / f"{part}.safetensors"
        tensors = load_file(path)
        for place, name in enumerate(sorted(tensors)):
            if name.endswith((".to_v.weight", ".fc1.weight", ".conv1.weight")):
                outputs, inputs = tensors[name].flatten(1).shape
                change = lot(outputs, 2, seed=place) @ lot(2, inputs, seed=place + 1) * 0.02
                tensors[name] = (tensors[name].float() + change.reshape(tensors[name].shape)).to(tensors[name].dtype)
        save_file(tensors, str(path), metadata={"format": "pt"})
    return folder


def options_for(folder):
    return Options(paths=PathOptions(data_dir=folder / "data", models_dir=folder / "models"))


def test_extracting_and_writing_in_give_the_model_back(tuned, tmp_path, capsys):
    lora = tmp_path / "models" / "lora" / "learnt.safetensors"
    lora.parent.mkdir(parents=True)
    options = options_for(tmp_path)
    line = ["extract", str(POCKET), str(tuned), "-o", str(lora), "--rank", "4", "--dtype", "float32", "--json"]
    assert networks_command.run(line, options) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["layers"] > 8
    assert told["kept"] > 0.99
    target = tmp_path / "whole"
    assert networks_command.run(["bake", "pocket", "learnt", "-o", str(target), "--dtype", "float32"], options) == 0
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        made, wanted = (load_file(folder / f"{part}.safetensors") for folder in (target, tuned))
        for name, tensor in wanted.items():
            torch.testing.assert_close(made[name], tensor.float(), rtol=1e-2, atol=2e-3)
    assert json.loads((target / "baked.json").read_text())["networks"][0]["name"] == "learnt"
    assert networks_command.run(["inspect", "learnt", "--json"], options) == 0
    shown = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    assert (shown["methods"], shown["alias"]) == (["LoRA"], "learnt")
    assert networks_command.run(["bake", "pocket", "nothing", "-o", str(target)], options) == 1
    assert "nothing" in capsys.readouterr().err


def test_folders_are_merged_on_the_command_line(tuned, tmp_path, capsys):
    target = tmp_path / "half"
    line = ["merge", str(POCKET), str(tuned), "-o", str(target), "--share", "0.5", "--json"]
    assert models_command.run(line, options_for(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == []
    file = "unet/diffusion_pytorch_model.safetensors"
    one, other, made = (load_file(folder / file) for folder in (POCKET, tuned, target))
    for name, tensor in made.items():
        torch.testing.assert_close(tensor.float(), (one[name].float() + other[name].float()) / 2, rtol=1e-2, atol=1e-3)
    assert (target / "tokenizer" / "vocab.json").is_file()
    assert (target / "vae" / "diffusion_pytorch_model.safetensors").is_file()
    assert models_command.run(line, options_for(tmp_path)) == 1
    assert "exists already" in capsys.readouterr().err


def test_models_that_do_not_differ_give_no_network(tmp_path):
    with pytest.raises(InvalidRequest, match="do not differ"):
        extract_network(Extract(POCKET, POCKET), tmp_path / "none.safetensors")
    assert np.size(list(tmp_path.iterdir())) == 0
