"""From flags to a request: what is said arrives, what is not said stays as declared, nonsense is named."""

from pathlib import Path

import pytest

from modules.bootstrap import flags
from modules.cli.recipe import request_from, targets
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest, OutputParams, PromptParams


def request(*words):
    return request_from(flags.parse(["generate", "a fox", *words]).arguments)


def test_a_bare_prompt_keeps_every_declared_default():
    expected = GenerationRequest(prompt=PromptParams(text="a fox"), output=OutputParams(save=False))
    assert request("-o", "fox.png") == expected


def test_every_flag_reaches_its_parameter():
    made = request(
        *("-o", "fox.webp", "--negative", "dog", "--seed", "5", "--steps", "9", "--sampler", "Euler a"),
        *("--scheduler", "Karras", "--cfg", "3.5", "--width", "64", "--height", "96", "--batch", "2", "--model", "m"),
    )
    assert (made.prompt.negative, made.seeds.seed, made.sampling.steps) == ("dog", 5, 9)
    assert (made.sampling.sampler, made.sampling.scheduler, made.sampling.cfg_scale) == ("Euler a", "Karras", 3.5)
    assert (made.canvas.width, made.canvas.height, made.canvas.batch_size) == (64, 96, 2)
    assert (made.model.checkpoint, made.output.format, made.mode) == ("m", "webp", "txt2img")


def test_a_film_is_asked_for_by_its_ending():
    made = request("-o", "fox.mp4")
    assert (made.film.format, made.output.format) == ("mp4", "png")


def test_pictures_to_start_from_are_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"first")
    (tmp_path / "m.png").write_bytes(b"mask")
    start = ("-o", "x.jpg", "--init", str(tmp_path / "a.png"))
    made = request(*start, "--denoise", "0.4")
    assert made.mode == "img2img"
    assert (made.image.images, made.image.denoising_strength) == ((b"first",), 0.4)
    assert request(*start, "--mask", str(tmp_path / "m.png")).inpaint.mask == b"mask"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-o x.png --steps -3", "Steps is -3; allowed is 1 to 1000."),
        ("-o x.png --width 100000", "Width is 100000; allowed is 16 to 8192."),
        ("-o x.png --seed -5", "Seed is -5"),
        ("-o x.png --mask m.png", "--mask was given without --init"),
        ("-o x.png --denoise 0.5", "--denoise was given without --init"),
        ("-o x.png --init not-there.png", "'not-there.png' cannot be read: No such file or directory"),
        ("-o x.gif", "'x.gif' has no ending of a picture; known are .png, .jpg"),
        ("-o x", "'x' has no ending of a picture"),
    ],
)
def test_nonsense_is_named(words, sentence):
    with pytest.raises(InvalidRequest) as error:
        request(*words.split())
    assert sentence in error.value.message


def test_names_of_several_pictures():
    assert targets(Path("out/fox.png"), 1) == [Path("out/fox.png")]
    assert targets(Path("out/fox.png"), 2) == [Path("out/fox-1.png"), Path("out/fox-2.png")]
