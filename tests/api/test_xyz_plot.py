"""A1111's X/Y/Z plot over its API."""

from __future__ import annotations

import json

import pytest

from modules.contracts.errors import StudioError
from tests.api.fakes import b64, opened, picture

SMALL = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64, "seed": 10, "script_name": "X/Y/Z plot"}
BARE = [False, True]
"""No legend, with the cells."""


@pytest.fixture
def rig(make_rig):
    return make_rig(gallery=True)


def middle(sheet, column, row=0):
    return sheet.getpixel((column * 64 + 32, row * 64 + 32))


def test_the_grid_comes_first_and_cells_in_a1111s_order(rig, call):
    args = [1, "10, 20, 30", [], 6, "1-7 [2]", [], 0, "", [], *BARE]
    told = call(**SMALL, script_args=args)
    images, info = [opened(text) for text in told["images"]], json.loads(told["info"])
    assert len(images) == 1 + 6
    assert images[0].size == (3 * 64, 2 * 64)
    assert [middle(images[0], column) for column in range(3)] == [(seed, 0, 0) for seed in (10, 20, 30)]
    assert [image.getpixel((1, 1))[0] for image in images[1:]] == [10, 20, 30] * 2
    assert (info["index_of_first_image"], len(info["infotexts"])) == (1, 7)
    assert info["all_seeds"] == [10, 20, 30] * 2
    assert {(request.seeds.seed, request.sampling.cfg_scale) for request in rig.engine.seen} == {
        (seed, scale) for seed in (10, 20, 30) for scale in (1, 7)
    }
    assert told["parameters"]["script_args"] == args


def test_grids_of_z_stand_side_by_side_and_alone_if_wanted(rig, call):
    args = ["Seed", "1, 2", [], 0, "", [], "Steps", "2-4", [], False, False, True, *[False] * 4, 4]
    images = [opened(text) for text in call(**SMALL, script_args=args)["images"]]
    assert [image.size for image in images] == [(3 * 132 + 8, 64), *[(132, 64)] * 3]
    assert images[0].getpixel((68 + 32, 32)) == (2, 0, 0)
    assert opened(call(**SMALL, script_args=args[:9])["images"][0]).height > 64  # with captions


def test_chosen_values_are_read_where_there_is_a_list(rig, call):
    told = call(**SMALL, script_args=[9, "", ["DDIM", "Euler"], 0, "", [], 0, "", [], *BARE])
    assert {request.sampling.sampler for request in rig.engine.seen} == {"DDIM", "Euler"}
    assert len(told["images"]) == 3
    call(**SMALL, script_args=["Sampler", "Euler a", ["DDIM"], *[0, "", []] * 2, *BARE, *[False] * 5, 0, "True"])
    assert rig.asked.sampling.sampler == "Euler a"


def test_numbers_of_axes_are_those_that_script_info_lists(rig, client):
    for row in client.get("/sdapi/v1/script-info").json():
        if row["name"] == "x/y/z plot":
            choices = row["args"][0]["choices"]
            assert len(row["args"]) == 18
            assert choices[9] == "Sampler"
            assert ("Hires steps" in choices) != row["is_img2img"]
    assert "x/y/z plot" in client.get("/sdapi/v1/scripts").json()["txt2img"]


def test_seeds_vary_along_axes(rig, call):
    call(**SMALL, script_args=["Steps", "2, 3", [], *[0, "", []] * 2, *BARE, False, False, True])
    assert sorted(request.seeds.seed for request in rig.engine.seen) == [10, 11]


def test_a_cell_that_fails_is_blank(rig, call):
    rig.engine.fail["a dog"] = StudioError("The dog ran away.")
    told = call(**SMALL, script_args=["Prompt S/R", "cat, dog", [], *[0, "", []] * 2, *BARE])
    images, info = [opened(text) for text in told["images"]], json.loads(told["info"])
    assert middle(images[0], 0) == (10, 0, 0)
    assert len(images) == 3
    assert images[2].getextrema() == ((0, 0),) * 3
    assert "Cell 2: The dog ran away." in info["notes"]


def test_cells_are_kept_only_if_they_are_to_be_saved(rig, call):
    args = [1, "1, 2", [], *[0, "", []] * 2, *BARE]
    passing = call(**SMALL, script_args=args)
    assert len(passing["images"]) == 3
    assert rig.pictures.list() == []
    assert rig.experiments.list() == []
    kept = json.loads(call(**SMALL, script_args=args, save_images=True)["info"])
    assert len(rig.pictures.list()) == 2
    assert rig.experiments.get(kept["experiment"]).state == "done"


def test_pictures_vary_by_denoising(rig, call):
    args = ["Denoising", "0.2-0.6 (+0.2)", [], *[0, "", []] * 2, *BARE]
    told = call("img2img", **SMALL, init_images=[b64(picture())], script_args=args)
    assert sorted(request.image.denoising_strength for request in rig.engine.seen) == [0.2, 0.4, 0.6]
    assert len(told["images"]) == 4


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ([99, "1", []], "no axis 99"),
        ([1, 5, []], "a text is needed"),
        ([1, "a", []], "is no number"),
        ("1, 2", "has to be a list"),
        ([0] * 19, "up to 18"),
        ([1, "1", [], *[0, "", []] * 2, "maybe"], "neither true nor false"),
        ([1, "1", [], *[0, "", []] * 2, *[False] * 7, 9999], "allowed is 0 to 500"),
        (["RNG source", "CPU", []], "not available in this version"),
        (["Prompt S/R", "horse", []], "is in neither"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(rig, client, args, part):
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, "script_args": args})
    assert answer.status_code == 422
    assert part in answer.text
    assert rig.engine.seen == []
