"""The scripts that ship, over the old API, with the model that ships."""

from __future__ import annotations

import base64
import io
import json
import math

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from modules.app import build_studio
from modules.bootstrap.options import Options, PathOptions, RunOptions

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 5, "sampler_name": "Euler"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("builtin")
    paths = PathOptions(data_dir=folder / "data", extensions_dir=folder / "extensions")
    made = build_studio(Options(paths=paths, run=RunOptions(lanes=1, offline=True)))
    assert made.status.wait(120)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(studio):
    from modules.api.app import add_api

    app = FastAPI()
    add_api(app, studio)
    return TestClient(app, base_url="http://127.0.0.1:7860")


@pytest.fixture
def draw(client):
    """POST to a mode; gives the pictures as arrays and `info`, or the status and the sentence of a refusal."""

    def post(mode="txt2img", **body):
        answer = client.post(f"/sdapi/v1/{mode}", json={**SMALL, **body})
        if answer.status_code != 200:
            return answer.status_code, str(answer.json())
        said = answer.json()
        return [pixels(text) for text in said["images"]], json.loads(said["info"])

    return post


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")).copy()


def base64_of(array):
    target = io.BytesIO()
    Image.fromarray(array).save(target, "PNG")
    return base64.b64encode(target.getvalue()).decode()


@pytest.fixture(scope="module")
def given():
    """A picture of 64 by 64 pixels with a gradient and a square."""
    array = np.zeros((64, 64, 3), np.uint8)
    array[..., 0] = np.arange(64) * 4
    array[16:40, 16:40] = (20, 200, 60)
    return array


def same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other)


def test_a_fresh_checkout_has_them_under_the_titles_of_a1111(client):
    listed = client.get("/sdapi/v1/scripts").json()
    assert {"prompt matrix"} <= set(listed["txt2img"])
    assert {"prompt matrix", "loopback"} <= set(listed["img2img"])
    assert "loopback" not in listed["txt2img"]


@pytest.mark.parametrize(("curve", "share"), [("Linear", 0.5), ("Aggressive", math.sin(math.pi / 4)), (2, 0.2929)])
def test_loopback_is_the_same_calls_by_hand(draw, given, curve, share):
    body = {"init_images": [base64_of(given)], "denoising_strength": 0.8}
    found, info = draw("img2img", **body, script_name="Loopback", script_args=[3, 0.4, curve, "None"])
    assert info["all_seeds"] == [5, 6, 7]
    by_hand, picture = [], given
    for loop, strength in enumerate((0.8, 0.8 - 0.4 * share, 0.4)):
        again = {"init_images": [base64_of(picture)], "denoising_strength": strength, "seed": 5 + loop}
        (picture,), _ = draw("img2img", **again)
        by_hand.append(picture)
    if curve == 2:  # the share is rounded above
        found, by_hand = found[:1], by_hand[:1]
    same(found, by_hand)


def test_each_batch_of_a_loopback_begins_with_the_given_picture(draw, given):
    body = {"init_images": [base64_of(given)], "denoising_strength": 0.5}
    found, info = draw("img2img", **body, n_iter=2, script_name="loopback", script_args=[2])
    (third,), _ = draw("img2img", **body, seed=7)
    assert info["all_seeds"] == [5, 6, 7, 8]
    same(found[2:3], [third])


def test_regional_prompting_is_prompts_joined_for_areas(draw):
    lines = "a circle\na square"
    found, info = draw(prompt="white", script_name="Regional prompting", script_args=["columns 1:2", lines, 0.3])
    by_hand, told = draw(prompt="white AND a circle AND a square", prompt_areas="columns 1:2 base 0.3")
    same(found, by_hand)
    assert all('Prompt areas: "columns 1:2 base 0.3"' in one["infotexts"][0] for one in (info, told))
    apart, _ = draw(prompt="white AND a circle AND a square", prompt_areas="columns 2:1 base 0.3")
    assert not np.array_equal(apart[0], by_hand[0])
    assert draw(script_name="Regional prompting", script_args=["columns 1:2", ""])[0] == 422
    assert draw(prompt="a AND b", prompt_areas="columns")[0] == 422
    assert draw(prompt="a AND b", prompt_areas="columns 1:1:1")[0] == 422


def test_a_matrix_has_its_sheet_first_and_every_combination_in_the_order_of_a1111(draw):
    prompt = "a circle| red, |on white"
    found, info = draw(prompt=prompt, script_name="Prompt matrix", script_args=[False, False, "positive", "comma", 4])
    prompts = ["a circle", "a circle, red", "a circle, on white", "a circle, red, on white"]
    assert info["all_prompts"] == prompts
    assert info["all_seeds"] == [5] * 4
    assert (info["index_of_first_image"], len(info["infotexts"])) == (1, 5)
    assert info["infotexts"][0] == info["infotexts"][1]
    sheet, *found = found
    assert len(found) == 4
    side, head = sheet.shape[1] - 132, sheet.shape[0] - 132
    assert side > 0
    assert head > 0
    for place in range(4):
        down, across = head + place // 2 * 68, side + place % 2 * 68
        assert np.array_equal(sheet[down : down + 64, across : across + 64], found[place])
    assert sheet[:head, side:].min() < 100  # captions
    (alone,), _ = draw(prompt=prompts[3])
    same(found[3:4], [alone])


def test_a_matrix_of_the_negative_prompt_with_parts_first_and_other_seeds(draw):
    _, info = draw(
        negative_prompt="blurry|dark", script_name="PROMPT MATRIX", script_args=[True, True, "negative", "space", 0]
    )
    assert info["all_negative_prompts"][:2] == ["blurry", "dark blurry"]
    assert info["all_seeds"][:2] == [5, 6]


def test_a_matrix_that_would_never_end_is_refused(draw):
    status, said = draw(prompt="a" + "|b" * 11, script_name="Prompt matrix")
    assert status == 422
    assert "11 parts" in said


def test_lines_are_drawn_with_their_options_and_the_prompt_of_the_request(draw):
    lines = """
        a blue square
        --prompt a green triangle --negative_prompt "dull -- grey" --seed 9 --steps 3 --width 96
        a -- dash
    """
    body = {"prompt": "on white", "negative_prompt": "blurry"}
    found, info = draw(**body, script_name="Prompts from file or textbox", script_args=[True, False, "start", lines])
    assert info["all_prompts"] == ["a blue square on white", "a green triangle on white", "a -- dash on white"]
    assert info["all_negative_prompts"] == ["blurry", "dull -- grey blurry", "blurry"]
    assert info["all_seeds"] == [5, 9, 7]
    (alone,), _ = draw(
        prompt="a green triangle on white", negative_prompt="dull -- grey blurry", seed=9, steps=3, width=96
    )
    assert alone.shape == (64, 96, 3)
    same(found[1:2], [alone])


def test_lines_stand_behind_the_prompt_and_share_a_seed_that_was_left_open(draw):
    script = {"script_name": "prompts from file or textbox", "script_args": [False, True, "end", "red\nblue"]}
    _, info = draw(prompt="a circle", seed=-1, **script)
    assert info["all_prompts"] == ["a circle red", "a circle blue"]
    assert info["all_seeds"][0] == info["all_seeds"][1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--colour red", "line 2: there is no option '--colour'"),
        ("--steps many", "line 2: '--steps' is 'many'; a number is needed"),
        ("--seed", "line 2: '--seed' needs a value"),
        ("--seed 1 2", "line 2: '--seed' takes one value"),
        ("--prompt 'open", "line 2: No closing quotation"),
        ("--steps 100000", "Steps is 100000"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_by_its_number(draw, line, said):
    script = {"script_name": "Prompts from file or textbox", "script_args": [False, False, "start", f"a\n{line}"]}
    status, text = draw(**script)
    assert status == 422
    assert said in text


@pytest.mark.parametrize(
    ("script", "fill"),
    [
        ({"script_name": "Poor man's outpainting", "script_args": [16, 4, "fill", ["left", "down"]]}, "fill"),
        ({"script_name": "Poor man's outpainting", "script_args": [16, 4, 2, ["DOWN", "left"]]}, "latent noise"),
        (
            {"script_name": "Outpainting mk2", "script_args": ["<p>", 16, 4, ["left", "down"], 1.0, 0.05]},
            "latent noise",
        ),
    ],
)
def test_outpainting_keeps_the_picture_and_is_the_request_of_that_name(draw, given, script, fill):
    body = {"init_images": [base64_of(given)], "denoising_strength": 0.8}
    (found,), _ = draw("img2img", **body, **script)
    assert found.shape == (80, 80, 3)
    assert np.array_equal(found[: 64 - 8, 16 + 8 :], given[: 64 - 8, 8:])
    assert found[64:].std() > 0
    margins = {"outpaint_left": 16, "outpaint_bottom": 16, "outpaint_blur": 4, "outpaint_overlap": 8}
    by_hand, _ = draw("img2img", **body, **margins, outpaint_fill=fill)
    same([found], by_hand)


def test_what_outpainting_cannot_do_is_said(draw, given):
    body = {"init_images": [base64_of(given)]}
    refused = [
        draw("img2img", **body, script_name="Poor man's outpainting", script_args=[16, 4, "original"]),
        draw("img2img", **body, script_name="Poor man's outpainting", script_args=[16, 4, "fill", []]),
        draw("img2img", **body, mask=body["init_images"][0], script_name="Outpainting mk2"),
    ]
    for (status, said), wanted in zip(refused, ("no content", "needs a direction", "leave the mask"), strict=True):
        assert status == 422
        assert wanted in said
    _, info = draw("img2img", **body, script_name="Outpainting mk2", script_args=[None, 8, 4, ["left"], 2.0])
    assert "fall-off exponent" in info["notes"][-1]


def test_travelling_goes_from_seed_to_seed_by_variation(draw):
    found, info = draw(script_name="Seed travel", script_args=["9, 12", 2, True])
    assert info["all_seeds"] == [5, 5, 9, 9, 12, 12, 5]
    by_hand = [{"seed": 5}, {"seed": 5, "subseed": 9, "subseed_strength": 0.5}, {"seed": 9}]
    same(found[:3], [draw(**one)[0][0] for one in by_hand])
    same(found[-1:], found[:1])
    assert not np.array_equal(found[1], found[0])


@pytest.mark.parametrize("args", [[""], ["9, -3"], ["nine"], [str(2**32)]])
def test_travelling_needs_seeds(draw, args):
    status, said = draw(script_name="Seed travel", script_args=args)
    assert status == 422
    assert "whole numbers" in said


def test_an_infotext_is_drawn_again_with_changes(draw):
    (first,), info = draw(prompt="a blue square", seed=8, cfg_scale=4, steps=3, width=96)
    (text,) = info["infotexts"]
    script = {"script_name": "Infotext re-run"}
    same(draw(**script, script_args=[text])[0], [first])
    changed, info = draw(**script, script_args={"infotext": text, "changes": "Seed: 9, Steps: 2, Colour: red"})
    same(changed, draw(prompt="a blue square", seed=9, cfg_scale=4, steps=2, width=96)[0])
    assert "Colour" in info["notes"][-1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "there is no infotext"),
        (["a cat", "Steps: 3"], "a prompt alone"),
        (["a cat\nSteps: 2, Seed: 1, Size: 64x64", "more"], "'more' is no field"),
        (["a cat\nSteps: 2, Seed: 1, Size: 64x64", "Steps: 5000"], "Steps is 5000"),
    ],
)
def test_what_cannot_be_drawn_again_is_said(draw, args, said):
    status, text = draw(script_name="Infotext re-run", script_args=args)
    assert status == 422
    assert said in text


@pytest.fixture
def stack(studio, given):
    """The script's own folder with two pictures, a broken one, and a link that leads out."""
    folder = studio.paths.data / "extensions" / "batch_from_folder.py" / "stack"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        Image.fromarray(given).save(folder / "b.png")
        Image.fromarray(np.ascontiguousarray(given[:40, ::-1])).save(folder / "a.png")
        (folder / "c.png").write_bytes(b"no picture")
        Image.fromarray(given).save(studio.paths.data / "secret.png")
        (folder / "d.png").symlink_to(studio.paths.data / "secret.png")
    return folder


def test_every_picture_of_a_folder_goes_through_image_to_image(draw, given, stack):
    found, info = draw(script_name="Batch from folder", script_args=["stack"])
    flipped = base64_of(np.ascontiguousarray(given[:40, ::-1]))
    first, _ = draw("img2img", init_images=[flipped], denoising_strength=0.75, height=40)
    second, _ = draw("img2img", init_images=[base64_of(given)], denoising_strength=0.75)
    same(found, first + second)
    assert "c.png was left out" in info["notes"][-1]
    assert str(stack) not in info["notes"][-1]


@pytest.mark.parametrize("folder", ["..", "/", "../../outputs", "stack/../..", "nowhere", "stack/b.png"])
def test_nothing_outside_the_folder_is_reached(draw, stack, folder):
    status, said = draw(script_name="Batch from folder", script_args=[folder])
    assert status == 422
    assert "there is no folder" in said


def test_a_picture_is_made_larger_by_tiles_as_the_request_would(draw, given):
    body = {"init_images": [base64_of(given)], "denoising_strength": 0.4}
    found, _ = draw("img2img", **body, script_name="Tiled upscale", script_args=["Lanczos", 2, 64, 16, 1])
    assert found[0].shape == (128, 128, 3)
    tiled = {"tiled_diffusion": "MultiDiffusion", "tile_width": 64, "tile_height": 64, "tile_overlap": 16}
    same(found, draw("img2img", **body, **tiled, sd_upscale="Lanczos", sd_upscale_scale=2)[0])
    assert draw("img2img", **body, script_name="Tiled upscale", script_args=["Lanczos", 2, 64, 64])[0] == 422


def test_a_second_pass_is_drawn_by_tiles_as_the_request_would(draw):
    found, _ = draw(script_name="Hires fix by tiles", script_args=["Latent", 2, 0.6, 64, 16])
    assert found[0].shape == (128, 128, 3)
    tiled = {"tiled_diffusion": 2, "tile_width": 64, "tile_height": 64, "tile_overlap": 16, "tile_passes": 2}
    same(found, draw(**tiled, enable_hr=True, hr_scale=2, hr_upscaler="Latent", denoising_strength=0.6)[0])
    whole, _ = draw(enable_hr=True, hr_scale=2, hr_upscaler="Latent", denoising_strength=0.6)
    assert not np.array_equal(found[0], whole[0])


def test_an_upscaler_that_is_not_there_is_refused(draw, given):
    body = {"init_images": [base64_of(given)], "script_name": "Tiled upscale"}
    status, said = draw("img2img", **body, script_args=["nothing such"])
    assert status in (404, 422)
    assert "nothing such" in said
