"""Tiles meet without a seam, cover every pixel, and can be stopped between two of them."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.errors import JobCancelled
from modules.upscalers.tiles import enlarge_in_tiles, places, profile


def smooth(scale):
    """An enlarging whose pixels depend on neighbours up to three away, and on zeros beyond the edge."""
    kernel = torch.ones(3, 1, 7, 7) / 49

    def run(picture):
        blurred = torch.nn.functional.conv2d(picture, kernel, padding=3, groups=3)
        return torch.nn.functional.interpolate(blurred, scale_factor=float(scale), mode="nearest")

    return run


@pytest.mark.parametrize(("height", "width"), [(40, 100), (64, 64), (33, 47), (10, 90), (16, 16), (97, 31)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_tiles_give_what_the_whole_picture_gives(height, width, scale):
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    whole = smooth(scale)(picture[None])[0]
    tiled = enlarge_in_tiles(smooth(scale), picture, scale, tile=32, overlap=14)
    assert tiled.shape == whole.shape
    assert torch.allclose(tiled, whole, atol=1e-5)


def test_no_piece_is_larger_than_the_tile():
    sizes = []

    def run(picture):
        sizes.append(tuple(picture.shape[-2:]))
        return smooth(2)(picture)

    enlarge_in_tiles(run, torch.rand(3, 70, 50), 2, tile=32, overlap=8)
    assert set(sizes) == {(32, 32)}
    sizes.clear()
    enlarge_in_tiles(run, torch.rand(3, 70, 50), 2, tile=0, overlap=8)
    assert sizes == [(70, 50)]


def test_a_network_that_misjudges_its_edges_leaves_no_seam():
    """The outermost pixels of each tile are wrong by a whole unit; in the middle of the result nothing shows."""

    def run(picture):
        made = picture.clone()
        made[..., :2, :] += 1
        made[..., -2:, :] += 1
        made[..., :, :2] += 1
        made[..., :, -2:] += 1
        return made

    picture = torch.full((3, 80, 80), 0.25)
    made = enlarge_in_tiles(run, picture, 1, tile=32, overlap=8)
    assert torch.allclose(made[:, 2:-2, 2:-2], picture[:, 2:-2, 2:-2])
    assert (made[:, 0] > 1).all()


def test_neighbours_share_the_overlap_and_weights_of_a_pair_come_to_one():
    starts = places(100, 40, 10)
    assert starts == [0, 30, 60]
    assert places(101, 40, 10) == [0, 30, 60, 61]
    total = torch.zeros(200)
    for start in starts:
        total[start * 2 : start * 2 + 80] += profile(start, 40, 100, 10, 2)
    assert torch.allclose(total, torch.ones(200))


def test_a_check_stops_between_tiles():
    done = []

    def check():
        if len(done) == 3:
            raise JobCancelled("stop")

    def run(picture):
        done.append(1)
        return picture

    with pytest.raises(JobCancelled):
        enlarge_in_tiles(run, torch.rand(3, 90, 90), 1, tile=32, overlap=8, check=check)
    assert len(done) == 3


def test_an_overlap_of_more_than_half_a_tile_is_refused():
    with pytest.raises(ValueError, match="20 has to be between 0 and half of the tile 32"):
        enlarge_in_tiles(smooth(1), torch.rand(3, 90, 90), 1, tile=32, overlap=20)
