"""A model may bring what it is best drawn with; everything else is the family's."""

from __future__ import annotations

import json
import shutil

import pytest

from modules.contracts.request import GenerationRequest, ModelParams, SamplingParams
from modules.processing_diffusers.plan import Surroundings, resolve_request
from modules.sd_models.catalog import StudioCatalog, Tables
from modules.sd_models.families import load_families
from modules.sd_models.folders import own_defaults
from modules.sd_samplers.table import load_table
from modules.support.options import CORE_SETTINGS
from modules.support.paths import ROOT, Paths
from modules.support.settings import Settings

DEFAULT = SamplingParams()


@pytest.fixture
def folder(tiny_sd15_folder, tmp_path):
    place = tmp_path / "models" / "checkpoints" / "mine"
    place.parent.mkdir(parents=True)
    shutil.copytree(tiny_sd15_folder, place)
    return place


def plan_of(folder, sampling=DEFAULT):
    request = GenerationRequest(sampling=sampling, model=ModelParams(checkpoint="mine"))
    paths = Paths(folder.parents[2] / "data", folder.parents[1])
    table = load_table(ROOT / "configs" / "samplers.json")
    catalog = StudioCatalog(
        paths,
        Tables(
            families=load_families(ROOT / "configs" / "families.json"),
            samplers=table.samplers(),
            schedulers=table.schedulers(),
        ),
        hub_caches=(),
    )
    around = Surroundings(Settings(CORE_SETTINGS).public(), catalog, table)
    return resolve_request(request, around, {}, None)


def test_a_models_own_defaults_are_used_where_the_person_says_nothing(folder):
    before = plan_of(folder).first
    (folder / "defaults.json").write_text(json.dumps({"sampler": "Euler a", "scheduler": "Automatic", "cfg_scale": 3}))
    after = plan_of(folder).first
    assert (before.sampler.sampler, before.cfg_scale) == ("DPM++ 2M", 7.0)
    assert (after.sampler.sampler, after.cfg_scale) == ("Euler a", 3.0)
    said = plan_of(folder, SamplingParams(sampler="Heun", cfg_scale=5.0)).first
    assert (said.sampler.sampler, said.cfg_scale) == ("Heun", 5.0)


@pytest.mark.parametrize("text", ["{", "[]", '{"cfg_scale": "much", "steps": 0, "sampler": 5, "colour": "red"}',
    '{"deep_shrink": {"level": 9, "end": 0.5}}', '{"deep_shrink": {"level": 1, "end": 0}}', '{"deep_shrink": 2}',
])  # fmt: skip
def test_defaults_that_make_no_sense_are_left_out(tmp_path, text):
    (tmp_path / "defaults.json").write_text(text)
    assert own_defaults(tmp_path) == {}
