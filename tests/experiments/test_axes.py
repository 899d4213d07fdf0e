"""What each kind of axis does to a request, and which cells come of several."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from modules.contracts.codec import decode, encode
from modules.contracts.control import ControlParams, ControlUnit
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.experiments import Experiment
from modules.contracts.request import GenerationRequest, HiresParams, ImageParams, PromptParams, parameters
from modules.experiments.cells import caption, digest_of, draw_order, expand
from modules.experiments.kinds import SETTLED, find_kind, kinds
from modules.experiments.legacy import labels_of
from modules.experiments.reading import AxisReader, make_experiment
from tests.api.fakes import FakeCatalog

BASE = GenerationRequest(prompt=PromptParams(text="a red cat, <lora:ink:0.5> a dog", negative="blur, cat"))


@pytest.fixture
def reader(tmp_path):
    return AxisReader(FakeCatalog(tmp_path))


def requests(reader, base, *axes, **more):
    made = make_experiment(base, [reader.axis(name, values) for name, values in axes], **more)
    return [cell.request for cell in expand(made)]


def test_every_declared_parameter_is_an_axis(reader):
    names = {item.name for item in parameters()} - SETTLED
    assert names <= kinds().keys()
    assert find_kind("cfg scale").key == find_kind("CFG_scale").key == "sampling.cfg_scale"


def test_values_are_set_where_they_are_declared(reader):
    drawn = requests(reader, BASE, ("steps", "4, 8"), ("canvas.tiling", "on, off"), ("freeu_b1", "1-1.2 [2]"))
    told = [(one.sampling.steps, one.canvas.tiling, one.features.freeu_b1) for one in drawn]
    assert told == [(s, t, f) for f in (1, 1.2) for t in (True, False) for s in (4, 8)]
    assert {one.seeds for one in drawn} == {drawn[0].seeds}
    assert drawn[0].seeds.seed >= 0


def test_words_are_looked_for_in_both_prompts(reader):
    texts = [
        (one.prompt.text, one.prompt.negative) for one in requests(reader, BASE, ("Prompt S/R", 'cat, "owl, big"'))
    ]
    assert texts[0] == (BASE.prompt.text, BASE.prompt.negative)
    assert texts[1] == ("a red owl, big, <lora:ink:0.5> a dog", "blur, owl, big")
    with pytest.raises(InvalidRequest, match="'horse' is in neither"):
        requests(reader, BASE, ("Prompt S/R", "horse, cat"))


def test_words_are_put_into_every_order(reader):
    texts = [one.prompt.text for one in requests(reader, BASE, ("Prompt order", "dog, cat"))]
    assert texts == ["a red dog, <lora:ink:0.5> a cat", "a red cat, <lora:ink:0.5> a dog"]
    with pytest.raises(InvalidRequest, match="too many orders"):
        requests(reader, BASE, ("Prompt order", "a,b,c,d,e,f,g,h"))


def test_the_weight_of_a_network_is_that_of_its_tag(reader):
    texts = [one.prompt.text for one in requests(reader, BASE, ("prompt.lora.ink", "0, 1.5"))]
    assert texts == ["a red cat, <lora:ink:0> a dog", "a red cat, <lora:ink:1.5> a dog"]
    assert find_kind("LoRA weight: ink").key == "prompt.lora.ink"
    with pytest.raises(InvalidRequest, match="no tag <lora:oil"):
        requests(reader, BASE, ("prompt.lora.oil", "1"))


def test_names_are_those_of_the_catalogue(reader):
    assert reader.axis("Sampler", "k_euler, ddim").values == ("Euler", "DDIM")
    assert reader.axis("Checkpoint name", "0123456789, pocket").values == ("people/photo", "pocket")
    assert reader.axis("VAE", "soft.safetensors, None").values == ("soft", "Automatic")
    assert reader.axis("sampling.scheduler", "karras, Automatic").values == ("Karras", None)
    pairs = requests(reader, BASE, ("Sampler and schedule", "DPM++ 2M Karras, Euler / exponential, DDIM"))
    told = [(one.sampling.sampler, one.sampling.scheduler) for one in pairs]
    assert told == [("DPM++ 2M", "Karras"), ("Euler", "Exponential"), ("DDIM", None)]


def test_sizes_styles_and_units_vary(reader):
    base = replace(BASE, control=ControlParams((ControlUnit(enabled=False), ControlUnit(enabled=False))))
    drawn = requests(
        reader, base, ("Size", "64x96"), ("Styles", '"a,b", None'), ("control.1.weight", "0.2, 1"),
        ("control.0.hint.blocks", "style"),
    )  # fmt: skip
    assert {(one.canvas.width, one.canvas.height) for one in drawn} == {(64, 96)}
    assert [one.prompt.styles for one in drawn] == [("a", "b"), (), ("a", "b"), ()]
    assert [one.control.units[1].weight for one in drawn] == [0.2, 0.2, 1, 1]
    with pytest.raises(InvalidRequest, match="has 0 ControlNet units"):
        requests(reader, BASE, ("control.0.weight", "1"))


def test_denoising_is_that_of_the_tab(reader):
    picture = replace(BASE, image=ImageParams(images=(b"x",)))
    axis = reader.axis("Denoising", "0.2, 0.4", "img2img")
    assert [cell.request.image.denoising_strength for cell in expand(make_experiment(picture, [axis]))] == [0.2, 0.4]
    second = replace(BASE, hires=HiresParams(enabled=True))
    assert [one.hires.denoising_strength for one in requests(reader, second, ("Denoising", "0.2"))] == [0.2]
    with pytest.raises(InvalidRequest, match="second pass is off"):
        requests(reader, BASE, ("Denoising", "0.2"))
    with pytest.raises(InvalidRequest, match="no part 'image'"):
        requests(reader, BASE, ("image.denoising_strength", "0.2"))


def test_cells_can_be_left_out(reader):
    drawn = requests(reader, BASE, ("Steps", "10-30 (+10)"), ("CFG Scale", "1, 7"), exclude=["steps > 10 and y < 5"])
    assert [(one.sampling.steps, one.sampling.cfg_scale) for one in drawn] == [(10, 1), (10, 7), (20, 7), (30, 7)]
    with pytest.raises(InvalidRequest, match="nothing would be drawn"):
        requests(reader, BASE, ("Steps", "1, 2"), exclude=["steps > 0"])


def test_the_dearest_change_happens_least(reader):
    axes = [("Seed", "1, 2"), ("Checkpoint name", "pocket, people/photo"), ("VAE", "soft, None"), ("Steps", "3, 4")]
    made = make_experiment(BASE, [reader.axis(*axis) for axis in axes])
    order = [cell.request for cell in draw_order(made, expand(made))]
    changes = {
        name: sum(read(one) != read(other) for one, other in pairwise(order))
        for name, read in (
            ("model", lambda one: one.model.checkpoint), ("vae", lambda one: one.model.vae),
            ("steps", lambda one: one.sampling.steps), ("seed", lambda one: one.seeds.seed),
        )
    }  # fmt: skip
    assert changes == {"model": 1, "vae": 3, "steps": 7, "seed": 15}


def test_seeds_vary_along_axes_or_in_every_cell(reader):
    base = replace(BASE, seeds=replace(BASE.seeds, seed=10))
    axes = [("Steps", "1, 2"), ("CFG Scale", "1, 2, 3")]
    assert [one.seeds.seed for one in requests(reader, base, *axes, vary_seeds=(0, 1))] == [10, 11, 12, 13, 14, 15]
    assert [one.seeds.seed for one in requests(reader, base, *axes, vary_seeds=(1,))] == [10, 10, 11, 11, 12, 12]
    own = [one.seeds.seed for one in requests(reader, base, *axes, own_seeds=True)]
    assert len(set(own)) == 6
    assert own == [one.seeds.seed for one in requests(reader, base, *axes, own_seeds=True)]


def test_a_seed_of_minus_one_is_drawn_once(reader):
    drawn = requests(reader, BASE, ("Seed", "-1, 5"), ("Steps", "1, 2"))
    assert drawn[0].seeds.seed == drawn[2].seeds.seed >= 0
    assert drawn[1].seeds.seed == 5


def test_an_experiment_can_be_written_down_and_read_again(reader):
    made = make_experiment(BASE, [reader.axis("Steps", "1-3"), reader.axis("Tiling", "on")], exclude=["x == 2"])
    again = decode(Experiment, encode(made))
    assert [cell.request for cell in expand(again)] == [cell.request for cell in expand(made)]


def test_a_cell_is_known_by_everything_that_it_is_drawn_from(reader):
    made = make_experiment(BASE, [reader.axis("Steps", "1, 2, 1")])
    first, second, third = (digest_of(cell.request, lambda request: {"sha256": "ab"}) for cell in expand(made))
    assert first == third != second
    assert digest_of(expand(made)[0].request, lambda request: {"sha256": "cd"}) != first


def test_captions_name_the_axis_of_a_number(reader):
    axes = [reader.axis("CFG Scale", "7.5"), reader.axis("Sampler", "DDIM"), reader.axis("Tiling", "off")]
    assert [caption(axis, 0) for axis in axes] == ["CFG scale: 7.5", "DDIM", "Tiling: off"]


@pytest.mark.parametrize(
    ("name", "values", "part"),
    [
        ("Nonsense", "1", "no axis 'Nonsense'"),
        ("Steps", "", "no values"),
        ("Steps", [True], "is no number"),
        ("Sampler", "Nothing like it", "Sampler not found"),
        ("Sampler", "DPM++ 2M Karras", "names a schedule too"),
        ("Prompt S/R", [["a"]], "is no word"),
        ("Steps", "@/etc/passwd", "read by the terminal alone"),
        ("LoRA weight", "1", "of which network"),
        ("Size", "big", "is no size"),
        ("Steps", "0", "allowed is 1 to 1000"),
        ("Prompt order", "a red, red cat", "overlaps"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said_in_one_sentence(reader, name, values, part):
    with pytest.raises(InvalidRequest) as told:
        requests(reader, BASE, (name, values))
    assert part in told.value.message


def test_an_axis_without_counterpart_is_refused(reader):
    assert {"RNG source", "Size", "Hires steps"} <= set(labels_of("txt2img"))
    assert "Hires steps" not in labels_of("img2img")
    with pytest.raises(UnsupportedFeature, match="not available"):
        reader.axis("RNG source", "CPU")


def test_files_are_read_a_line_each_where_they_may_be(tmp_path):
    file = tmp_path / "values.txt"
    file.write_text("cat\n\nowl, small\n")
    reader = AxisReader(FakeCatalog(tmp_path), lambda name: (tmp_path / name).read_text())
    assert reader.axis("Prompt S/R", "@values.txt").values == ("cat", "owl, small")


def test_too_many_cells_are_not_begun(reader):
    with pytest.raises(InvalidRequest, match="10201 combinations"):
        requests(reader, BASE, ("Steps", "1-101"), ("CFG Scale", "0-100"))
    with pytest.raises(InvalidRequest, match="as an axis twice"):
        requests(reader, BASE, ("Steps", "1"), ("sampling.steps", "2"))
