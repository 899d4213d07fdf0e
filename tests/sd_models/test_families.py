"""The table of families and its small language of rules."""

from __future__ import annotations

import json

import pytest

from modules.sd_models.families import Rule, Size, load_families, load_rules
from modules.support.paths import ROOT

TABLE = ROOT / "configs" / "families.json"


def table(tmp_path, **changes):
    row = json.loads(TABLE.read_text("utf-8"))["families"][0] | changes
    path = tmp_path / "families.json"
    path.write_text(json.dumps({"families": [row]}))
    return path


def test_the_table_that_ships_is_whole():
    families = {family.id: family for family in load_families(TABLE)}
    assert {"sd15", "sd15-inpaint", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux"} <= set(families)
    assert families["sd15-inpaint"].masked_channels
    assert not families["sd15"].masked_channels
    assert families["sd2"].prediction == "v_prediction"
    assert families["flux"].latent_channels == 16
    for family in families.values():
        film = {"frames", "fps"} if "video" in family.capabilities else set()
        assert bool(family.frame_factor) == bool(film)
        assert set(family.defaults) == {"sampler", "scheduler", "steps", "cfg_scale"} | film
        assert family.native_size % family.size_multiple == 0
        assert set(family.pipelines) <= family.capabilities


def described(families):
    """The table of docs/families.md."""
    lines = ["| family | id | draws | and can |", "|---|---|---|---|"]
    modes = ("txt2img", "img2img", "inpaint", "hires")
    for family in families:
        draws = ", ".join(mode for mode in modes if mode in family.capabilities)
        rest = ", ".join(f"`{word}`" for word in sorted(family.capabilities.difference(modes)))
        lines.append(f"| {family.label} | `{family.id}` | {draws} | {rest} |")
    return "\n".join(lines)


def test_the_page_about_families_says_what_the_table_says():
    page = (ROOT / "docs" / "families.md").read_text("utf-8")
    assert described(load_families(TABLE)) in page


def test_defaults_are_names_of_the_sampler_table():
    known = json.loads((ROOT / "configs" / "samplers.json").read_text("utf-8"))
    samplers = {row["name"] for row in known["samplers"]}
    schedules = {row["label"] for row in known["schedules"]}
    for family in load_families(TABLE):
        assert family.defaults["sampler"] in samplers
        assert family.defaults["scheduler"] in schedules


def test_every_family_has_a_recipe_for_single_files():
    from modules.sd_models.sources import read_recipe

    for family in load_families(TABLE):
        parts = read_recipe(family.id)["parts"]
        assert {family.denoiser, "vae", "scheduler", *family.text_encoders} <= set(parts)


def test_pipelines_are_classes_of_diffusers():
    import diffusers

    for family in load_families(TABLE):
        for name in family.pipelines.values():
            assert hasattr(diffusers, name)


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"colour": "red"}, "colour"), ({"detect": [{"layout": "round", "has_all": []}]}, "round")],
)
def test_a_wrong_row_is_named(tmp_path, changes, word):
    path = table(tmp_path, **changes)
    with pytest.raises(ValueError, match=word):
        load_families(path), load_rules(path)


def test_a_row_that_lacks_a_field_is_named(tmp_path):
    path = table(tmp_path)
    rows = json.loads(path.read_text())
    del rows["families"][0]["adapter"]
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match="adapter"):
        load_families(path)


def test_two_rows_of_one_id_are_refused(tmp_path):
    path = table(tmp_path)
    rows = json.loads(path.read_text())
    path.write_text(json.dumps({"families": rows["families"] * 2}))
    with pytest.raises(ValueError, match="id of its own"):
        load_families(path)


def test_rules_hold_and_object():
    rule = Rule("f", "ldm", ("a.*.w", "b"), ("c*",), {"a.*.w": {1: Size(frozenset({3}))}})
    good = {"a.0.w": (9, 3), "a.1.w": (1, 3), "b": ()}
    assert rule.objection(good) is None
    assert "b is missing" in rule.objection({"a.0.w": (9, 3)})
    assert "a.*.w is missing" in rule.objection({"b": ()})
    assert "cat" in rule.objection(good | {"cat": ()})
    assert "axis 1 should be 3" in rule.objection(good | {"a.2.w": (9, 4)})
    assert "axis 1" in rule.objection(good | {"a.2.w": (9,)})


def test_sizes_may_be_listed_or_excluded():
    assert Size(frozenset({1, 2})).allows(2)
    assert not Size(frozenset({1, 2})).allows(3)
    assert Size(frozenset({1, 2}), forbidden=True).allows(3)
    assert str(Size(frozenset({1, 2}), forbidden=True)) == "not 1 or 2"
