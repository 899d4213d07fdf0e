"""Attention over fewer tokens, and within tiles."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.errors import InvalidRequest
from modules.contracts.request import AttentionParams, FeatureParams
from modules.processing_diffusers.inside.thinning import HyperTiles, TokenMerging, merged, pieces_of, thinning_of, tiled
from tests.processing_diffusers.conftest import ask, held_back, in_threads, pixels

SIDE = 128


def tokens(height=4, width=6, rows=2):
    return torch.randn(rows, height * width, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75])
def test_merging_brings_alike_tokens_together_and_back(ratio):
    cells = tokens()
    fewer, restore = merged(cells, 4, 6, ratio)
    assert fewer.shape == (2, 24 - int(24 * ratio), 5)
    back = restore(fewer)
    assert back.shape == cells.shape
    # What was not merged is where it was; the others have the mean of a group.
    same = (back == cells).all(-1).sum(1)
    assert (same >= 24 - 2 * int(24 * ratio)).all()
    torch.testing.assert_close(restore(fewer * 2), back * 2)


def test_equal_tokens_lose_nothing():
    picture = torch.arange(6.0).reshape(2, 3).repeat_interleave(2, 0).repeat_interleave(2, 1)  # two by two alike
    cells = torch.stack([torch.cos(picture), torch.sin(picture)], -1).reshape(1, 24, 2)
    fewer, restore = merged(cells, 4, 6, 0.75)
    assert fewer.shape[1] == 6
    torch.testing.assert_close(restore(fewer), cells)


def test_merging_is_each_rows_own():
    cells = tokens()
    fewer, restore = merged(cells, 4, 6, 0.5)
    alone, back = merged(cells[1:], 4, 6, 0.5)
    torch.testing.assert_close(fewer[1:], alone)
    torch.testing.assert_close(restore(fewer)[1:], back(alone))
    assert merged(cells, 4, 6, 0.01)[0] is cells


def test_tiles_come_back_in_order():
    cells = tokens()
    parts, restore = tiled(cells, (4, 6), (2, 3))
    assert parts.shape == (12, 4, 5)
    assert torch.equal(parts[0], cells.reshape(2, 4, 6, 5)[0, :2, :2].reshape(4, 5))
    assert torch.equal(parts[11], cells.reshape(2, 4, 6, 5)[1, 2:, 4:].reshape(4, 5))
    assert torch.equal(restore(parts), cells)
    assert tiled(cells, (4, 6), (1, 1))[0] is cells


@pytest.mark.parametrize(("length", "least", "wanted"), [(64, 32, 2), (64, 33, 1), (96, 32, 3), (7, 2, 1), (8, 1, 8)])
def test_sides_are_cut_into_equal_pieces(length, least, wanted):
    assert pieces_of(length, least) == wanted


def test_what_is_asked_for():
    assert thinning_of(FeatureParams()) == ()
    assert thinning_of(FeatureParams(token_merging=0.5)) == (TokenMerging(0.5),)
    assert thinning_of(FeatureParams(hypertile=256, hypertile_depth=1)) == (HyperTiles(256, 1),)
    assert TokenMerging(0.5).signature != TokenMerging(0.25).signature
    assert HyperTiles(256).signature != HyperTiles(128).signature


def test_jobs_with_and_without_are_those_drawn_alone(bench):
    wishes = [{}, {"token_merging": 0.5}, {"hypertile": 64}, {"token_merging": 0.5}]
    requests = [ask(size=SIDE, seed=7, features=FeatureParams(**wish)) for wish in wishes]
    alone = [pixels(bench.draw(request).pictures[0]) for request in requests]
    with held_back(bench.engine.multiplexer, {"unet"}, 4):
        together = in_threads([lambda r=request: pixels(bench.draw(r).pictures[0]) for request in requests])
    for one, other in zip(alone, together, strict=True):
        assert abs(one - other).max() <= 1
    assert abs(alone[1] - alone[0]).max() > 1
    assert abs(alone[2] - alone[0]).max() > 1
    tile_of_all = bench.draw(ask(size=SIDE, seed=7, features=FeatureParams(hypertile=SIDE)))
    assert abs(pixels(tile_of_all.pictures[0]) - alone[0]).max() == 0


def test_they_go_with_pag_and_not_with_each_other_or_seg(bench):
    result = bench.draw(
        ask(size=SIDE, features=FeatureParams(hypertile=64), attention=AttentionParams(2.0, pag_layers="down"))
    )
    assert "HyperTile size: 64" in result.pictures[0].infotext
    for features, attention in (
        (FeatureParams(token_merging=0.5, hypertile=64), AttentionParams()),
        (FeatureParams(token_merging=0.5), AttentionParams(seg_scale=1.0)),
    ):
        with pytest.raises(InvalidRequest):
            bench.draw(ask(features=features, attention=attention))


def test_other_families(all_families):
    assert all_families.draw(ask(model="tiny-sdxl", features=FeatureParams(token_merging=0.5))).notes == ()
    notes = all_families.draw(ask(model="tiny-sd3", features=FeatureParams(token_merging=0.5))).notes
    assert any("token merging" in note for note in notes)
