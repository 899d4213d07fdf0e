"""A training that goes on from a family that is there."""

import numpy as np
import pytest
import torch

from modules.pocket.sampling import MODEL
from modules.pocket.stages.base import open_base, to_tensor
from modules.pocket.stages.begin import begin
from modules.pocket.stages.latents import encode_pictures, whitened_vae
from modules.pocket.stages.samples import world_sample
from modules.pocket.stages.text import embed, load_text
from modules.pocket.stages.transformer import load_transformer
from modules.pocket.stages.unet import load_unet
from modules.training.journal import Average
from modules.training.loop import Loop
from modules.training.muon import Optimiser


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    begin(folder, MODEL, MODEL.with_name("pocket-mmdit"))
    return folder


def test_what_goes_on_is_what_was_shipped(begun):
    base = open_base(MODEL)
    picture = world_sample(3, 64).picture[None]
    words = ["a red circle on a white background"]
    vae, (tokenizer, encoder) = whitened_vae(begun), load_text(begun)
    assert torch.allclose(encode_pictures(vae, to_tensor(picture)), base.encode(picture), atol=0.05)
    assert torch.allclose(embed(tokenizer, encoder, words), base.embed(words), atol=1e-5)
    latents, times = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([400])
    said = [unet(latents, times, base.embed(words), return_dict=False)[0] for unet in (load_unet(begun), base.unet)]
    assert torch.allclose(said[0], said[1], atol=1e-5)
    network = load_transformer(begun)
    assert np.isfinite(sum(value.sum().item() for value in network.state_dict().values()))


def test_a_loop_goes_on_from_weights_alone(begun, tmp_path):
    unet = load_unet(begun).train().requires_grad_(True)
    with torch.no_grad():
        for value in unet.parameters():
            value.zero_()
    (tmp_path / "unet.pt").write_bytes((begun / "unet.pt").read_bytes())
    loop = Loop("unet", tmp_path, unet, Optimiser(unet, muon_lr=0.02, adam_lr=2e-3), Average(unet, 0.998))
    loop.resume()
    wanted = load_unet(begun).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in unet.state_dict().items())
    assert loop.step == 0


def test_a_training_that_is_there_is_not_overwritten(begun):
    before = (begun / "unet.pt").read_bytes()
    with pytest.raises(FileExistsError, match=r"unet\.pt.*--work"):
        begin(begun, MODEL, MODEL.with_name("pocket-mmdit"))
    assert (begun / "unet.pt").read_bytes() == before


def test_without_a_base_it_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="vae"):
        begin(tmp_path / "work", tmp_path / "nothing", tmp_path / "neither")
    assert not (tmp_path / "work").exists()
