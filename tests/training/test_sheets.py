"""Sheets hold every picture in its place, and drawing them keeps to its share of the time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from modules.training.sheets import Samples, lay_sheet


def numbered(count):
    """Pictures of 2 by 3 pixels, each of one grey."""
    return np.stack([np.full((2, 3, 3), 10 + place, np.uint8) for place in range(count)])


def test_every_picture_lies_in_its_place():
    sheet = np.asarray(lay_sheet(numbered(5), columns=3, gap=1))
    assert sheet.shape == (5, 11, 3)
    assert sheet[0, 0, 0] == 10
    assert sheet[1, 8, 0] == 12
    assert sheet[3, 4, 0] == 14
    assert sheet[2, 0, 0] == sheet[0, 3, 0] == sheet[4, 10, 0] == 128


def test_fewer_pictures_than_columns_make_a_narrower_sheet():
    assert lay_sheet(numbered(2), columns=10).size == (6, 2)
    with pytest.raises(ValueError, match="at least 1"):
        lay_sheet(numbered(3)[:0])


def test_sheets_come_at_the_interval_and_within_their_share(tmp_path):
    now = [0.0]

    def draw(step):
        now[0] += 10.0
        return numbered(2)

    samples = Samples(draw, tmp_path, every_s=60, share=0.05, clock=lambda: now[0])
    drawn = []
    for step in range(2000):
        if samples.offer(step):
            drawn.append(now[0] - 10)
        now[0] += 1.0
    assert drawn[0] == 60
    assert drawn[1] == pytest.approx(400, abs=1)  # two sheets of ten seconds are a twentieth of it
    assert samples.spent <= 0.05 * now[0]
    assert len(drawn) == pytest.approx(0.05 * now[0] / 10, abs=1)
    assert len(list(tmp_path.glob("step-*.png"))) == len(drawn)


def test_cheap_sheets_are_held_back_by_the_interval_only(tmp_path):
    now = [0.0]
    samples = Samples(lambda step: numbered(3), tmp_path, every_s=100, clock=lambda: now[0])
    drawn = []
    for step in range(1000):
        if path := samples.offer(step):
            drawn.append(step)
            with Image.open(path) as sheet:
                assert sheet.size == (9, 2)
        now[0] += 1.0
    assert drawn == list(range(100, 1000, 100))
