"""What goes into a picture file comes out again, and hostile files do no harm."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, features

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.film import FILM_FORMATS
from modules.contracts.result import DeepImage, Film
from modules.outputs import metadata
from modules.outputs.codec import encode as encode_for
from modules.outputs.deep_png import repack
from modules.outputs.metadata import encode, read_metadata
from modules.outputs.user_comment import UNICODE, decode
from modules.outputs.verify import pixels
from modules.upscalers.deep import read_deep
from tests.outputs.making import INFOTEXT, RECIPE, image, picture

FORMATS = ["png", "jpeg", "webp", *(["avif"] if features.check("avif") else [])]


def packed(fmt, infotext=INFOTEXT, recipe=RECIPE, mode="RGB", quality=90):
    return encode(image(mode), fmt, infotext=infotext, recipe=recipe, quality=quality)


@pytest.mark.parametrize("fmt", FORMATS)
def test_infotext_and_recipe_come_back(fmt):
    data = packed(fmt)
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.format, opened.size) == (fmt.upper(), (48, 32))
    found = read_metadata(data)
    assert found.infotext == INFOTEXT
    assert found.recipe == RECIPE
    assert found.items == {}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_png_keeps_every_pixel(mode):
    before = image(mode)
    with Image.open(io.BytesIO(encode(before, "png", infotext="x", recipe={}, quality=1))) as after:
        assert after.mode == mode
        assert np.array_equal(np.asarray(before.convert("RGBA")), np.asarray(after.convert("RGBA")))


@pytest.mark.parametrize("channels", [3, 4])
def test_png_keeps_sixteen_bits_and_says_how_it_was_made(channels):
    before = np.random.default_rng(2).integers(0, 65_536, (9, 7, channels), np.uint16)
    deep = DeepImage(before, Image.fromarray((before >> 8).astype(np.uint8)))
    data = encode(deep, "png", infotext=INFOTEXT, recipe=RECIPE, quality=1)
    assert (read_deep(data) == before).all()
    assert read_metadata(data).infotext == INFOTEXT
    assert read_metadata(data).recipe == RECIPE
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened.convert(deep.shown.mode)), np.asarray(deep.shown))
    bare = repack(data)
    assert read_metadata(bare).infotext == ""
    assert (read_deep(bare) == before).all()
    with Image.open(io.BytesIO(encode(deep, "jpeg", infotext=INFOTEXT, recipe=RECIPE, quality=90))) as opened:
        assert (opened.format, opened.mode) == ("JPEG", "RGB")


@pytest.mark.parametrize("side", range(1, 9))
def test_sixteen_bits_are_set_upright(side):
    """As Pillow sets those upright that it can hold."""
    before = np.random.default_rng(side).integers(0, 65_536, (5, 3), np.uint16)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = side
    packed = io.BytesIO()
    Image.fromarray(before).save(packed, "PNG", exif=exif)
    found = read_deep(packed.getvalue())
    with Image.open(packed) as opened:
        assert np.array_equal(found[..., 0], np.asarray(ImageOps.exif_transpose(opened)))
    assert (found == found[..., :1]).all()


def test_what_has_fewer_bits_or_is_no_png_is_not_read_as_deep():
    for data in (b"", b"nonsense", packed("png"), packed("webp"), b"\x89PNG\r\n\x1a\n" + bytes(16) + b"\x10"):
        assert read_deep(data) is None
        assert repack(data) is None


def test_png_carries_the_chunk_that_others_read():
    with Image.open(io.BytesIO(packed("png"))) as opened:
        assert opened.info["parameters"] == INFOTEXT
        assert json.loads(opened.info["atelier-recipe"]) == RECIPE


@pytest.mark.parametrize("fmt", FORMATS[1:])
def test_the_others_carry_exif_that_others_read(fmt):
    with Image.open(io.BytesIO(packed(fmt))) as opened:
        comment = opened.getexif().get_ifd(0x8769)[0x9286]
    assert comment == UNICODE + INFOTEXT.encode("utf-16-be")


@pytest.mark.parametrize("fmt", FORMATS[1:])
def test_quality_is_obeyed(fmt):
    assert len(packed(fmt, quality=20)) < len(packed(fmt, quality=95))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "CMYK"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_every_mode_can_be_written(fmt, mode):
    with Image.open(io.BytesIO(packed(fmt, mode=mode))) as opened:
        opened.load()
        if mode in ("RGBA", "LA") and fmt in ("png", "webp", "avif"):
            assert opened.has_transparency_data


def test_jpeg_puts_transparency_on_white():
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    with Image.open(io.BytesIO(encode(clear, "jpeg", infotext="", recipe={}, quality=95))) as opened:
        assert opened.getpixel((8, 8)) == (255, 255, 255)


def test_a_text_too_long_for_jpeg_does_not_cost_the_picture(caplog):
    data = packed("jpeg", infotext="x" * 40_000)
    assert read_metadata(data).infotext == ""
    assert read_metadata(data).recipe == RECIPE
    assert "too long for JPEG" in caplog.text
    assert read_metadata(packed("png", infotext="x" * 400_000)).infotext == "x" * 400_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200), st.sampled_from(["png", "jpeg", "webp"]))
def test_any_text_survives(text, fmt):
    if "\x00" in text:
        text = text.replace("\x00", "")
    assert read_metadata(packed(fmt, infotext=text)).infotext == text.strip()


def test_lone_surrogates_do_not_stop_saving():
    assert "cat" in read_metadata(packed("png", infotext="cat \ud83d")).infotext


def test_texts_of_others_in_either_byte_order():
    for codec in ("utf-16-le", "utf-16-be", "utf-16"):
        assert decode(UNICODE + "Steps: 20, Größe".encode(codec)) == "Steps: 20, Größe"
    assert decode(b"ASCII\x00\x00\x00Steps: 3") == "Steps: 3"
    assert decode(b"\x00" * 8 + "Größe".encode()) == "Größe"
    assert decode(b"") == ""


def test_other_text_in_a_file_is_told():
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "p")
    chunks.add_text("postprocessing", "Postprocess upscale by: 2")
    buffer = io.BytesIO()
    image().save(buffer, "PNG", pnginfo=chunks, dpi=(72, 72))
    found = read_metadata(buffer.getvalue())
    assert found.infotext == "p"
    assert found.items == {"postprocessing": "Postprocess upscale by: 2"}
    assert found.recipe is None


def test_novelai_is_told_as_infotext():
    chunks = PngImagePlugin.PngInfo()
    said = {"steps": 28, "sampler": "k_euler_ancestral", "seed": 9, "scale": 11.0, "uc": "bad hands", "strength": 0.7}
    for key, text in (("Software", "NovelAI"), ("Description", "a fox"), ("Comment", json.dumps(said))):
        chunks.add_text(key, text)
    buffer = io.BytesIO()
    image().save(buffer, "PNG", pnginfo=chunks)
    assert read_metadata(buffer.getvalue()).infotext == (
        "a fox\nNegative prompt: bad hands\nSteps: 28, Sampler: Euler a, CFG scale: 11, Seed: 9, Size: 48x32, "
        "Denoising strength: 0.7, Clip skip: 2"
    )


@pytest.mark.parametrize("comment", ["no json", "[]", "{" * 5000, "[" * 100_000])
def test_a_broken_novelai_comment_is_just_text(comment):
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", "NovelAI")
    chunks.add_text("Comment", comment)
    buffer = io.BytesIO()
    image().save(buffer, "PNG", pnginfo=chunks)
    assert read_metadata(buffer.getvalue()).infotext == ""


def test_a_picture_without_anything_says_nothing():
    buffer = io.BytesIO()
    image().save(buffer, "PNG")
    found = read_metadata(buffer.getvalue())
    assert (found.infotext, found.items, found.recipe) == ("", {}, None)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks, width=8, height=8):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00" * (height * (width * 3 + 1)) if width < 100 else b""))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


HOSTILE = {
    "nothing": b"",
    "no picture": b"hello, world" * 99,
    "half a header": b"\x89PNG\r\n\x1a\n\x00\x00",
    "a bomb of pixels": png(width=60_000, height=60_000),
    "a smaller bomb": png(width=12_000, height=9_000),
    "a bomb of text": png(chunk(b"zTXt", b"parameters\x00\x00" + zlib.compress(b"A" * 50_000_000))),
    "a bomb of international text": png(
        chunk(b"iTXt", b"parameters\x00\x01\x00\x00\x00" + zlib.compress(b"A" * 50_000_000))
    ),
    "a plain text that is too long": png(chunk(b"tEXt", b"parameters\x00" + b"A" * 2_100_000)),
    "a broken checksum": png(chunk(b"tEXt", b"parameters\x00p")[:-1] + b"\x00"),
    "an svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a jpeg cut short": packed("jpeg")[:30],
    "a webp cut short": packed("webp")[:40],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_words(name):
    with pytest.raises(InvalidRequest) as caught:
        read_metadata(HOSTILE[name])
    assert caught.value.message.endswith(".")
    assert "Traceback" not in caught.value.message


def test_too_many_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(metadata, "MAX_BYTES", 100)
    with pytest.raises(InvalidRequest, match="at most 100"):
        read_metadata(packed("png"))


@pytest.mark.filterwarnings("ignore::UserWarning")  # PIL tells of what it finds in damaged EXIF blocks
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FORMATS), st.data())
def test_damaged_files_are_read_or_refused_but_never_crash(fmt, data):
    broken = bytearray(FILES[fmt])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(broken)))
    for candidate in (bytes(broken), bytes(broken[:cut])):
        with contextlib.suppress(InvalidRequest):
            assert read_metadata(candidate) is not None


FILES = {fmt: packed(fmt) for fmt in FORMATS}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_leaves_the_picture_readable():
    buffer = io.BytesIO()
    image().save(buffer, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff garbage")
    assert read_metadata(buffer.getvalue()).infotext == ""


def test_a_recipe_that_is_no_object_is_none():
    for text in ("[1]", "no", "[" * 100_000):
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("atelier-recipe", text)
        buffer = io.BytesIO()
        image().save(buffer, "PNG", pnginfo=chunks)
        assert read_metadata(buffer.getvalue()).recipe is None


def test_a_side_too_long_for_the_format_is_said():
    with pytest.raises(UnsupportedFeature, match="ends at 16383"):
        encode(Image.new("L", (16_384, 1)), "webp", infotext="", recipe={}, quality=90)


def test_unknown_formats_are_refused():
    with pytest.raises(InvalidRequest, match="known are png, jpeg, webp, avif"):
        packed("tiff")


def test_a_build_without_avif_says_so(monkeypatch):
    monkeypatch.setattr(metadata.features, "check", lambda name: name == "webp")
    with pytest.raises(UnsupportedFeature, match="cannot write avif; it can write png, jpeg, webp"):
        packed("avif")


@pytest.mark.parametrize(
    ("name", "fmt"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("b.c.webp", "WEBP")]
)
def test_a_chosen_name_decides_the_format(tmp_path, name, fmt):
    data = encode_for(picture(), tmp_path / name)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == fmt
    assert read_metadata(data).infotext == INFOTEXT


def test_a_chosen_name_without_a_format_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match=r"known are \.png, \.jpg"):
        encode_for(picture(), tmp_path / "picture.gif")


MOVING = [fmt for fmt in FILM_FORMATS if fmt in FORMATS]
"""Those that are pictures as well."""


def film(fmt, frames=5):
    return Film(tuple(image(seed=number) for number in range(frames)), 16, fmt)


@pytest.mark.parametrize("fmt", MOVING)
def test_a_film_is_a_file_that_moves_and_says_how_it_was_made(fmt):
    data = encode(film(fmt), "jpeg", infotext=INFOTEXT, recipe=RECIPE, quality=90)
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.format, opened.size, opened.n_frames) == (fmt.upper(), (48, 32), 5)
        opened.seek(2)
        opened.load()
        assert opened.info["duration"] == 62
    found = read_metadata(data)
    assert (found.infotext, found.recipe) == (INFOTEXT, RECIPE)


def test_a_film_as_png_keeps_every_pixel_of_every_frame():
    before = film("png")
    found = pixels(encode(before, "png", infotext="", recipe={}, quality=1))
    assert np.array_equal(found, np.stack([np.asarray(frame.convert("RGB")) for frame in before.frames]))


def test_a_chosen_name_decides_the_format_of_a_film(tmp_path):
    drawn = picture(film=film("webp"))
    with Image.open(io.BytesIO(encode_for(drawn, tmp_path / "a.png"))) as opened:
        assert (opened.format, opened.n_frames) == ("PNG", 5)
    with pytest.raises(InvalidRequest, match="cannot hold a film"):
        encode_for(drawn, tmp_path / "a.jpg")
