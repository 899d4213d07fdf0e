"""Reading weights: types, names and places."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.sd_models.tensors import dtype_of, group_of, read_tensors

FLOAT = Placement("cpu", "float32")


@pytest.fixture
def file(tmp_path):
    """Weights in several types."""
    tensors = {
        "half": torch.ones(3, dtype=torch.float16),
        "eight": torch.tensor([1.0, -2.0]).to(torch.float8_e4m3fn),
        "whole": torch.arange(3),
        "block.wo.weight": torch.ones(2, dtype=torch.bfloat16),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def test_floating_weights_take_the_wanted_type_and_others_keep_theirs(file):
    found = read_tensors([file], FLOAT)
    assert {name: value.dtype for name, value in found.items()} == {
        "half": torch.float32,
        "eight": torch.float32,
        "whole": torch.int64,
        "block.wo.weight": torch.float32,
    }
    assert found["eight"].tolist() == [1.0, -2.0]


def test_named_weights_stay_in_32_bits(file):
    found = read_tensors([file], Placement("cpu", "float16"), keep_float32=("wo",))
    assert found["block.wo.weight"].dtype == torch.float32
    assert found["half"].dtype == torch.float16


def test_only_wanted_weights_are_read(file):
    counted = []
    found = read_tensors(
        [file], FLOAT, rename=lambda name: "renamed" if name == "half" else None, advance=counted.append
    )
    assert list(found) == ["renamed"]
    assert counted == [6]


def test_a_damaged_file_is_named(file):
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(BrokenModel, match=r"x\.safetensors cannot be read"):
        read_tensors([file], FLOAT)


def test_names_that_torch_does_not_have_are_refused():
    assert dtype_of(Placement("cpu", "bfloat16")) is torch.bfloat16
    for name in ("float12", "nn", "cuda"):
        with pytest.raises(ValueError, match=name):
            dtype_of(Placement("cpu", name))


def test_every_part_has_a_group():
    groups = {"unet": "denoiser", "transformer": "denoiser", "vae": "vae", "text_encoder_3": "text_encoder"}
    assert {part: group_of(part) for part in groups} == groups


def test_a_file_that_is_gone_is_named_without_its_folder(tmp_path):
    with pytest.raises(BrokenModel, match=r"gone.safetensors cannot be read") as caught:
        read_tensors([tmp_path / "gone.safetensors"], FLOAT)
    assert str(tmp_path) not in caught.value.message
