"""Image to image and inpainting: what goes in, and what has to come back untouched."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.contracts.errors import InvalidRequest
from modules.contracts.events import StepDone
from modules.contracts.request import CanvasParams, ImageParams, InpaintParams
from modules.processing_diffusers import engine
from modules.processing_diffusers.vae_part import VaePart
from tests.processing_diffusers.conftest import ask, encode, pixels, speckled


def disc(size=64, margin=16):
    """A mask with a disc in the middle."""
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).ellipse((margin, margin, size - margin, size - margin), fill=255)
    return mask


def repaint(bench, given, mask, *, steps=3, strength=0.8, canvas=None, **inpaint):
    request = ask(
        steps=steps,
        canvas=canvas or CanvasParams(64, 64),
        image=ImageParams((encode(given),), strength),
        inpaint=InpaintParams(encode(mask), **{"blur": 2, "only_masked": False, **inpaint}),
    )
    return bench.draw(request)


@pytest.mark.parametrize(("strength", "every", "steps"), [(0.5, False, 6), (0.05, False, 1), (0.5, True, 10)])
def test_the_strength_decides_how_many_steps_are_run(bench, strength, every, steps):
    bench.settings.update({"img2img_fix_steps": every})
    try:
        bench.draw(ask(steps=10, image=ImageParams((encode(speckled()),), strength)))
    finally:
        bench.settings.update({"img2img_fix_steps": False})
    assert sum(isinstance(event, StepDone) for event in bench.events) == steps


def test_each_picture_of_a_batch_may_have_its_own_beginning(bench):
    given = [speckled(seed=seed) for seed in (1, 2)]
    both = bench.draw(ask(batch=2, image=ImageParams(tuple(map(encode, given)), 0.3))).pictures
    second = bench.draw(ask(seed=2, image=ImageParams((encode(given[1]),), 0.3))).pictures[0]
    assert abs(pixels(both[1]) - pixels(second)).max() <= 1


def test_the_noise_multiplier_matters(bench):
    plain, quiet = (
        bench.draw(ask(image=ImageParams((encode(speckled()),), 0.6, "stretch", factor))).pictures[0]
        for factor in (1.0, 0.5)
    )
    assert (pixels(plain) != pixels(quiet)).any()


@pytest.mark.parametrize("mode", ["stretch", "crop", "fill", "latent"])
def test_every_resize_mode_gives_the_size_asked_for(bench, mode):
    given = speckled(96, 40)
    picture = bench.draw(ask(image=ImageParams((encode(given),), 0.5, mode))).pictures[0]
    assert picture.image.size == (64, 64)


def test_a_picture_resized_as_latents_is_encoded_within_the_limit_and_counted(bench, monkeypatch):
    encoded, planned = [], []
    plan_memory = engine.plan_memory

    def watch(model_bytes, width, height, *rest):
        planned.append((width, height))
        return plan_memory(model_bytes, width, height, *rest)

    monkeypatch.setattr(engine, "plan_memory", watch)
    monkeypatch.setattr(VaePart, "encode", note_shape(encoded, VaePart.encode))
    request = ask(image=ImageParams((encode(speckled(320, 160)),), 0.5, "latent"))
    bench.settings.update({"max_megapixels": 0.02})
    try:
        result = bench.draw(request)
    finally:
        bench.settings.update({"max_megapixels": 17.0})
    bench.draw(request)
    assert encoded == planned == [(200, 96), (320, 160)]
    assert result.pictures[0].image.size == (64, 64)
    assert any("320x160 was shrunk to 200x96" in note for note in result.notes)


def note_shape(seen, plain):
    """`VaePart.encode` that remembers width and height."""

    def encode_and_note(self, port, pictures, *given, **named):
        seen.append((pictures.shape[3], pictures.shape[2]))
        return plain(self, port, pictures, *given, **named)

    return encode_and_note


def test_without_a_size_the_picture_keeps_its_own(bench):
    picture = bench.draw(ask(canvas=CanvasParams(), image=ImageParams((encode(speckled(72, 48)),), 0.5))).pictures[0]
    assert picture.image.size == (72, 48)


def test_transparency_and_orientation_are_taken_care_of(bench):
    given = speckled(64, 48).convert("RGBA")
    given.putalpha(255)
    upright = Image.new("RGB", (64, 48))
    exif = upright.getexif()
    exif[0x0112] = 6
    import io

    turned = io.BytesIO()
    upright.save(turned, "JPEG", exif=exif)
    assert bench.engine.resolve(ask(canvas=CanvasParams(), image=ImageParams((turned.getvalue(),)))).first.width == 48
    for kind in ("RGBA", "L", "P", "I;16", "LA"):
        image = Image.fromarray(np.full((64, 64), 30000, np.uint16)) if kind == "I;16" else given.convert(kind)
        bench.draw(ask(steps=1, image=ImageParams((encode(image),), 0.5)))


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "empty"), (b"not a picture", "not a picture"), (encode(speckled())[:700], "cut off")],
)
def test_a_broken_picture_is_refused_with_a_sentence(bench, data, words):
    with pytest.raises(InvalidRequest, match=words):
        bench.draw(ask(image=ImageParams((data,))))
    assert bench.draw(ask(steps=1)).pictures


@pytest.mark.parametrize("fill", ["fill", "original", "latent noise", "latent nothing"])
@pytest.mark.parametrize("only_masked", [False, True])
def test_unmasked_pixels_come_back_bit_equal(bench, fill, only_masked):
    given, mask = speckled(), disc(margin=24)
    drawn = pixels(repaint(bench, given, mask, fill=fill, only_masked=only_masked, padding=4).pictures[0])
    changed = (drawn != pixels(given)).any(axis=2)
    assert changed[28:36, 28:36].mean() > 0.9
    ring = np.asarray(disc(margin=12)) == 0
    assert not changed[ring].any()


def test_the_size_of_the_picture_is_kept_when_only_the_mask_is_worked_on(bench):
    given, mask = speckled(200, 150), Image.new("L", (200, 150))
    ImageDraw.Draw(mask).rectangle((100, 50, 130, 80), fill=255)
    drawn = pixels(repaint(bench, given, mask, only_masked=True, padding=8).pictures[0])
    changed = (drawn != pixels(given)).any(axis=2)
    assert drawn.shape == (150, 200, 3)
    assert changed[55:75, 105:125].mean() > 0.9
    assert not changed[:, :85].any()


def test_an_odd_size_is_kept_and_its_rest_untouched(bench):
    given, mask = speckled(61, 75), Image.new("L", (61, 75))
    ImageDraw.Draw(mask).rectangle((20, 20, 40, 40), fill=255)
    result = repaint(bench, given, mask, canvas=CanvasParams())
    drawn = pixels(result.pictures[0])
    assert drawn.shape == (75, 61, 3)
    assert (drawn[55:] == pixels(given)[55:]).all()
    assert (drawn[25:35, 25:35] != pixels(given)[25:35, 25:35]).any()


def test_an_inverted_mask_repaints_the_rest(bench):
    given = speckled()
    drawn = pixels(repaint(bench, given, disc(margin=8), invert=True).pictures[0])
    changed = (drawn != pixels(given)).any(axis=2)
    assert not changed[24:40, 24:40].any()
    assert changed[:4, :4].mean() > 0.9


def test_the_alpha_channel_is_the_mask_where_it_is_used(bench):
    given = speckled()
    mask = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    mask.putalpha(disc(margin=24))
    changed = (pixels(repaint(bench, given, mask).pictures[0]) != pixels(given)).any(axis=2)
    assert changed[28:36, 28:36].any()
    assert not changed[:8].any()


def test_an_empty_mask_gives_the_picture_back_with_a_note(bench):
    given = speckled()
    result = repaint(bench, given, Image.new("L", (64, 64)), only_masked=True)
    assert (pixels(result.pictures[0]) == pixels(given)).all()
    assert any("black" in note for note in result.notes)


def test_the_kept_part_leads_the_repainted_one(bench):
    """What is drawn under a mask depends on what stands around it, because latents are blended at every step."""
    mask = disc(margin=24)
    bright, dark = (Image.new("RGB", (64, 64), (value,) * 3) for value in (230, 25))
    for given in (bright, dark):
        ImageDraw.Draw(given).ellipse((20, 20, 44, 44), fill=(128, 128, 128))
    drawn = [pixels(repaint(bench, given, mask, strength=1.0, fill="original").pictures[0]) for given in (bright, dark)]
    assert (drawn[0][28:36, 28:36] != drawn[1][28:36, 28:36]).any()


def shown(bench, given, mask, **inpaint):
    return pixels(repaint(bench, given, mask, fill="original", **inpaint).pictures[0])


@pytest.mark.parametrize("only_masked", [False, True])
def test_a_latent_mask_says_what_is_drawn_and_the_mask_what_is_shown(bench, only_masked):
    given, left = speckled(), Image.new("L", (64, 64))
    ImageDraw.Draw(left).rectangle((0, 0, 31, 63), fill=255)
    black, white = (Image.new("L", (64, 64), value) for value in (0, 255))

    def drawn(latent_mask, mask=white, **wish):
        wish = {"blur": 0, "only_masked": only_masked, **wish}
        return shown(bench, given, mask, latent_mask=encode(latent_mask) if latent_mask else b"", **wish)

    plain, half, none = drawn(None), drawn(left), drawn(black)
    assert (drawn(white) == plain).all()
    # Nothing drawn anew is what the VAE makes of the picture, shown everywhere.
    assert abs(none - drawn(None, strength=0.0)).max() <= 1
    assert 0 < abs(half - none).mean() < abs(plain - none).mean()
    assert abs(half - none)[:, :32].mean() > abs(half - none)[:, 32:].mean()
    assert (drawn(white, mask=left)[:, 32:] == pixels(given)[:, 32:]).all()


def test_soft_edges_reach_the_latents_where_the_mask_is_not_rounded(bench):
    given, mask = speckled(), disc(margin=20)
    rounded, soft = (shown(bench, given, mask, blur=6, round=whole) for whole in (True, False))
    assert (rounded != soft).any()
    sharp = Image.new("L", (64, 64))
    ImageDraw.Draw(sharp).rectangle((16, 16, 47, 47), fill=255)  # whole cells, so that there is nothing to round
    same = [shown(bench, given, sharp, blur=0, round=whole) for whole in (True, False)]
    assert (same[0] == same[1]).all()


def test_the_mask_is_blurred_by_axis(bench):
    given, mask = speckled(), Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((24, 24, 39, 39), fill=255)
    changed = (shown(bench, given, mask, blur=6, blur_y=0) != pixels(given)).any(axis=2)
    assert changed[28:36, 16:22].any()
    assert not changed[:24].any()
    assert not changed[40:].any()
    both = (shown(bench, given, mask, blur=6) != pixels(given)).any(axis=2)
    assert both[16:22, 28:36].any()


def test_what_is_said_of_the_mask_stands_in_infotext_and_recipe(bench):
    mask = disc()
    result = repaint(bench, speckled(), mask, blur=3, blur_y=5, round=False, latent_mask=encode(mask), steps=1)
    picture = result.pictures[0]
    for words in ("Mask blur: 3", "Mask blur y: 5", "Mask round: False"):
        assert words in picture.infotext
    assert picture.recipe["parameters"]["inpaint.latent_mask"] == "given"


def test_a_broken_latent_mask_is_refused_with_a_sentence(bench):
    with pytest.raises(InvalidRequest, match="The latent mask"):
        repaint(bench, speckled(), disc(), latent_mask=b"none")
