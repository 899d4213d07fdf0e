"""Films as MP4: every frame is in the file, and what it says is read without any decoder."""

from __future__ import annotations

import importlib.util
import io
import struct

import numpy as np
import pytest
from PIL import Image

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.request import OutputParams
from modules.contracts.result import Film
from modules.outputs import mp4
from modules.outputs.codec import encode as encode_for
from modules.outputs.metadata import encode, read_metadata
from modules.outputs.verify import pixels
from tests.outputs.making import INFOTEXT, RECIPE, picture
from tests.outputs.test_store import open_store

CLOSE = 6
"""Levels of 255 that H.264 at quality 90 loses of flat colours on the mean."""


def film(frames=5, size=(48, 32)):
    """A bright square that wanders to the right over a dark ground."""
    shown = []
    for number in range(frames):
        image = Image.new("RGB", size, (20, 40, 90))
        image.paste((230, 200, 40), (8 * number, 8, 8 * number + 8, 24))
        shown.append(image)
    return Film(tuple(shown), 16, "mp4")


@pytest.fixture(scope="module")
def packed():
    return encode(film(), "jpeg", infotext=INFOTEXT, recipe=RECIPE, quality=90)


def test_every_frame_comes_back_in_its_colours(packed):
    found = pixels(packed)
    before = np.stack([np.asarray(frame, np.int16) for frame in film().frames])
    assert found.shape == before.shape
    assert abs(found - before).mean() < CLOSE
    assert abs(found[0] - before[4]).mean() > 3 * CLOSE


def test_it_plays_as_fast_as_was_asked_and_begins_before_it_is_whole(packed):
    import av

    with av.open(io.BytesIO(packed)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate, stream.frames) == (16, 5)
        assert container.metadata["comment"] == INFOTEXT
    assert packed.index(b"moov") < packed.index(b"mdat")


def test_what_it_says_is_read_where_the_package_is_missing(packed, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = read_metadata(packed)
    assert (found.infotext, found.recipe, found.items) == (INFOTEXT, RECIPE, {})
    with pytest.raises(UnsupportedFeature, match="--extra video"):
        encode(film(), "png", infotext="", recipe={}, quality=90)


def test_a_film_that_says_nothing_is_no_error():
    assert read_metadata(encode(film(1), "png", infotext="", recipe={}, quality=90)).infotext == ""


def test_quality_is_obeyed_and_the_bytes_are_the_same_again(packed):
    again = encode(film(), "png", infotext=INFOTEXT, recipe=RECIPE, quality=90)
    assert again == packed
    assert len(encode(film(), "png", infotext=INFOTEXT, recipe=RECIPE, quality=10)) < len(packed)


def test_sides_of_an_odd_number_are_filled_up():
    found = pixels(encode(film(2, (49, 33)), "png", infotext="", recipe={}, quality=90))
    assert found.shape == (2, 34, 50, 3)
    assert abs(found[0, -1] - found[0, -2]).max() <= CLOSE


@pytest.mark.parametrize("size", [0x7FFFFFFF, 3])
def test_boxes_that_lead_elsewhere_are_refused(packed, size):
    place = packed.index(b"moov") - 4
    broken = packed[:place] + struct.pack(">I", size) + packed[place + 4 :]
    with pytest.raises(InvalidRequest, match="broken"):
        read_metadata(broken)


@pytest.mark.parametrize("cut", [12, 40, 400, -30])
def test_a_film_cut_short_is_refused(packed, cut):
    with pytest.raises(InvalidRequest, match="broken"):
        read_metadata(packed[:cut])


def test_pictures_are_no_films():
    with pytest.raises(InvalidRequest, match="hold films"):
        encode(Image.new("RGB", (8, 8)), "mp4", infotext="", recipe={}, quality=90)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "AVIF")
    assert not mp4.is_mp4(buffer.getvalue())


def test_a_chosen_name_decides(tmp_path):
    moving = picture(film=film())
    assert mp4.is_mp4(encode_for(moving, tmp_path / "a.mp4"))
    with pytest.raises(InvalidRequest, match="does not move"):
        encode_for(picture(), tmp_path / "a.mp4")


def test_the_gallery_keeps_it_with_a_small_picture_of_its_first_frame(tmp_path):
    store, moving = open_store(tmp_path), film()
    row = store.save(
        picture(image=moving.frames[0], film=moving), job_id="film", owner="ann", output=OutputParams(format="png")
    )
    assert (row.media_type, row.name.endswith(".mp4"), row.width) == ("video/mp4", True, 48)
    assert row.recipe["file"] == {"quality": 90}
    assert len(mp4.frames_of(store.read(row.id))) == 5
    with Image.open(io.BytesIO(store.thumbnail(row.id, 64))) as small:
        assert (small.format, small.size) == ("WEBP", (48, 32))
        assert small.convert("RGB").getpixel((4, 16))[0] > 180
