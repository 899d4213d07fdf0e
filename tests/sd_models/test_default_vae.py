"""`--vae`: a name or a path of the person who starts the program, behind what requests and settings say."""

from __future__ import annotations

import shutil

import pytest

from modules.bootstrap.options import PathOptions
from modules.contracts.errors import UnknownModel
from modules.processing_diffusers.parts_plan import find_vae
from modules.sd_models.catalog import StudioCatalog, Tables
from modules.support.paths import Paths

AUTOMATIC = {"sd_vae": "Automatic"}


@pytest.fixture
def make(tmp_path):
    def build(vae):
        return StudioCatalog(
            Paths(tmp_path / "data", tmp_path / "models"), Tables(), given=PathOptions(vae=vae), hub_caches=()
        )

    return build


def test_a_path_is_a_candidate_of_its_own_and_the_default(make, tiny_sd15_folder, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "mine"
    shutil.copytree(tiny_sd15_folder / "vae", elsewhere)
    catalog = make(str(elsewhere))
    assert find_vae(catalog, None, AUTOMATIC).path == elsewhere
    assert find_vae(catalog, "Automatic", AUTOMATIC) is None, "a request can still ask for the model's own"


def test_a_name_is_looked_up_in_the_models_folder_and_settings_come_first(make, tiny_sd15_folder, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(tiny_sd15_folder / "vae", tmp_path / "models" / "vae" / name)
    catalog = make("one")
    assert find_vae(catalog, None, AUTOMATIC).name == "one"
    assert find_vae(catalog, None, {"sd_vae": "two"}).name == "two"
    assert find_vae(catalog, "two", AUTOMATIC).name == "two"


def test_one_that_is_not_there_is_named_and_none_means_the_models_own(make):
    with pytest.raises(UnknownModel, match="'nowhere'"):
        find_vae(make("nowhere"), None, AUTOMATIC)
    assert find_vae(make(None), None, AUTOMATIC) is None
