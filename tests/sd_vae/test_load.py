"""Loading: every layout gives the same autoencoder, and what cannot be used says why."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.contracts.catalog import FileEntry
from modules.contracts.errors import BrokenModel, InvalidRequest, UnknownModel
from modules.sd_vae.decode import decode, encode
from modules.sd_vae.load import load_vae
from tests.factories import ldm_keys, parts
from tests.sd_vae.vaes import kind, tiny


def entry(path, problem=None):
    return FileEntry(path.stem, path, "vae", problem)


@pytest.fixture(scope="module")
def vae():
    return kind("sd15")


@pytest.fixture(scope="module")
def folder(vae, tmp_path_factory):
    path = tmp_path_factory.mktemp("vae") / "mine"
    vae.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def weights(folder):
    return load_file(folder / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def original(weights, vae):
    """The weights under the names of the original code."""
    return ldm_keys.vae(weights, len(vae.config.block_out_channels))


def load(path, reference=None, **changes):
    options = {"dtype": "float32", "device": "cpu", "reference_config": reference} | changes
    return load_vae(entry(path), **options)


def assert_same(found, vae):
    expected = vae.state_dict()
    assert set(found.state_dict()) == set(expected)
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_a_diffusers_folder(folder, vae):
    found = load(folder)
    assert_same(found, vae)
    assert found.config.scaling_factor == vae.config.scaling_factor
    assert not found.training


def test_a_diffusers_folder_of_the_fp16_variant(vae, tmp_path):
    kind("sd15").half().save_pretrained(tmp_path / "half", variant="fp16")
    found = load(tmp_path / "half", dtype=torch.float16)
    assert found.dtype == torch.float16


def test_a_file_with_diffusers_names(weights, vae, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors", dict(vae.config))
    assert_same(found, vae)
    assert found.config.norm_num_groups == vae.config.norm_num_groups


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_file_with_original_names_bare_or_inside_a_checkpoint(original, vae, folder, tmp_path, prefix):
    tensors = {prefix + name: tensor for name, tensor in original.items()}
    if prefix:
        tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(3)
    save_file(tensors, tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors", folder)
    assert_same(found, vae)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(decode(found, latents), decode(vae, latents), atol=1e-6)


def test_the_scale_of_the_latents_comes_from_the_reference(original, tmp_path):
    save_file(original, tmp_path / "a.safetensors")
    reference = {"scaling_factor": 0.13025, "latent_channels": 4, "norm_num_groups": 8}
    assert load(tmp_path / "a.safetensors", reference).config.scaling_factor == 0.13025


def test_without_a_reference_the_shapes_alone_are_enough(original, tmp_path):
    save_file(original, tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors")
    assert tuple(found.config.block_out_channels) == (32, 32, 32, 32)
    assert found.config.latent_channels == 4


def test_sixteen_channels_without_quantising_convolutions(tmp_path):
    source = kind("sd3")
    source.save_pretrained(tmp_path / "source")
    tensors = load_file(tmp_path / "source" / "diffusion_pytorch_model.safetensors")
    save_file(ldm_keys.vae(tensors, 4), tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors", tmp_path / "source")
    assert_same(found, source)
    assert found.config.shift_factor == 0.0609


def test_attention_named_as_in_old_diffusers(weights, vae, tmp_path):
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, tensor in weights.items():
        for new, was in names.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{was}.")
        old[name] = tensor
    assert set(old) != set(weights)
    save_file(old, tmp_path / "a.safetensors")
    assert_same(load(tmp_path / "a.safetensors", dict(vae.config)), vae)


def test_a_tiny_autoencoder_from_file_and_folder(tmp_path):
    source = tiny()
    source.save_pretrained(tmp_path / "taesd")
    for path in (tmp_path / "taesd", tmp_path / "taesd" / "diffusion_pytorch_model.safetensors"):
        found = load(path)
        assert type(found).__name__ == "AutoencoderTiny"
        assert_same(found, source)
        assert encode(found, torch.zeros(1, 3, 64, 64)).shape == (1, 4, 8, 8)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
def test_pickles_are_refused_with_the_way_to_convert_them(tmp_path, suffix):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"\x80\x02")
    with pytest.raises(BrokenModel, match=rf"python launch.py models convert bad\{suffix}"):
        load(path)


def test_a_folder_with_pickled_weights_only_is_refused_too(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(BrokenModel, match="models convert diffusion_pytorch_model.bin"):
        load(tmp_path)


def test_another_number_of_channels_is_refused_naming_both(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(InvalidRequest, match=r"4 latent channels; this model needs one with 16"):
        load(tmp_path / "a.safetensors", {"latent_channels": 16, "scaling_factor": 1.5305})


def test_a_truncated_file_is_broken(folder, tmp_path):
    data = (folder / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(BrokenModel, match=r"a\.safetensors cannot be read"):
        load(tmp_path / "a.safetensors")


def test_a_file_that_is_no_autoencoder_is_broken(tmp_path):
    save_file({"lora_unet_up.weight": torch.zeros(4)}, tmp_path / "a.safetensors")
    with pytest.raises(BrokenModel, match="not an autoencoder"):
        load(tmp_path / "a.safetensors")


def test_a_decoder_alone_is_no_vae(weights, tmp_path):
    half = {name: tensor for name, tensor in weights.items() if name.startswith("decoder")}
    save_file(half, tmp_path / "a.safetensors")
    with pytest.raises(BrokenModel, match="encoder or decoder is missing"):
        load(tmp_path / "a.safetensors")


def test_a_missing_tensor_is_named(weights, vae, tmp_path):
    fewer = {name: tensor for name, tensor in weights.items() if name != "decoder.conv_norm_out.weight"}
    save_file(fewer, tmp_path / "a.safetensors")
    with pytest.raises(BrokenModel, match=r"lacks 1 of its tensors, the first is decoder\.conv_norm_out\.weight"):
        load(tmp_path / "a.safetensors", dict(vae.config))


def test_what_is_not_there_and_what_the_catalogue_calls_broken(tmp_path):
    with pytest.raises(UnknownModel, match="is missing"):
        load(tmp_path / "gone.safetensors")
    with pytest.raises(BrokenModel, match="it has a hole"):
        load_vae(entry(tmp_path / "x.safetensors", "it has a hole"), "float32", "cpu")


@pytest.mark.parametrize(
    ("config", "words"),
    [("{", "no readable config.json"), (json.dumps({"_class_name": "UNet2DConditionModel"}), "UNet2DConditionModel")],
)
def test_a_folder_that_is_no_vae(tmp_path, config, words):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(BrokenModel, match=words):
        load(tmp_path)


def test_a_folder_without_weights(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(BrokenModel, match="has no weights"):
        load(tmp_path)


def test_a_sharded_folder(tmp_path):
    with parts.seeded(5):
        source = parts.vae()
    source.save_pretrained(tmp_path / "shards", max_shard_size="200KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert_same(load(tmp_path / "shards"), source)


def test_a_folder_without_its_config_is_named_without_its_place(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(BrokenModel, match="'folder' has no readable config.json") as caught:
        load_vae(entry(tmp_path / "folder"), "float32", "cpu")
    assert str(tmp_path) not in caught.value.message
