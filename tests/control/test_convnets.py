"""Preprocessors with small networks: the layout of the published files, what the networks see, and their maps."""

from __future__ import annotations

import hashlib
import os
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modules.contracts.control import build_unit
from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.control.annotators import SINGLE
from modules.control.catalog import ControlCatalog
from modules.control.hints import Given, make_hint
from modules.control.preprocessors.convnets import drawings, hed, maps, mlsd, pidinet
from modules.control.preprocessors.convnets.opening import open_network
from modules.control.preprocessors.kept import Maps
from modules.support.paths import Paths

LAYOUTS = {
    "softedge_hed": (37, "1abff47ffa7c8015"),
    "softedge_pidinet": (83, "1e6490f0702ad86d"),
    "lineart_realistic": (24, "be92e71c20e52605"),
    "lineart_coarse": (24, "be92e71c20e52605"),
    "lineart_anime": (32, "eb501f6e9629f106"),
    "mlsd": (305, "dc83657b26825be7"),
}
"""Of the published files: how many weights, and a digest of their names and shapes."""


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path, tmp_path / "models", tmp_path)


def picture(width=72, height=56):
    """A bright disc on a ramp."""
    down, across = np.mgrid[:height, :width]
    disc = (across - width / 2) ** 2 + (down - height / 2) ** 2 < (height / 3) ** 2
    return np.stack([across * 2, down * 3, np.where(disc, 220, 30)], 2).astype(np.uint8)


def weights_of(name, seed=0):
    """Random weights under the published names."""
    torch.manual_seed(seed)
    network = maps.ARTISTS[name].build()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return network.state_dict()


def put(paths, name, seed=0, wrap=lambda tensors: tensors, suffix=".pth"):
    """The file of a preprocessor among the models."""
    path = (paths.models / "annotators" / "downloads" / SINGLE[name].file).with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(wrap(weights_of(name, seed)), path)
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_names_and_shapes_are_those_of_the_published_files(name):
    with torch.device("meta"):
        tensors = maps.ARTISTS[name].build().state_dict()
    rows = sorted(f"{key} {list(one.shape)}" for key, one in tensors.items() if not key.endswith("num_batches_tracked"))
    assert (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]) == LAYOUTS[name]


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_without_its_file_a_preprocessor_says_what_to_fetch(paths, name):
    single = SINGLE[name]
    said = rf"{single.file} \({single.size}\).*models pull {single.hub_id} --file {single.file}`"
    with pytest.raises(UnsupportedFeature, match=re.sub(r"\+", r"\+", said)):
        ControlCatalog(paths).find_preprocessor(name)


@pytest.mark.parametrize("name", sorted(SINGLE.keys() & maps.ARTISTS.keys()))
def test_a_published_file_makes_maps(paths, name):
    put(paths, name, wrap=lambda tensors: {"state_dict": {f"module.{key}": one for key, one in tensors.items()}})
    catalog, image = ControlCatalog(paths), picture()
    entry = catalog.find_preprocessor(name)
    found = catalog.see(entry, image)
    assert (found.shape, found.dtype) == (image.shape, np.uint8)
    assert (found[..., 0] == found[..., 2]).all()
    assert np.array_equal(found, catalog.see(entry, image))
    if name != "mlsd":  # random weights are sure of no line
        assert not np.array_equal(found, catalog.see(entry, 255 - image))
    hint = make_hint(entry, build_unit({"module": name, "processor_res": 64}), Given(image), (96, 64), 0, catalog.see)
    assert hint.shape == (64, 96, 3)


def test_a_file_is_found_where_the_hub_s_cache_has_it_and_a_safe_one_comes_first(paths):
    put(paths, "softedge_hed")
    hub = paths.hub / "models--lllyasviel--Annotators" / "snapshots" / "0123"
    hub.mkdir(parents=True)
    (hub / "sk_model.pth").write_bytes(b"")
    safe = paths.models / "annotators" / "ControlNetHED.safetensors"
    save_file(weights_of("softedge_hed"), safe)
    found = {entry.name: entry.weights for entry in ControlCatalog(paths).preprocessors() if entry.needs is None}
    assert (found["lineart_realistic"], found["scribble_hed"]) == (hub / "sk_model.pth", safe)
    assert "lineart_coarse" not in found


def test_what_is_no_file_of_such_weights_is_refused_by_name(paths):
    class Program:
        def __reduce__(self):
            return os.mkdir, (str(paths.models / "ran"),)

    for wrap, said in (
        (lambda tensors: {"state_dict": tensors, "more": Program()}, "wants to use"),
        (lambda tensors: {**tensors, "extra": torch.zeros(1)}, "has besides 1 weights such as extra"),
        (lambda tensors: {key: one for key, one in tensors.items() if key != "norm"}, "lacks 1 weights such as norm"),
        (lambda tensors: {**tensors, "norm": torch.zeros(3)}, r"norm has the shape \[3\] instead of \[1, 3, 1, 1\]"),
    ):
        path = put(paths, "softedge_hed", wrap=wrap)
        with pytest.raises(BrokenModel, match=rf"ControlNetHED.pth .*{said}"):
            open_network(path, hed.Hed)
    path.write_bytes(b"torn")
    with pytest.raises(BrokenModel, match="ControlNetHED.pth was not opened"):
        open_network(path, hed.Hed)
    assert not (paths.models / "ran").exists()


def test_an_edge_where_hed_was_told_to_see_one():
    """Weights by hand: the first level passes the difference of left and right on, everything else is silent."""
    network = hed.Hed().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first = network.get_submodule("block1")
        first.convs[0].weight[0, :, 1] = torch.tensor([-1.0, 0.0, 1.0])
        first.convs[1].weight[0, 0, 1, 1] = 1.0
        first.projection.weight[0, 0] = 1.0
        image = np.zeros((32, 32, 3), np.uint8)
        image[:, 16:] = 255
        found = maps.ARTISTS["softedge_hed"].draw(network, image, ())
        safe = maps.ARTISTS["softedge_hedsafe"].draw(network, image, ())
        strokes = maps.ARTISTS["scribble_hed"].draw(network, image, ())
    assert (found[4:-4, 15:17] == 255).all()
    assert (found[4:-4, :14] == 128).all()  # the probability of nothing is a half
    assert set(np.unique(safe)) == {128, 255}
    assert (strokes[8:-8, 14:18] == 255).all()


def test_differences_see_nothing_where_nothing_differs():
    torch.manual_seed(0)
    weight = torch.randn(4, 2, 3, 3)
    for kind in (pidinet.as_central, pidinet.as_angular, pidinet.as_radial):
        kernel = kind(weight)
        assert kernel.sum((2, 3)).abs().max() < 1e-5
        assert kernel.abs().max() > 0.1
    assert torch.equal(pidinet.as_central(weight)[:, :, 0], weight[:, :, 0])
    assert pidinet.as_radial(weight)[0, 0, 0, 2] == -pidinet.as_radial(weight)[0, 0, 1, 2] == weight[0, 0, 0, 2]


def test_pidinet_sees_blue_first():
    torch.manual_seed(0)
    seen = []
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    maps.ARTISTS["softedge_pidinet"].draw(lambda shown: seen.append(shown) or shown[:, :1], red, ())
    assert seen[0][0, :, 0, 0].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(("width", "height"), [(64, 64), (67, 45)])
def test_drawings_are_turned_to_white_lines_at_the_picture_s_size(width, height):
    torch.manual_seed(0)
    network = drawings.Drawing().eval()
    with torch.no_grad():
        plain = maps.ARTISTS["lineart_coarse"].draw(network, picture(width, height), ())
        network.model4[1].bias.add_(50.0)  # all paper
        paper = maps.ARTISTS["lineart_coarse"].draw(network, picture(width, height), ())
    assert plain.shape == paper.shape == (height, width, 3)
    assert plain.std() > 0
    assert (paper == 0).all()


def test_lines_lie_where_their_middles_and_ends_say():
    answer = torch.full((9, 32, 32), -9.0)
    answer[0, 10, 12], answer[1:5, 10, 12] = 4.0, torch.tensor([-8.0, -4.0, 8.0, 4.0])
    answer[0, 10, 13], answer[1:5, 10, 13] = 3.0, torch.tensor([-8.0, 0.0, 8.0, 0.0])  # beside a likelier one
    answer[0, 25, 25], answer[1:5, 25, 25] = 2.0, torch.tensor([-1.0, 0.0, 1.0, 0.0])  # short
    answer[0, 20, 5], answer[1:5, 20, 5] = -1.0, torch.tensor([0.0, -9.0, 0.0, 9.0])  # unsure
    assert mlsd.find_lines(answer, 0.5, 5.0).tolist() == [[4.0, 6.0, 20.0, 14.0]]
    assert len(mlsd.find_lines(answer, 0.2, 1.0)) == 3
    shown = maps.ARTISTS["mlsd"].draw(lambda seen: answer[None], np.zeros((96, 96, 3), np.uint8), (0.5, 5.0))
    for row, column in ((9, 6), (15, 18), (21, 30)):  # twice the cells, of a picture that was seen at 128 pixels
        assert (shown[row, column] == 255).all()
    assert (shown[:9] == 0).all()


def test_the_thresholds_of_a_unit_reach_the_network(paths, monkeypatch):
    put(paths, "mlsd")
    given = []
    monkeypatch.setattr(maps, "find_lines", lambda answer, sure, long: given.append((sure, long)) or np.zeros((0, 4)))
    catalog = ControlCatalog(paths)
    entry = catalog.find_preprocessor("mlsd_lines")
    for values in ({}, {"threshold_a": 0.3, "threshold_b": 12}):
        make_hint(entry, build_unit({"module": "mlsd", **values}), Given(picture()), (64, 64), 0, catalog.see)
    assert given == [(0.1, 0.1), (0.3, 12)]


def test_a_picture_is_looked_at_once(paths, monkeypatch):
    put(paths, "softedge_hed")
    catalog, image, looks = ControlCatalog(paths), picture(), []
    forward = hed.Hed.forward
    monkeypatch.setattr(hed.Hed, "forward", lambda self, seen: looks.append(1) or forward(self, seen))
    entry = catalog.find_preprocessor("softedge_hed")
    unit = build_unit({"module": "softedge_hed", "processor_res": 64})
    for size in ((64, 48), (128, 96), (64, 48)):  # a hires pass has another size, and the same picture
        make_hint(entry, unit, Given(image), size, 0, catalog.see)
    assert len(looks) == 1
    for size in ((64, 48), (128, 96)):
        make_hint(entry, build_unit({"module": "hed", "pixel_perfect": True}), Given(image), size, 0, catalog.see)
    assert len(looks) == 3
    catalog.see(catalog.find_preprocessor("softedge_hedsafe"), image)
    put(paths, "softedge_hed", seed=1)  # another file under the same name
    catalog.see(entry, image)
    assert len(looks) == 5
    with pytest.raises(ValueError, match="read-only"):
        catalog.see(entry, image)[0] = 0
    catalog.empty()
    catalog.see(entry, image)
    assert len(looks) == 6


def test_the_oldest_maps_go_first():
    kept, made = Maps(3 * 12), []

    def ask(number):
        made.append(number)
        return np.full((2, 2, 3), number, np.uint8)

    for number in (0, 1, 2, 0, 3, 0, 1):
        found = kept.get("map", np.full((2, 2, 3), number, np.uint8), lambda number=number: ask(number))
        assert (found == number).all()
    assert made == [0, 1, 2, 3, 1]
