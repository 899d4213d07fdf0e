"""Which layouts of ControlNets beside transformers are known, and that single files make the network that was saved."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.control.catalog import ControlCatalog
from modules.control.inspection import inspect
from modules.control.loading import load_control
from modules.support.paths import ROOT, Paths
from tests.factories.token_controls import SINGLE_HEAD, build_beside, stability_names, xlabs_names

PLACE = Placement("cpu", "float32")
AXES = {"axes_dims_rope": (4, 14, 14)}
PIXELS = {"conditioning_embedding_channels": 16, "patch_size": 2, "num_single_layers": 0}
BARE = {"use_pos_embed": False, "pos_embed_type": None, "pos_embed_max_size": None, "joint_attention_dim": None}
LARGE = {**BARE, "num_attention_heads": 1, "attention_head_dim": 64, "force_zeros_for_pooled_projection": False}


@pytest.fixture
def shelf(tmp_path):
    """The folder of ControlNets, and what finds one of them by its name."""
    folder = tmp_path / "models" / "controlnet"
    folder.mkdir(parents=True)
    return folder, lambda name: ControlCatalog(Paths(tmp_path, tmp_path / "models", ROOT)).find_model(name)


def loaded_again(shelf, name, tensors):
    """What is loaded from a file of these tensors."""
    folder, find = shelf
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / f"{name}.safetensors")
    return load_control(find(name), PLACE)


def same(loaded, control):
    """Asserts that all weights are those that were saved."""
    found, wanted = loaded.module.state_dict(), control.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_file_of_xlabs_is_a_network_that_sees_pixels(shelf, tiny_flux_folder):
    control = build_beside(tiny_flux_folder, seed=1, **SINGLE_HEAD, **AXES, **PIXELS)
    loaded = loaded_again(shelf, "lines", xlabs_names(control.state_dict(), 32))
    same(loaded, control)
    assert (loaded.entry.kind, loaded.entry.base, loaded.beside) == ("controlnet", "flux", "flux")
    for name in ("patch_size", "num_layers", "num_single_layers", "guidance_embeds", "axes_dims_rope"):
        assert json.dumps(loaded.module.config[name]) == json.dumps(control.config[name]), name


def test_a_file_of_stability_is_a_network_without_words_and_places(shelf, tiny_sd3_folder):
    control = build_beside(tiny_sd3_folder, seed=1, **LARGE)
    loaded = loaded_again(shelf, "sd35", stability_names(control.state_dict()))
    same(loaded, control)
    assert (loaded.entry.base, loaded.beside, loaded.purpose, loaded.glaring) == ("sd3", "sd3", 1, True)
    for name in (*BARE, "force_zeros_for_pooled_projection", "num_layers"):
        if name != "pos_embed_max_size":
            assert loaded.module.config[name] == control.config[name], name
    deep = {**stability_names(control.state_dict()), "control_type": torch.tensor(2)}
    assert not loaded_again(shelf, "canny-no-more", deep).glaring


def test_a_file_with_a_prefix_and_two_attentions_is_read(shelf, tiny_sd3_folder):
    control = build_beside(
        tiny_sd3_folder, seed=2, qk_norm="rms_norm", dual_attention_layers=(0,), extra_conditioning_channels=1
    )
    loaded = loaded_again(shelf, "dual", {f"controlnet.{name}": one for name, one in control.state_dict().items()})
    same(loaded, control)
    assert tuple(loaded.module.config["dual_attention_layers"]) == (0,)
    assert loaded.module.config["force_zeros_for_pooled_projection"] is True


def test_a_union_for_flux_is_told_by_its_conditions(shelf, tiny_flux_folder):
    folder, find = shelf
    control = build_beside(tiny_flux_folder, seed=3, num_mode=7, **SINGLE_HEAD, **AXES)
    control.save_pretrained(folder / "all-in-one")
    found = find("all-in-one")
    assert (found.kind, found.base) == ("union", "flux")
    loaded = loaded_again(shelf, "all-in-one-file", control.state_dict())
    assert (loaded.kind, loaded.module.config["num_mode"]) == ("union", 7)


def test_a_flux_network_that_sees_a_mask_is_refused(shelf, tiny_flux_folder):
    tensors = dict(build_beside(tiny_flux_folder, seed=4, **SINGLE_HEAD, **AXES).state_dict())
    tensors["controlnet_x_embedder.weight"] = torch.zeros(32, 68)
    with pytest.raises(BrokenModel, match="sees a mask beside the picture"):
        loaded_again(shelf, "masked", tensors)


def test_a_folder_of_another_class_names_those_that_are_known(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "HunyuanDiT2DControlNetModel"}))
    with pytest.raises(BrokenModel, match="QwenImageControlNetModel"):
        inspect(tmp_path)
