"""Preprocessors with a network: found by their config, shown pictures as their folder says, and the maps they make."""

from __future__ import annotations

import io
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.control import build_unit
from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.control.annotators import WANTED, equip, say_needs
from modules.control.catalog import ControlCatalog
from modules.control.preprocessors import networks
from modules.control.table import ALL
from modules.sd_models.vision import Look
from modules.support.paths import Paths
from tests.factories.annotators import build_anything, build_dpt, build_segformer, build_zoe, write


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path, tmp_path / "models", tmp_path)


def picture(width=48, height=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_without_its_network_a_preprocessor_says_what_to_fetch(paths):
    catalog = ControlCatalog(paths)
    with pytest.raises(UnsupportedFeature, match=r"models pull Intel/dpt-hybrid-midas.*models/annotators"):
        catalog.find_preprocessor("depth")
    lacking = {entry.name for entry in catalog.preprocessors() if entry.needs is not None}
    assert set(WANTED) <= lacking
    assert all(say_needs(name) for name in WANTED)


def test_a_network_that_was_put_there_makes_maps(paths):
    torch.manual_seed(0)
    catalog = ControlCatalog(paths)
    catalog.preprocessors()
    write(paths.models / "annotators" / "my depth", build_dpt())
    fresh = ControlCatalog(paths)
    entry = fresh.find_preprocessor("MiDaS")
    assert (entry.needs, entry.weights) == (None, paths.models / "annotators" / "my depth")
    image = picture()
    found = fresh.see(entry, image)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert (found.min(), found.max()) == (0, 255)
    assert (found[..., 0] == found[..., 2]).all()
    assert np.array_equal(found, fresh.see(entry, image))
    assert not np.array_equal(found, fresh.see(entry, picture(seed=1)))
    shown = fresh.detect(build_unit({"module": "depth_midas", "image": png(image), "pixel_perfect": True}))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown))), found)


def test_networks_are_let_go_of_when_memory_is_wanted(paths):
    torch.manual_seed(0)
    write(paths.models / "annotators" / "depth", build_dpt())
    catalog = ControlCatalog(paths)
    catalog.empty()  # nothing is there yet
    catalog.see(catalog.find_preprocessor("depth"), picture())
    assert catalog._annotators._pool.bytes > 0
    catalog.empty()
    assert catalog._annotators._pool.bytes == 0


def test_the_network_s_own_answer_is_what_is_shown(paths):
    torch.manual_seed(0)
    network = build_anything().eval()
    folder = write(
        paths.models / "annotators" / "anything",
        network,
        size={"height": 56, "width": 56},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
    )
    entry = ControlCatalog(paths).find_preprocessor("depth_anything")
    found = networks.Annotators().see(entry, picture(112, 56))
    with torch.no_grad():
        depth = network(pixel_values=Look.of(folder).show(picture(112, 56))).predicted_depth[0].numpy()
    assert depth.shape == (56, 112)
    assert np.abs(found[..., 0] - (depth - depth.min()) / (depth.max() - depth.min()) * 255).max() <= 1


def test_a_network_of_distances_is_turned_round(paths):
    torch.manual_seed(0)
    network = build_zoe().eval()
    folder = write(paths.models / "annotators" / "zoe", network)
    entry = ControlCatalog(paths).find_preprocessor("depth_zoe")
    found = networks.Annotators().see(entry, picture(64, 64))
    with torch.no_grad():
        depth = network(pixel_values=Look.of(folder).show(picture(64, 64))).predicted_depth[0].numpy()
    assert depth.shape == (64, 64)
    assert found[depth <= np.percentile(depth, 2)].min() == 255
    assert found[depth >= np.percentile(depth, 85)].max() == 0


def test_versions_of_depth_anything_are_told_by_name(paths):
    torch.manual_seed(0)
    hub = paths.hub / "models--depth-anything--Depth-Anything-V2-Small-hf" / "snapshots" / "0123"
    write(hub, build_anything())
    found = {entry.name: entry.weights for entry in equip(ALL, paths.models, paths.hub)}
    assert (found["depth_anything_v2"], found["depth_anything"]) == (hub, None)
    shutil.move(str(hub), paths.models / "annotators" / "Depth-Anything-Small")
    found = {entry.name: entry.weights for entry in equip(ALL, paths.models, paths.hub)}
    assert found["depth_anything_v2"] is None
    assert found["depth_anything"] == paths.models / "annotators" / "Depth-Anything-Small"


def test_segments_have_the_colours_of_their_classes(paths):
    torch.manual_seed(0)
    network = build_segformer()
    with torch.no_grad():
        network.decode_head.classifier.weight.zero_()
        network.decode_head.classifier.bias.zero_()
        network.decode_head.classifier.bias[2] = 1.0  # everything is sky
    write(paths.models / "annotators" / "ade", network)
    write(paths.models / "annotators" / "abc", build_segformer(3))
    entry = ControlCatalog(paths).find_preprocessor("seg_ufade20k")
    assert entry.weights.name == "ade"
    assert (networks.Annotators().see(entry, picture()) == (6, 230, 230)).all()


def test_the_palette_is_that_of_ade20k():
    assert networks.PALETTE.shape == (150, 3)
    assert networks.PALETTE[[0, 12, 149]].tolist() == [[120, 120, 120], [150, 5, 61], [92, 0, 255]]
    assert len(np.unique(networks.PALETTE, axis=0)) == 149  # 6 and 48 share a grey


def test_distances_are_dark_and_nearness_is_bright():
    ramp = torch.linspace(1, 9, 101).reshape(1, 101)
    near, far = networks._brighten(ramp, False)[0], networks._brighten(ramp, True)[0]
    assert (near[0], near[-1]) == (0, 255)
    assert (far[0], far[-1]) == (255, 0)
    assert (np.diff(near) > 0).all()
    assert (np.diff(far) <= 0).all()
    assert (networks._brighten(torch.ones(2, 2), False) == 0).all()
    assert networks.is_metric(SimpleNamespace(model_type="zoedepth"))
    assert networks.is_metric(SimpleNamespace(model_type="depth_anything", depth_estimation_type="metric"))
    assert not networks.is_metric(SimpleNamespace(model_type="dpt"))


def test_a_broken_network_is_named(paths):
    torch.manual_seed(0)
    folder = write(paths.models / "annotators" / "torn", build_dpt())
    (folder / "model.safetensors").write_bytes(b"torn")
    entry = ControlCatalog(paths).find_preprocessor("depth_midas")
    with pytest.raises(BrokenModel, match="torn"):
        ControlCatalog(paths).see(entry, picture())


@pytest.mark.parametrize(
    ("said", "size", "seen"),
    [
        ({}, (1024, 512), (1024, 512)),
        ({"size": {"height": 32, "width": 64}}, (500, 300), (64, 32)),
        (
            {"size": {"height": 518, "width": 518}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
            (600, 400),
            (518, 350),
        ),
        ({"size": {"shortest_edge": 256}, "resample": None}, (300, 500), (256, 416)),
        ({"size": {"shortest_edge": 512}}, (100, 4000), (32, 1344)),
    ],
)
def test_pictures_are_seen_at_the_size_that_the_folder_says(tmp_path, said, size, seen):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    assert Look.of(tmp_path).size_for(*size) == seen


def test_a_preprocessor_config_that_is_none_is_named(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"height": "wide"}}')
    with pytest.raises(BrokenModel, match="preprocessor_config"):
        Look.of(tmp_path)
