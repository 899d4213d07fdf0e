"""Hands and faces: DWPose's keypoints in the picture and in the colours that ControlNets read."""

from __future__ import annotations

import numpy as np
import pytest

from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.control.annotators import equip
from modules.control.figures import FIGURES
from modules.control.preprocessors.networks import Annotators
from modules.control.preprocessors.poses import HUES, Cutting
from modules.control.table import ALL, find_preprocessor
from modules.support.paths import Paths
from tests.factories.onnx import write_dwpose, write_yolo

SIDES = (288, 384)
FILE = "dw-ll_ucoco_384.onnx"
NOSE, JAW, WRIST, THUMB, TIP = 0, 23, 91, 92, 111
"""Of the body, the face, and the left hand: its wrist, the first joint of the thumb, the end of the little finger."""
PLACES = {NOSE: (0.5, 0.25), JAW: (0.625, 0.25), WRIST: (0.25, 0.5), THUMB: (0.25, 0.75), TIP: (0.75, 0.75)}
PLACES |= {107 + joint: (0.75, 0.5 + joint / 16) for joint in range(1, 5)}
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
SHAPE = (480, 360)


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """The preprocessors with a network that sees a nose, a jaw and a hand in what is red."""
    folder = tmp_path_factory.mktemp("poses")
    paths = Paths(folder / "data", folder / "models", folder)
    write_dwpose(paths.models / "annotators" / FILE, PLACES)
    return {entry.name: entry for entry in equip(ALL, paths.models, paths.hub)}


@pytest.fixture(scope="module")
def draw(entries):
    """The map of a picture of one colour."""
    annotators = Annotators()

    def draw(name, colour=RED):
        return annotators.see(entries[name], np.full((*SHAPE, 3), colour, np.uint8))

    yield draw
    annotators.empty()


def places():
    """Where the keypoints lie in the picture, which is taken for one person."""
    height, width = SHAPE
    cutting = Cutting.of((0, 0, width - 1, height - 1), SIDES[0] / SIDES[1])
    spots = {number: np.array(place) * cutting.size + cutting.corner for number, place in PLACES.items()}
    return {number: tuple(np.rint(spot).astype(int).tolist()) for number, spot in spots.items()}


def colour_at(picture, number):
    x, y = places()[number]
    return tuple(picture[y, x].tolist())


NOBODY = (0, 0, 0)


@pytest.mark.parametrize("name", FIGURES)
def test_each_draws_what_its_name_says(draw, name):
    shown, parts = draw(name), FIGURES[name]
    assert shown.shape == (*SHAPE, 3)
    assert colour_at(shown, NOSE) == (tuple(HUES[0].tolist()) if parts.body else NOBODY)
    assert colour_at(shown, JAW) == (WHITE if parts.face else NOBODY)
    assert {colour_at(shown, number) for number in (WRIST, THUMB, TIP)} == {BLUE if parts.hands else NOBODY}


def test_fingers_are_lines_in_the_colours_of_the_rainbow(draw):
    shown, spots = draw("openpose_full"), places()
    (left, top), (right, bottom) = spots[WRIST], spots[THUMB]
    assert tuple(shown[(top + bottom) // 2, (left + right) // 2].tolist()) == RED  # the first of twenty hues
    (left, top), (right, bottom) = spots[110], spots[TIP]
    assert tuple(shown[(top + bottom) // 2, (left + right) // 2].tolist()) == (255, 0, 77)  # the last
    assert not shown[:, : spots[WRIST][0] - 20].any()  # the right hand is not seen


def test_what_the_network_is_not_sure_of_is_not_drawn(draw):
    """It sees in red pictures only, so red is its first channel."""
    assert draw("openpose_full", RED).any()
    assert not draw("openpose_full", BLUE).any()


def test_equal_pictures_give_the_same_map(draw):
    assert draw("openpose_hand") is draw("openpose_hand")


def test_without_the_file_it_is_said_what_is_needed(tmp_path):
    paths = Paths(tmp_path / "data", tmp_path / "models", tmp_path)
    with pytest.raises(UnsupportedFeature, match=r"models pull yzd-v/DWPose --file dw-ll_ucoco_384\.onnx"):
        find_preprocessor("openpose_full", equip(ALL, paths.models, paths.hub))


def test_another_network_under_that_name_is_refused(tmp_path):
    paths = Paths(tmp_path / "data", tmp_path / "models", tmp_path)
    image = np.zeros((64, 64, 3), np.uint8)
    for write in (lambda path: write_yolo(path, 64), lambda path: path.write_bytes(b"nothing")):
        write(paths.models / "annotators" / FILE)
        entry = find_preprocessor("openpose_full", equip(ALL, paths.models, paths.hub))
        with pytest.raises(BrokenModel, match=FILE):
            Annotators().see(entry, image)
