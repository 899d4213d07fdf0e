"""Faces are cut out upright, put back softly and nowhere else, and networks get what they were trained on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from modules.contracts.catalog import RestorerEntry
from modules.contracts.errors import BrokenModel, InvalidRequest, UnsupportedFeature
from modules.upscalers import face_network
from modules.upscalers.face_alignment import TEMPLATE, Placing, cut_face, place_by_box, place_by_points, put_back
from modules.upscalers.face_network import FaceNetwork, check_restorer, find_restorer


def entry(name, kind, problem=None):
    return RestorerEntry(name, kind, Path(f"{name}.safetensors"), problem)


def speckled(width, height):
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("turn", [complex(1, 0), complex(2, -0.5), complex(0.3, 0.4)])
def test_a_turned_face_is_told_by_its_points(turn):
    wanted = Placing(turn, complex(-40, 25))
    points = [((complex(*point) - wanted.shift) / turn) for point in TEMPLATE]
    found = place_by_points([(point.real, point.imag) for point in points])
    assert abs(found.turn - turn) < 1e-9
    assert abs(found.shift - wanted.shift) < 1e-6


def test_points_that_are_no_face_give_no_place():
    assert place_by_points([(5.0, 5.0)] * 5) is None


@pytest.mark.parametrize("turn", [complex(1.5, 0.6), complex(0.5, -0.3)])
def test_eyes_and_mouth_come_to_lie_where_networks_expect_them(turn):
    placing = Placing(turn, complex(30, 60))
    points = [(complex(*point) - placing.shift) / turn for point in TEMPLATE]
    low = min(min(point.real, point.imag) for point in points) - 40
    points = [point - complex(low, low) for point in points]
    image = Image.new("RGB", (1100, 1100), "white")
    for point in points:
        ImageDraw.Draw(image).circle((point.real, point.imag), 12, fill="black")
    placing = place_by_points([(point.real, point.imag) for point in points])
    face = cut_face(np.asarray(image), placing)
    for x, y in TEMPLATE:
        assert face[round(y), round(x)].max() < 60
    assert face[256, 100].min() > 200


def test_a_box_puts_its_middle_in_the_middle():
    placing = place_by_box((100, 50, 200, 250))
    where = placing.turn * complex(150, 150) + placing.shift
    assert (where.real, where.imag) == pytest.approx((256, 278))
    assert placing.scale == pytest.approx(345 / 200)


@pytest.mark.parametrize("turn", [complex(2, 0), complex(0.8, 0.9), complex(0.4, -0.1)])
def test_only_the_face_changes_and_by_its_share(turn):
    picture = speckled(1400, 1300)
    placing = Placing(turn, complex(256, 256) - turn * complex(650, 600))
    red = np.zeros((512, 512, 3), np.uint8)
    red[..., 0] = 255
    whole, half = (put_back(picture, red, placing, share) for share in (1.0, 0.5))
    assert tuple(whole[600, 650]) == (255, 0, 0)
    assert abs(half[600, 650].astype(int) - np.add(picture[600, 650], (255, 0, 0), dtype=int) / 2).max() <= 1
    places = np.indices(picture.shape[:2])
    aligned = turn * (places[1] + 1j * places[0]) + placing.shift
    outside = (np.minimum(aligned.real, aligned.imag) < -1) | (np.maximum(aligned.real, aligned.imag) > 513)
    assert outside.any()
    assert np.array_equal(whole[outside], picture[outside])
    assert np.array_equal(put_back(picture, red, placing, 0.0), picture)


def test_a_face_beyond_the_edge_and_one_outside_do_no_harm():
    picture, red = speckled(60, 40), np.full((512, 512, 3), 9, np.uint8)
    part = put_back(picture, red, place_by_box((-20, -20, 20, 20)), 1.0)
    assert tuple(part[2, 2]) == (9, 9, 9)
    assert np.array_equal(part[-1, -1], picture[-1, -1])
    assert np.array_equal(put_back(picture, red, place_by_box((900, 900, 950, 950)), 1.0), picture)


def test_a_face_that_nothing_was_done_to_stays_as_it_was():
    smooth = np.asarray(Image.fromarray(speckled(20, 20)).resize((800, 800), Image.Resampling.BICUBIC))
    placing = Placing(complex(1.6, 0.3), complex(-300, -420))
    made = put_back(smooth, cut_face(smooth, placing), placing, 1.0)
    assert abs(made.astype(int) - smooth).max() <= 4


def test_a_restorer_is_named_by_file_or_kind():
    entries = [entry("bad", None, "bad.pth is a pickle."), entry("GFPGANv1.3", "gfpgan"), entry("GFPGANv1.4", "gfpgan")]
    assert find_restorer("gfpganV1.4", entries).name == "GFPGANv1.4"
    assert find_restorer(" GFPGAN ", entries).name == "GFPGANv1.3"
    with pytest.raises(InvalidRequest, match=r"GFPGANv1\.3, GFPGANv1\.4\. Put codeformer.*models/Codeformer"):
        find_restorer("CodeFormer", entries)
    with pytest.raises(InvalidRequest, match=r"known are none\. Put GFPGANv1\.4\.safetensors .* models/GFPGAN"):
        find_restorer("GFPGAN", [])
    with pytest.raises(BrokenModel, match="pickle"):
        check_restorer(find_restorer("bad", entries))


def test_what_is_missing_is_said_with_its_licence(monkeypatch):
    absent = {"spandrel_extra_arches"}
    monkeypatch.setattr(face_network.importlib.util, "find_spec", lambda name: None if name in absent else object())
    check_restorer(entry("faces", "gfpgan"))
    with pytest.raises(UnsupportedFeature, match="spandrel_extra_arches.*forbids commercial use"):
        check_restorer(entry("faces", "codeformer"))
    absent.add("spandrel")
    with pytest.raises(UnsupportedFeature, match="launch.py --extra upscale"):
        check_restorer(entry("faces", "gfpgan"))


def tiny_gfpgan():
    """GFPGAN's clean architecture at 32 pixels, with noise that shows unless it is the stored one."""
    from spandrel.architectures.GFPGAN import GFPGAN

    torch.manual_seed(0)
    network = GFPGAN(out_size=32, num_style_feat=8, channel_multiplier=1, num_mlp=1, input_is_latent=True,
                     different_w=True, narrow=0.03125, sft_half=True)  # fmt: skip
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith(".weight") and value.shape == (1,):
                value.fill_(0.5)
    return network.eval()


def test_gfpgan_is_given_its_range_and_draws_the_same_face_twice():
    network = tiny_gfpgan()
    wrapped = FaceNetwork(SimpleNamespace(model=network, device=torch.device("cpu"), dtype=torch.float32), "gfpgan")
    face = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    first = wrapped.forward(face)
    assert torch.equal(first, wrapped.forward(face))
    with torch.no_grad():
        wild = [(network(face[:1] * 2 - 1)[0] + 1) / 2 for _ in range(2)]
        plain = (network(face[:1] * 2 - 1, randomize_noise=False)[0] + 1) / 2
    assert not torch.equal(*wild)
    assert torch.equal(first[:1], plain.clamp(0, 1))
    assert first.shape == face.shape


def test_codeformer_gets_its_weight():
    class Network(torch.nn.Module):
        def forward(self, face, weight=0.5):
            return (face * weight,)

    wrapped = FaceNetwork(
        SimpleNamespace(model=Network(), device=torch.device("cpu"), dtype=torch.float32), "codeformer"
    )
    white = torch.ones(1, 3, 8, 8)
    assert [float(wrapped.forward(white, weight).mean()) for weight in (0.0, 0.5, 1.0)] == [0.5, 0.75, 1.0]
