"""Models of few steps: who is taken for one, and what they are drawn with."""

from __future__ import annotations

import json
import shutil

import pytest

from modules.contracts.request import SamplingParams
from modules.sd_models.distilled import FEW, find_distilled
from modules.sd_samplers.table import load_table
from modules.support.paths import ROOT
from tests.sd_models.test_defaults import plan_of


@pytest.mark.parametrize(
    ("name", "kind", "steps"),
    [
        ("sd_xl_turbo_1.0_fp16", "turbo", 4),
        ("DreamShaperXL_Turbo_v2", "turbo", 4),
        ("sdxl_lightning_8step", "lightning", 8),
        ("dreamshaperXL_lightningDPMSDE", "lightning", 4),
        ("juggernautXL_v9Rdphoto2Lightning_2 steps", "lightning", 2),
        ("dreamshaper_8LCM", "lcm", 4),
        ("LCM_Dreamshaper_v7", "lcm", 4),
    ],
)
def test_names_say_it(name, kind, steps):
    assert find_distilled(name, {}) == {**FEW[kind], "steps": steps}


@pytest.mark.parametrize(
    "name", ["sd_xl_base_1.0", "turbocharged", "enlightening", "calcmixer", "8steps", "v1-5-pruned"]
)
def test_other_names_say_nothing(name):
    assert find_distilled(name, {}) == {}


def test_schedulers_and_metadata_say_it_too():
    assert find_distilled("mine", {"scheduler": "LCMScheduler"}) == FEW["lcm"]
    ancestral = {"scheduler": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}
    assert find_distilled("mine", ancestral) == FEW["turbo"]
    assert find_distilled("mine", {**ancestral, "timestep_spacing": "leading"}) == {}
    assert find_distilled("mine_lightning", {"scheduler": "LCMScheduler"})["sampler"] == "LCM"
    assert find_distilled("mine", {"metadata_title": "SDXL Lightning, 8-step"})["steps"] == 8
    assert find_distilled("mine", {"metadata_description": "not a Turbo"}) == {}
    assert find_distilled("mine_lightning_999steps", {})["steps"] == 4


def test_what_they_are_drawn_with_is_in_the_table():
    table = load_table(ROOT / "configs" / "samplers.json")
    samplers = {entry.name for entry in table.samplers()}
    schedules = {entry.label for entry in table.schedulers()}
    for wish in FEW.values():
        assert wish["sampler"] in samplers
        assert wish["scheduler"] in schedules


def test_a_folder_with_the_scheduler_of_one_is_drawn_so_where_nobody_says_otherwise(tiny_sd15_folder, tmp_path):
    folder = tmp_path / "models" / "checkpoints" / "mine"
    folder.parent.mkdir(parents=True)
    shutil.copytree(tiny_sd15_folder, folder)
    assert plan_of(folder).first.cfg_scale == 7.0
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "LCMScheduler"}))
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    found = plan_of(folder).first
    assert (found.sampler.sampler, found.sampler.scheduler, found.cfg_scale) == ("LCM", "SGM Uniform", 1.0)
    said = plan_of(folder, SamplingParams(sampler="Heun", cfg_scale=5.0)).first
    assert (said.sampler.sampler, said.cfg_scale) == ("Heun", 5.0)
    (folder / "defaults.json").write_text(json.dumps({"cfg_scale": 2}))
    assert plan_of(folder).first.cfg_scale == 2.0
