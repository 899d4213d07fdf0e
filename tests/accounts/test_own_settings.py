"""What somebody who is no admin sets by `/options`: theirs alone, and there after a restart."""

from __future__ import annotations

import pytest

from modules.contracts.errors import InvalidRequest
from tests.accounts.fronts import MeteredRig

OPTIONS = "/sdapi/v1/options"


def test_settings_of_ones_own_are_there_after_a_restart_and_nobody_else_s(tmp_path):
    rig = MeteredRig(tmp_path)
    (bob,) = rig.clients("bob")
    assert bob.post(OPTIONS, json={"jpeg_quality": 55, "sd_model_checkpoint": "people/photo"}).status_code == 200
    rig.close()
    rig = MeteredRig(tmp_path)
    ada, ann, bob = rig.clients("ada", "ann", "bob")
    told = bob.get(OPTIONS).json()
    assert (told["jpeg_quality"], told["sd_model_checkpoint"]) == (55, "people/photo [0123456789]")
    assert bob.post("/sdapi/v1/txt2img", json={"steps": 1}).status_code == 200
    assert rig.asked.model.checkpoint == "people/photo"
    for neighbour in (ada, ann):
        assert neighbour.get(OPTIONS).json()["jpeg_quality"] == 90
        assert neighbour.post("/sdapi/v1/txt2img", json={"steps": 1}).status_code == 200
        assert rig.asked.model.checkpoint in (None, "pocket")
    row = bob.get("/api/v1/settings/jpeg_quality").json()
    assert (row["value"], row["own"]) == (55, True)
    rig.close()


def test_one_change_leaves_the_others_and_null_takes_one_back(rig):
    ada, bob = rig.clients("ada", "bob")
    bob.post(OPTIONS, json={"jpeg_quality": 55})
    bob.post(OPTIONS, json={"samples_format": "webp"})
    ada.post(OPTIONS, json={"jpeg_quality": 70, "samples_format": "jpeg"})
    assert [bob.get(OPTIONS).json()[key] for key in ("jpeg_quality", "samples_format")] == [55, "webp"]
    assert bob.post(OPTIONS, json={"jpeg_quality": None}).status_code == 200
    assert [bob.get(OPTIONS).json()[key] for key in ("jpeg_quality", "samples_format")] == [70, "webp"]
    assert rig.accounts.preferences("bob") == {"samples_format": "webp"}


def test_sending_back_what_was_read_keeps_nothing(rig):
    (bob,) = rig.clients("bob")
    assert bob.post(OPTIONS, json=bob.get(OPTIONS).json()).status_code == 200
    assert rig.accounts.preferences("bob") == {}
    assert bob.post(OPTIONS, json={"jpeg_quality": 55, "max_batch": 2}).status_code == 403
    assert bob.post(OPTIONS, json={"jpeg_quality": 55, "samples_format": "bmp"}).status_code == 422
    assert bob.post(OPTIONS, json={"samples_filename_pattern": "x" * 5000}).status_code == 422
    assert rig.accounts.preferences("bob") == {}


def test_an_admin_has_none_and_an_account_takes_its_own_with_it(rig):
    (bob,) = rig.clients("bob")
    bob.post(OPTIONS, json={"jpeg_quality": 55})
    rig.accounts.change_user("bob", role="admin")
    assert bob.get(OPTIONS).json()["jpeg_quality"] == 90
    rig.accounts.change_user("bob", role="user")
    assert bob.get(OPTIONS).json()["jpeg_quality"] == 55
    rig.accounts.remove_user("bob")
    rig.accounts.add_user("bob", "correct horse battery", inherit=True)
    assert rig.accounts.preferences("bob") == {}
    with pytest.raises(InvalidRequest, match="no user 'nobody'"):
        rig.accounts.set_preferences("nobody", {"jpeg_quality": 1})


def test_what_an_older_version_kept_and_this_one_refuses_counts_for_nothing(rig):
    rig.accounts.set_preferences("bob", {"gone": 1, "jpeg_quality": "high", "max_batch": 1, "samples_format": "webp"})
    (bob,) = rig.clients("bob")
    told = bob.get(OPTIONS).json()
    assert (told["jpeg_quality"], told["max_batch"], told["samples_format"]) == (90, 16, "webp")
    assert "gone" not in told
