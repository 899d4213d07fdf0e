"""Areas of a picture: how they are written, and which prompt has which."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.processing_diffusers.areas import shares_of
from modules.prompts.areas import Area, lay_out, parse_areas

LEFT, RIGHT = Area(0, 0, 0.5, 1), Area(0.5, 0, 1, 1)


def test_columns_rows_and_rectangles():
    assert parse_areas(" ") == ((), 0.2)
    assert parse_areas("Columns 1:1") == parse_areas("columns 3, 3") == ((LEFT, RIGHT), 0.2)
    assert parse_areas("rows 1:3") == ((Area(0, 0, 1, 0.25), Area(0, 0.25, 1, 1)), 0.2)
    assert parse_areas("0 0 0.5 1, 0.5 0 1 1 base 0.7") == ((LEFT, RIGHT), 0.7)
    assert parse_areas("columns 1:1 base 0") == ((LEFT, RIGHT), 0)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("columns", "not understood"),
        ("columns one:two", "not understood"),
        ("columns 1:nan", "not understood"),
        ("columns 1:0", "above 0"),
        ("columns 1e308:1e308", "together a number"),
        ("columns 1:1 base 2", "base is a share"),
        ("columns 1:1 base", "not understood"),
        ("0 0 1", "four numbers"),
        ("0 0 2 1", "from 0 to 1"),
        ("0.5 0 0.5 1", "from 0 to 1"),
        ("columns " + ":".join("1" * 33), "33 prompt areas"),
    ],
)
def test_what_makes_no_sense_is_said(text, part):
    with pytest.raises(InvalidRequest, match=part):
        parse_areas(text)


def test_one_prompt_more_is_for_the_whole_picture():
    assert lay_out((LEFT, RIGHT), 2) == (LEFT, RIGHT)
    assert lay_out((LEFT, RIGHT), 3) == (None, LEFT, RIGHT)
    with pytest.raises(InvalidRequest, match="2 prompt areas and 4 prompts"):
        lay_out((LEFT, RIGHT), 4)


@pytest.mark.parametrize(
    "areas", [(LEFT, RIGHT), (None, LEFT, RIGHT), (None, LEFT), (LEFT,), (LEFT, Area(0.3, 0, 1, 1))]
)
def test_shares_come_to_one_everywhere(areas):
    shares = shares_of(areas, 0.25, torch.zeros(4, 6, 8))
    assert all(share.shape == (1, 6, 8) for share in shares)
    torch.testing.assert_close(torch.stack(shares).sum(0), torch.ones(1, 6, 8))


def test_the_whole_pictures_prompt_has_its_share_within_areas_and_all_outside():
    whole, left = shares_of((None, LEFT), 0.25, torch.zeros(4, 2, 8))
    assert whole[0, 0].tolist() == [0.25] * 4 + [1.0] * 4
    assert left[0, 0].tolist() == [0.75] * 4 + [0.0] * 4


def test_a_cell_that_is_covered_in_part_counts_in_part():
    left, right = shares_of(parse_areas("columns 1:2")[0], 0.25, torch.zeros(4, 2, 4))
    torch.testing.assert_close(left[0, 0], torch.tensor([1, 1 / 3, 0, 0]))
    torch.testing.assert_close(right[0, 0], torch.tensor([0, 2 / 3, 1, 1]))


def test_answers_without_cells_are_refused():
    with pytest.raises(UnsupportedFeature, match="by cells"):
        shares_of((LEFT, RIGHT), 0.2, torch.zeros(16, 8))
