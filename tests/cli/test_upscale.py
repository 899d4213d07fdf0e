"""`upscale` from flags to a request, and its pictures in the files that were named."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.bootstrap import flags
from modules.cli.upscale import request_from, run
from modules.contracts.errors import InvalidRequest
from tests.cli.test_generate import studio

__all__ = ["studio"]


@pytest.fixture
def photo(tmp_path):
    info = PngInfo()
    info.add_text("parameters", "a cat")
    Image.new("RGBA", (20, 10), (255, 0, 0, 128)).save(tmp_path / "photo.png", pnginfo=info)
    return tmp_path / "photo.png"


def asked(*words):
    return request_from(flags.parse(["upscale", *map(str, words)]).arguments)


def test_flags_become_the_request(photo, tmp_path):
    request = asked(photo, "-o", tmp_path / "large.webp", "--upscaler", "pocket-x4", "--by", 4)
    assert (request.mode, request.output.format, request.output.save) == ("enlarge", "webp", False)
    wish = request.enlarge
    assert (wish.upscaler, wish.scale, wish.crop, wish.infotexts) == ("pocket-x4", 4.0, True, ("a cat",))
    assert Image.open(io.BytesIO(wish.images[0])).mode == "RGBA"
    plain = asked(photo, "-o", "x.png")
    assert (plain.enlarge.upscaler, plain.enlarge.scale) == ("Lanczos", 2.0)
    sized = asked(photo, "-o", "x.png", "--width", 64, "--height", 64, "--no-crop", "--second", "Nearest",
                  "--second-visibility", 0.25).enlarge  # fmt: skip
    assert (sized.width, sized.height, sized.crop, sized.shares) == (
        64,
        64,
        False,
        (("Lanczos", 0.75), ("Nearest", 0.25)),
    )


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "photo.jpg", exif=exif)
    request = asked(tmp_path / "photo.jpg", "-o", "x.png")
    assert Image.open(io.BytesIO(request.enlarge.images[0])).size == (10, 20)


def test_what_is_wrong_is_said_before_anything_starts(photo, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    for words, sentence in (
        ((photo, "-o", "x.png", "--by", 17), "allowed is 0.001 to 16"),
        ((photo, "-o", "x.png", "--no-crop"), "without --width"),
        ((photo, "-o", "x.tiff"), "no ending of a picture"),
        ((tmp_path / "none.png", "-o", "x.png"), "No such file"),
        ((tmp_path / "text.png", "-o", "x.png"), "not a picture"),
        ((tmp_path / "cut.png", "-o", "x.png"), "cannot be read"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            asked(*words)


def test_the_pictures_are_in_their_files(studio, photo, tmp_path, capsys):
    command = flags.parse(["upscale", str(photo), "-o", str(tmp_path / "new" / "large.png")])
    assert run(command) == 0
    owner, request = studio.requests[0]
    assert (owner, request.mode) == ("cli", "enlarge")
    assert (tmp_path / "new" / "large.png").is_file()
    assert studio.closed == 1
    assert not studio.warm
