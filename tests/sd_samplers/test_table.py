"""Names of samplers and schedules."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.sd_samplers.build import shipped_table
from modules.sd_samplers.table import load_table
from modules.support.paths import ROOT

TABLE = shipped_table()


def resolve(sampler, scheduler=None, *, flow=False):
    row, schedule = TABLE.resolve(
        sampler, scheduler, flow=flow, default_sampler="Euler a", default_scheduler="Automatic"
    )
    return row.name, schedule.label


def test_a1111s_names_are_there():
    names = [entry.name for entry in TABLE.samplers()]
    assert names[0] == "DPM++ 2M"
    assert {"Euler a", "Euler", "Heun", "DPM2 a", "DPM++ 2M SDE Heun", "DDIM", "UniPC", "LCM", "PLMS"} <= set(names)
    assert {"DPM fast", "DPM adaptive", "Restart", "IPNDM_V", "DDIM CFG++"} <= set(names)
    labels = [entry.label for entry in TABLE.schedulers()]
    assert labels[:5] == ["Automatic", "Uniform", "Karras", "Exponential", "Polyexponential"]
    assert {"SGM Uniform", "KL Optimal", "Align Your Steps", "Simple", "Normal", "DDIM", "Beta"} <= set(labels)


def test_rows_say_what_a1111_says():
    entry = next(entry for entry in TABLE.samplers() if entry.name == "DPM++ SDE")
    assert entry.aliases == ("k_dpmpp_sde",)
    assert entry.options["second_order"] is True
    assert entry.options["scheduler"] == "karras"
    karras = next(entry for entry in TABLE.schedulers() if entry.name == "karras")
    assert (karras.default_rho, karras.need_inner_model) == (7.0, False)


@pytest.mark.parametrize(
    ("sampler", "scheduler", "meant"),
    [
        ("DPM++ 2M", "Karras", ("DPM++ 2M", "Karras")),
        ("DPM++ 2M", "karras", ("DPM++ 2M", "Karras")),
        ("dpm++ 2m", "SGM UNIFORM", ("DPM++ 2M", "SGM Uniform")),
        ("DPM++ 2M Karras", None, ("DPM++ 2M", "Karras")),
        ("DPM++ 2M Karras", "Automatic", ("DPM++ 2M", "Karras")),
        ("DPM++ 2M Karras", "Karras", ("DPM++ 2M", "Karras")),
        ("DPM++ 2M SDE Exponential", "", ("DPM++ 2M SDE", "Exponential")),
        ("DPM++ 2M SDE Heun Karras", None, ("DPM++ 2M SDE Heun", "Karras")),
        ("DPM2 a Karras", None, ("DPM2 a", "Karras")),
        ("Euler SGM Uniform", None, ("Euler", "SGM Uniform")),
        ("k_euler_a", None, ("Euler a", "Uniform")),
        ("k_dpmpp_2m", None, ("DPM++ 2M", "Karras")),
        ("DDIM", None, ("DDIM", "DDIM")),
        ("DDIM CFG++", None, ("DDIM CFG++", "DDIM")),
        ("k_dpm_fast", None, ("DPM fast", "Uniform")),
        ("DPM adaptive Karras", None, ("DPM adaptive", "Karras")),
        ("Restart", None, ("Restart", "Karras")),
        ("UniPC", None, ("UniPC", "SGM Uniform")),
        ("DPM++ 2M SDE", "automatic", ("DPM++ 2M SDE", "Exponential")),
        (None, None, ("Euler a", "Uniform")),
        ("", "Karras", ("Euler a", "Karras")),
    ],
)
def test_what_is_meant(sampler, scheduler, meant):
    assert resolve(sampler, scheduler) == meant


def test_the_defaults_of_a_family_go_together():
    found = TABLE.resolve(None, None, flow=False, default_sampler="DPM++ 2M", default_scheduler="SGM Uniform")
    assert (found[0].name, found[1].label) == ("DPM++ 2M", "SGM Uniform")
    found = TABLE.resolve("Euler", None, flow=False, default_sampler="DPM++ 2M", default_scheduler="SGM Uniform")
    assert (found[0].name, found[1].label) == ("Euler", "Uniform")


def test_flow_models_keep_automatic():
    assert resolve("Euler", None, flow=True) == ("Euler", "Automatic")
    assert resolve("Euler", "Beta", flow=True) == ("Euler", "Beta")


@pytest.mark.parametrize("name", ["Eular", "DPM++ 2M Caras", "DPM slow", "Karras", "DPM++ 2M "])
def test_an_unknown_sampler_lists_the_known_ones(name):
    if name.strip() == "DPM++ 2M":
        assert resolve(name)[0] == "DPM++ 2M"
        return
    with pytest.raises(InvalidRequest, match=r"DPM\+\+ 2M.*Euler a.*DDPM") as caught:
        resolve(name)
    assert repr(name) in caught.value.message


def test_an_unknown_schedule_lists_the_known_ones():
    with pytest.raises(InvalidRequest, match="Karras.*Align Your Steps"):
        resolve("Euler", "Kara")


def test_two_schedules_at_once_are_a_contradiction():
    with pytest.raises(InvalidRequest, match="name one of them"):
        resolve("DPM++ 2M Karras", "Exponential")


def test_what_cannot_drive_a_flow_model_is_said():
    with pytest.raises(UnsupportedFeature, match="these can: .*Euler"):
        resolve("DPM++ SDE", None, flow=True)
    with pytest.raises(UnsupportedFeature, match="Align Your Steps has no meaning"):
        resolve("Euler", "Align Your Steps", flow=True)


def test_a_table_with_a_name_given_twice_is_refused(tmp_path):
    data = json.loads((ROOT / "configs" / "samplers.json").read_text("utf-8"))
    data["samplers"][1]["aliases"].append("Euler A")
    (tmp_path / "table.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(ValueError, match="euler a"):
        load_table(tmp_path / "table.json")


def test_the_names_are_known_without_torch():
    code = "import sys, modules.sd_samplers.build as build; build.shipped_table(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
