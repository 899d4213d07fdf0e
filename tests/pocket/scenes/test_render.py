"""Pictures of scenes: what they show, at which side, and where they end."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from modules.pocket.scenes.colours import measure_distance
from modules.pocket.scenes.lot import draw_scene, plain_scene
from modules.pocket.scenes.render import render
from modules.pocket.scenes.scene import Ground, Scene, Thing
from modules.pocket.scenes.vocabulary import COLOURS, FIGURES, GROUNDS, KINDS, STYLES


def one(kind: str, colour: str, ground: Ground, style: str = "flat", radius: float = 0.38, variant: int = 0) -> Scene:
    return Scene((Thing(kind, colour, 0.5, 0.5, radius, 0.0, variant),), ground, style, "large", "middle")


def find_thing(scene: Scene, side: int, least: int = 24) -> np.ndarray:
    """Where the picture differs from its ground alone."""
    bare = render(replace(scene, things=()), side).astype(int)
    return np.abs(render(scene, side).astype(int) - bare).max(axis=2) > least


def name_colour(pixels: np.ndarray) -> str:
    """The word for the middle one of some pixels."""
    middle = tuple(int(value) for value in np.median(pixels.reshape(-1, 3), axis=0))
    return min(COLOURS, key=lambda name: measure_distance(COLOURS[name], middle))


@pytest.mark.parametrize("style", STYLES)
def test_the_same_scene_gives_the_same_pixels(style):
    scene = replace(draw_scene(5, 1), style=style)
    first = render(scene, 128)
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, render(scene, 128))


@pytest.mark.parametrize("style", STYLES)
def test_a_scene_is_the_same_picture_at_every_side(style):
    for ground in ("plain", "meadow", "night", "checkerboard"):
        for kind in ("star", "cat"):
            scene = one(kind, "red", Ground(ground, ("cyan",) if ground == "plain" else (), 3), style)
            large = Image.fromarray(render(scene, 512)).resize((128, 128), Image.Resampling.BOX)
            difference = np.abs(np.asarray(large, float) - render(scene, 128).astype(float))
            assert difference.mean() < 4, ground
            assert np.percentile(difference.max(axis=2), 90) < 24, ground


@pytest.mark.parametrize("style", ["flat", "outlined"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_shows_its_main_colour_more_than_any_other(kind, style):
    for variant, colour in enumerate(("red", "yellow", "white")):
        scene = one(kind, colour, Ground("plain", ("green",), 0), style, variant=variant)
        pixels = render(scene, 128)[find_thing(scene, 128)]
        values, counts = np.unique(pixels // 4, axis=0, return_counts=True)
        assert np.abs(values[counts.argmax()] * 4 - np.array(COLOURS[colour])).max() < 5


@pytest.mark.parametrize("style", ["flat", "outlined", "pencil", "watercolour", "pixel art"])
@pytest.mark.parametrize("kind", FIGURES)
def test_the_colour_of_a_figure_can_be_named_from_its_inside(kind, style):
    for colour in COLOURS:
        scene = one(kind, colour, Ground("plain", ("white" if colour != "white" else "blue",), 0), style)
        inside = find_thing(replace(scene, style="flat", things=(replace(scene.things[0], radius=0.36),)), 96)
        assert name_colour(render(scene, 96)[inside]) == colour


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_drawn_in_pencil_watercolour_pixels_and_neon(kind):
    for style in STYLES[2:]:
        scene = one(kind, "orange", Ground("plain", ("blue",), 0), style)
        pixels = render(scene, 96)[find_thing(scene, 96)].astype(int)
        assert len(pixels) > 400
        warm = (pixels[:, 0] > pixels[:, 1]) & (pixels[:, 1] > pixels[:, 2])
        assert warm.mean() > 0.3, style


def test_neon_shines_before_a_ground_that_is_nearly_dark():
    scene = one("ring", "cyan", Ground("plain", ("red",), 0), "neon")
    picture = render(scene, 128)
    assert picture[:4].max() < 90
    assert picture.max() > 200


def test_pixel_art_is_made_of_32_cells_of_one_colour_each():
    scene = one("cat", "orange", Ground("sea", (), 0), "pixel art")
    cells = render(scene, 256).reshape(32, 8, 32, 8, 3)
    assert (cells == cells[:, :1, :, :1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_variant_changes_how_a_thing_looks_but_a_circle_and_a_square_stay(kind):
    pictures = {render(one(kind, "red", Ground("plain", ("white",), 0), variant=v), 64).tobytes() for v in range(6)}
    assert (len(pictures) == 1) == (kind in ("circle", "square"))


@pytest.mark.parametrize("kind", GROUNDS)
def test_every_ground_can_be_told_from_the_others(kind):
    colours = {"plain": ("red",), "gradient": ("cyan", "yellow")}
    bare = {name: Scene((), Ground(name, colours.get(name, ()), 1), "flat", "medium", "middle") for name in GROUNDS}
    own = render(bare[kind], 64).astype(float)
    for other in set(GROUNDS) - {kind}:
        assert np.abs(own - render(bare[other], 64)).mean() > 8, other


def test_a_plain_ground_has_exactly_its_colour():
    picture = render(plain_scene(0, "star", "red", "pink"), 64)
    assert (picture[0] == COLOURS["pink"]).all()


def test_nothing_leaves_the_picture_and_several_things_do_not_touch():
    several = 0
    for index in range(70):
        scene = draw_scene(6, index)
        seen = find_thing(scene, 96, 80 if scene.style == "neon" else 24)  # neon glows beyond its tubes
        assert not seen[[0, -1]].any(), scene
        assert not seen[:, [0, -1]].any(), scene
        if scene.count > 1 and scene.relation != "inside":
            several += 1
            alone = [find_thing(replace(scene, things=(thing,)), 96, 80) for thing in scene.things]
            for first, second in combinations(alone, 2):
                wide = np.pad(first, 1)
                wide = wide[2:, 1:-1] | wide[:-2, 1:-1] | wide[1:-1, 2:] | wide[1:-1, :-2] | first
                assert not (wide & second).any(), scene
    assert several > 15


def test_the_smaller_thing_of_a_pair_lies_upon_the_larger():
    small, large = Thing("circle", "red", 0.5, 0.5, 0.1, 0, 0), Thing("square", "blue", 0.5, 0.5, 0.4, 0, 0)
    scene = Scene((small, large), Ground("plain", ("white",), 0), "flat", "medium", "middle", "inside")
    picture = render(scene, 64)
    assert tuple(picture[32, 32]) == COLOURS["red"]
    assert tuple(picture[32, 20]) == COLOURS["blue"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style": "oil"}, "'oil' is no style; there are flat"),
        ({"ground": Ground("moonscape", (), 0)}, "'moonscape' is no ground; there are plain"),
        ({"things": (Thing("dog", "red", 0.5, 0.5, 0.2, 0, 0),)}, "'dog' is no kind of thing"),
    ],
)
def test_words_that_the_world_lacks_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        render(replace(one("star", "red", Ground("plain", ("white",), 0)), **change), 64)


def test_a_side_too_small_to_show_anything_is_refused():
    with pytest.raises(ValueError, match="at least 32 pixels, not 16"):
        render(draw_scene(0, 0), 16)
