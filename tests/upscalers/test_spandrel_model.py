"""Files of upscalers are opened by their architecture, do what their weights say, and are refused with a reason."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from safetensors.torch import save_file

from modules.contracts.catalog import UpscalerEntry
from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.upscalers.spandrel_model import check_upscaler, load_upscaler
from tests.factories.upscalers import compact_tensors, write_compact


def entry(path, **more):
    return UpscalerEntry(path.stem, latent=False, path=path, **more)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_network_enlarges_by_its_own_factor_and_says_what_its_weights_say(tmp_path, scale):
    path = write_compact(tmp_path / "net.safetensors", scale, (0.25, 0.0, 0.0))
    model = load_upscaler(entry(path))
    small = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)) * 0.5
    large = model.forward(small)
    assert model.scale == scale
    assert (large.dtype, large.shape) == (torch.float32, (2, 3, 5 * scale, 7 * scale))
    repeated = small.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    assert torch.allclose(large[:, 0], repeated[:, 0] + 0.25, atol=1e-3)
    assert torch.allclose(large[:, 1:], repeated[:, 1:], atol=1e-3)


def test_it_is_applied_again_until_the_size_is_reached(tmp_path):
    model = load_upscaler(entry(write_compact(tmp_path / "net.safetensors", 2)))
    assert [model.steps_to((64, 64), (side, 64)) for side in (32, 128, 129, 256, 5000)] == [1, 1, 2, 2, 3]
    repair = load_upscaler(entry(write_compact(tmp_path / "repair.safetensors", 1)))
    assert repair.steps_to((64, 64), (256, 256)) == 1


def test_other_files_are_refused_with_the_reason(tmp_path):
    cases = {
        "strange": ({"what.weight": torch.zeros(3)}, "of no architecture that spandrel knows"),
        "grey": (
            compact_tensors(2) | {"body.0.weight": torch.zeros(4, 1, 3, 3), "body.4.weight": torch.zeros(4, 4, 3, 3)},
            "takes 1 channels and makes 1",
        ),
    }
    cases["grey"][0]["body.4.bias"] = torch.zeros(4)
    for name, (tensors, reason) in cases.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(BrokenModel, match=rf"{name}\.safetensors.*({reason})"):
            load_upscaler(entry(tmp_path / f"{name}.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BrokenModel, match=r"cut\.safetensors cannot be opened"):
        load_upscaler(entry(tmp_path / "cut.safetensors"))
    with pytest.raises(BrokenModel, match="it is a pickle"):
        load_upscaler(entry(tmp_path / "old.pth", problem="it is a pickle"))


def test_without_spandrel_the_way_to_get_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedFeature, match=r"'net'.*python launch\.py --extra upscale"):
        check_upscaler(entry(tmp_path / "net.safetensors"))
    check_upscaler(UpscalerEntry("Lanczos", latent=False))
