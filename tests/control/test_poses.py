"""Figures of people: from heatmaps to keypoints in the picture, and to the colours that ControlNets read."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modules.control.annotators import equip
from modules.control.preprocessors import networks
from modules.control.preprocessors.poses import HUES, Cutting, draw_figures, to_openpose
from modules.control.table import ALL
from modules.support.paths import Paths

WIDTH, HEIGHT = 160, 240
"""Of the picture."""
STANDING = {
    **{0: (80, 40), 1: (86, 34), 2: (74, 34), 3: (92, 38), 4: (68, 38), 5: (100, 70), 6: (60, 70), 7: (110, 105)},
    **{8: (50, 105), 9: (114, 140), 10: (46, 140), 11: (94, 140), 12: (66, 140), 13: (96, 180), 14: (64, 180)},
    **{15: (98, 220), 16: (62, 220)},
}
"""COCO's keypoints of somebody who stands and is seen from the front."""


def heatmaps_of(points, cutting, size=(48, 64)):
    """Gaussians where a network sees those keypoints of the picture in that part of it."""
    width, height = size
    down, across = np.mgrid[:height, :width]
    found = np.zeros((17, height, width), np.float32)
    for number, point in points.items():
        place = (np.array(point) - cutting.corner) * (np.array(size) - 1) / np.array(cutting.size)
        found[number] = np.exp(-((across - place[0]) ** 2 + (down - place[1]) ** 2) / (2 * 2.0**2))
    return found


class Seeing:
    """A network that always sees the standing one, and keeps what it was shown."""

    def __init__(self, cutting, points=STANDING, experts=1):
        self.config = SimpleNamespace(
            model_type="vitpose", backbone_config=SimpleNamespace(image_size=[256, 192], num_experts=experts)
        )
        self.heatmaps, self.asked = heatmaps_of(points, cutting), []

    def __call__(self, **given):
        self.asked.append(given)
        return SimpleNamespace(heatmaps=torch.from_numpy(self.heatmaps)[None])


def see_as(network, boxes, size=(HEIGHT, WIDTH)):
    loaded = networks._Loaded(network, networks.Look({"height": 1, "width": 1}))
    return networks._draw_people(loaded, np.zeros((*size, 3), np.uint8), boxes)


def test_keypoints_are_found_between_the_cells():
    cutting = Cutting.of((30, 20, 130, 230), 192 / 256)
    points = cutting.find_points(heatmaps_of(STANDING, cutting))
    assert np.abs(points[:, :2] - np.array([STANDING[number] for number in range(17)])).max() < 0.2
    assert (points[:, 2] > 0.8).all()


def test_a_cutting_has_room_and_the_ratio_of_the_network():
    cutting = Cutting.of((30, 20, 130, 230), 0.75)
    assert cutting.middle == (80, 125)
    assert cutting.size == pytest.approx((157.5 * 1.25, 210 * 1.25))
    assert Cutting.of((0, 0, 300, 40), 0.75).size == pytest.approx((375, 500))


def test_what_is_cut_out_lies_where_it_lay():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[100, 90] = 255
    cutting = Cutting.of((60, 60, 120, 140), 0.75)
    cut = cutting.cut(image, (192, 256))
    row, column = np.unravel_index(cut[..., 0].argmax(), cut.shape[:2])
    back = np.array([column, row]) * np.array(cutting.size) / (np.array([192, 256]) - 1) + cutting.corner
    assert np.abs(back - [90, 100]).max() < 0.5
    assert (Cutting.of((-50, -50, -10, -10), 0.75).cut(image, (192, 256)) == 0).all()  # beyond the picture


def test_joints_have_openpose_s_colours_where_they_are():
    box = (30, 20, 130, 230)
    network = Seeing(Cutting.of(box, 192 / 256))
    shown = see_as(network, [box])
    assert shown.shape == (HEIGHT, WIDTH, 3)
    joints = {0: STANDING[0], 1: (80, 70), 2: STANDING[6], 4: STANDING[10], 5: STANDING[5], 7: STANDING[9]}
    joints |= {8: STANDING[12], 10: STANDING[16], 13: STANDING[15], 14: STANDING[2], 17: STANDING[3]}
    for number, (x, y) in joints.items():
        assert shown[y, x].tolist() == HUES[number].tolist(), number
    assert shown[160, 65].tolist() == (HUES[7] * 0.6).astype(int).tolist()  # from the right hip to the knee
    assert (shown[:10] == 0).all()
    assert network.asked[0]["pixel_values"].shape == (1, 3, 256, 192)
    assert "dataset_index" not in network.asked[0]


def test_what_is_not_seen_is_not_drawn():
    box = (30, 20, 130, 230)
    upper = {number: point for number, point in STANDING.items() if number not in (5, 15)}
    shown = see_as(Seeing(Cutting.of(box, 192 / 256), upper, experts=6), [box])
    colours = {tuple(colour) for colour in shown.reshape(-1, 3).tolist()}
    assert tuple(HUES[3].tolist()) in colours
    for number in (1, 5, 13):  # the neck lies between two shoulders, of which one is missing
        assert tuple(HUES[number].tolist()) not in colours


def test_every_person_is_drawn():
    points = to_openpose(np.array([[*STANDING[number], 1.0] for number in range(17)], np.float32))
    moved = [(x + 160, y) for x, y in points]
    both, one = draw_figures([points, moved], (HEIGHT, 320)), draw_figures([points], (HEIGHT, 320))
    assert np.array_equal(both[:, :150], one[:, :150])
    assert np.array_equal(both[:, 165:], one[:, 5:160])
    assert (draw_figures([], (8, 8)) == 0).all()


def build_pose():
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

    backbone = VitPoseBackboneConfig(
        image_size=[32, 24], patch_size=[8, 8], hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=1
    )
    labels = {number: str(number) for number in range(17)}
    return VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, id2label=labels))


def build_finder():
    """Sees three people, wherever they may be."""
    from transformers import YolosConfig, YolosForObjectDetection

    network = YolosForObjectDetection(
        YolosConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=[32, 32],
            patch_size=8,
            num_detection_tokens=3,
            id2label={0: "cat", 1: "person"},
        )
    )
    last = network.class_labels_classifier.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    return network


@pytest.mark.parametrize("found", [True, False])
def test_a_network_looks_at_each_person_who_was_found(tmp_path, found, monkeypatch):
    torch.manual_seed(0)
    paths = Paths(tmp_path, tmp_path / "models", tmp_path)
    build_pose().save_pretrained(paths.models / "annotators" / "pose")
    if found:
        folder = paths.models / "detectors" / "people"
        build_finder().save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}}))
    (entry,) = (entry for entry in equip(ALL, paths.models, paths.hub) if entry.name == "openpose")
    people = []
    monkeypatch.setattr(networks, "draw_figures", lambda seen, size: people.extend(seen) or draw_figures(seen, size))
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    shown = networks.Annotators().see(entry, image)
    assert shown.shape == image.shape
    assert len(people) == (3 if found else 1)
