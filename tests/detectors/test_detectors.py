"""Detectors find what they are for, in the right place, and say what is missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from modules.contracts.detailer import RegionParams
from modules.contracts.errors import BrokenModel, InvalidRequest, UnknownModel
from modules.detectors.base import Region, Wish, boxed, split_classes
from modules.detectors.catalog import DetectorCatalog
from modules.detectors.colours import find_colours, find_contrasts
from modules.detectors.onnx_header import read_onnx_header
from modules.detectors.selection import select_masks
from modules.detectors.yolo import load_yolo, load_yunet
from modules.support.paths import ROOT, Paths
from tests.factories.onnx import write_yolo

SURE = Wish(confidence=0.3)


def scene(size=(96, 64), ground="white", **things):
    """A picture with boxes of colours: `red=(left, top, right, bottom)`, the corners outside."""
    image = Image.new("RGB", size, ground)
    for colour, (left, top, right, bottom) in things.items():
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=colour)
    return np.asarray(image)


def near(box, other, most=1):
    return all(abs(one - two) <= most for one, two in zip(box, other, strict=True))


def test_a_colour_is_found_by_its_name_and_nothing_else_is():
    image = scene(red=(8, 8, 24, 40), blue=(60, 20, 90, 50), orange=(30, 4, 44, 14))
    (red,) = find_colours(image, Wish(("red",), 0.3))
    assert red.box == (8, 8, 24, 40)
    assert red.label == "red"
    assert red.score > 0.9
    assert np.array_equal(red.shape > 0, (image == (255, 0, 0)).all(axis=2))
    both = find_colours(image, Wish(split_classes("Blue, #ff0000"), 0.3))
    assert [one.box for one in both] == [(60, 20, 90, 50), (8, 8, 24, 40)]
    assert find_colours(image, Wish(("green",), 0.3)) == []
    # Shades of a colour are the colour.
    assert find_colours(scene(**{"#2056dc": (8, 8, 40, 40)}), Wish(("blue",), 0.3))[0].box == (8, 8, 40, 40)
    with pytest.raises(InvalidRequest, match="'grue' is no colour"):
        find_colours(image, Wish(("grue",), 0.3))


@pytest.mark.parametrize("ground", ["white", "black", "#204080"])
def test_what_stands_out_from_the_ground_is_found(ground):
    image = scene(ground=ground, yellow=(10, 10, 40, 40), red=(60, 30, 80, 50))
    found = find_contrasts(image, SURE)
    assert [near(one.box, box, 2) for one, box in zip(found, ((10, 10, 40, 40), (60, 30, 80, 50)), strict=True)]
    assert find_contrasts(scene(ground=ground), SURE) == []


def test_regions_are_chosen_moved_grown_and_merged():
    def mask_of(**wish):
        return [mask > 0 for mask in select_masks(found, RegionParams("x", **{"dilate": 0, **wish}))]

    boxes = [((10, 10, 20, 20), 0.5), ((40, 10, 70, 40), 0.9), ((0, 50, 4, 54), 0.99)]
    found = [boxed((96, 64), box, score) for box, score in boxes]
    areas = [100, 900, 16]
    assert [mask.sum() for mask in mask_of()] == areas
    assert [mask.sum() for mask in mask_of(most=2)] == areas[:2]
    assert [mask.sum() for mask in mask_of(most=2, order="Confidence")] == areas[1:]
    assert [mask.sum() for mask in mask_of(min_ratio=50 / 6144, max_ratio=200 / 6144)] == [100]
    assert mask_of(dilate=4, most=1)[0].sum() == 33**2
    assert mask_of(dilate=-4, most=1)[0].sum() == 27**2
    (moved,) = mask_of(x_offset=5, y_offset=8, most=1)
    assert Region((moved * 255).astype(np.uint8), 1).box == (45, 2, 75, 32)
    assert mask_of(x_offset=200) == []
    (merged,) = mask_of(merge="Merge")
    assert merged.sum() == sum(areas)
    (rest,) = mask_of(merge="Merge and Invert")
    assert np.array_equal(rest, ~merged)


def test_a_yolo_network_finds_its_classes_in_pictures_of_any_shape(tmp_path):
    find = load_yolo(write_yolo(tmp_path / "things.onnx"))
    image = scene((128, 64), red=(32, 32, 64, 64), blue=(96, 0, 128, 32))
    found = find(image, SURE)
    assert {(one.label, one.box) for one in found} == {
        ("red thing", (32, 32, 64, 64)),
        ("blue thing", (96, 0, 128, 32)),
    }
    assert [one.label for one in find(image, Wish(("blue thing",), 0.3))] == ["blue thing"]
    assert [one.label for one in find(image, Wish(("0",), 0.3))] == ["red thing"]
    assert find(scene((128, 64)), SURE) == []


def test_a_segmenting_yolo_network_gives_shapes(tmp_path):
    find = load_yolo(write_yolo(tmp_path / "things-seg.onnx", shaped=True))
    found = find(scene((64, 64), red=(16, 0, 32, 64)), SURE)
    together = np.maximum.reduce([one.shape for one in found])
    assert together[2:24, 18:30].all()
    assert not together[40:].any()  # the network's shape ends half-way down


def test_files_are_read_by_what_they_say_of_themselves(tmp_path):
    header = read_onnx_header(write_yolo(tmp_path / "things.onnx"))
    assert (header.input, header.outputs) == ((1, 3, 64, 64), ("output0",))
    assert header.metadata["task"] == "detect"
    for data in (b"", b"GIF89a", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x3a\x05ab"):
        (tmp_path / "broken.onnx").write_bytes(data)
        with pytest.raises(BrokenModel, match="no ONNX file"):
            read_onnx_header(tmp_path / "broken.onnx")


def test_what_opencv_cannot_read_is_blamed(tmp_path):
    path = write_yolo(tmp_path / "things.onnx")
    path.write_bytes(path.read_bytes().replace(b"Reshape", b"Mystery"))
    for load in (load_yolo, load_yunet):
        with pytest.raises(BrokenModel, match="things.onnx"):
            load(path)


@pytest.fixture
def catalog(tmp_path):
    models = tmp_path / "models"
    write_yolo(models / "detectors" / "face_yolov8n.onnx")
    (models / "adetailer").mkdir()
    (models / "adetailer" / "hand_yolov8n.pt").write_bytes(b"pickle")
    (models / "detectors" / "torn.onnx").write_bytes(b"torn")
    odd = models / "detectors" / "odd"
    odd.mkdir()
    (odd / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    return DetectorCatalog(Paths(tmp_path, models, ROOT))


def test_the_catalogue_says_what_there_is_and_what_is_missing(catalog):
    usable = [entry.name for entry in catalog.entries() if entry.problem is None]
    assert usable == ["Colour", "Contrast", "Mask", "face_yolov8n"]
    for name in ("face_yolov8n.pt", "FACE_yolov8n", "face_yolov8n.onnx"):
        assert catalog.find(name).kind == "yolo"
    assert catalog.find("color").name == "Colour"
    with pytest.raises(BrokenModel, match="yolo export model=hand_yolov8n.pt format=onnx"):
        catalog.find("hand_yolov8n.pt")
    with pytest.raises(UnknownModel, match="near names are.*Put person_yolov8n-seg.onnx into the folder"):
        catalog.find("person_yolov8n-seg.pt")
    with pytest.raises(BrokenModel, match="no ONNX file"):
        catalog.find("torn")
    with pytest.raises(BrokenModel, match="odd is a BertModel; detectors are Yolos"):
        catalog.find("odd")


def _saved(folder, network, size):
    folder.mkdir(parents=True)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    return folder


def test_a_network_of_transformers_finds_boxes(tmp_path):
    from transformers import YolosConfig, YolosForObjectDetection

    from modules.detectors.transformer import make_finder, see_with
    from modules.sd_models.vision import load_network

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = YolosConfig(
        image_size=[64, 64], patch_size=16, num_detection_tokens=3, use_mid_position_embeddings=False, **sizes,
        id2label={0: "n/a", 1: "cat", 2: "dog"}, label2id={"n/a": 0, "cat": 1, "dog": 2},
    )  # fmt: skip
    made = YolosForObjectDetection(config)
    with torch.no_grad():
        for head, bias in ((made.class_labels_classifier, [0.0, 9.0, 0.0, 0.0]), (made.bbox_predictor, None)):
            last = head.layers[-1]
            last.weight.zero_()
            # A quarter of the picture round the middle of its left half: the logit of a quarter is -1.0986.
            last.bias.copy_(torch.tensor(bias or [-1.0986, 0.0, -1.0986, -1.0986]))
    folder = _saved(tmp_path / "pets", made, {"height": 64, "width": 64})
    assert DetectorCatalog(Paths(tmp_path, tmp_path, ROOT)).entries()[-1].name == "Mask"
    network = load_network(folder)
    find = make_finder(folder, network, see_with(network))
    found = find(scene((96, 64)), SURE)
    assert {one.label for one in found} == {"cat"}
    assert near(found[0].box, (12, 24, 36, 40))
    assert find(scene((96, 64)), Wish(("dog",), 0.3)) == []


def test_a_segmenting_network_of_transformers_finds_classes(tmp_path):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    from modules.detectors.transformer import make_finder, see_with
    from modules.sd_models.vision import load_network

    torch.manual_seed(0)
    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[4, 4, 4, 4], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8,
        id2label={0: "background", 1: "hair"}, label2id={"background": 0, "hair": 1},
    )  # fmt: skip
    made = SegformerForSemanticSegmentation(config)
    with torch.no_grad():
        made.decode_head.classifier.weight.zero_()
        made.decode_head.classifier.bias.copy_(torch.tensor([0.0, 5.0]))
    folder = _saved(tmp_path / "hair", made, {"shortest_edge": 64})
    network = load_network(folder)
    (found,) = make_finder(folder, network, see_with(network))(scene((96, 64)), SURE)
    assert (found.label, found.box) == ("hair", (0, 0, 96, 64))
    assert found.score > 0.9


def test_yunet_says_where_eyes_and_mouth_are(monkeypatch, tmp_path):
    """Of OpenCV's class nothing is used but its rows, whose numbers OpenCV documents."""
    import cv2

    class Faces:
        def setInputSize(self, size):
            assert size == (96, 64)

        def setScoreThreshold(self, threshold):
            assert threshold == pytest.approx(0.3)

        def detect(self, image):
            return 1, np.array([[10, 8, 30, 40, 18, 20, 32, 21, 25, 28, 19, 38, 31, 39, 0.9]], np.float32)

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *given: Faces())
    (face,) = load_yunet(tmp_path / "faces.onnx")(scene(), SURE)
    assert (face.box, face.label) == ((10, 8, 40, 48), "face")
    assert face.points == ((18, 20), (32, 21), (25, 28), (19, 38), (31, 39))
