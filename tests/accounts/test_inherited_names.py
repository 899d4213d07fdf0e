"""Owners are names: a new account does not get what a removed one has left, unless that is said."""

from __future__ import annotations

import pytest

from modules.contracts.errors import InvalidRequest
from tests.accounts.fronts import MeteredRig
from tests.api.fakes import PASSWORD, SMALL


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    made = MeteredRig(tmp_path_factory.mktemp("studio"))
    yield made
    made.close()


def test_a_name_that_was_drawn_under_is_given_away_only_when_that_is_said(rig):
    ada, bob = rig.clients("ada", "bob")
    job = bob.post("/api/v1/jobs", json=SMALL).json()["id"]
    rig.queue.handle(job).wait(10)
    assert rig.accounts.remove_user("bob")
    for name in ("bob", "BOB"):
        with pytest.raises(InvalidRequest, match="inherits"):
            rig.accounts.add_user(name, PASSWORD)
    wanted = {"name": "bob", "password": PASSWORD}
    refused = ada.post("/api/v1/users", json=wanted)
    assert refused.status_code == 422
    assert "inherit: true" in refused.json()["detail"]
    assert rig.accounts.user("bob") is None
    assert ada.post("/api/v1/users", json={**wanted, "inherit": True}).status_code == 201
    (heir,) = rig.clients("bob")
    assert [row["id"] for row in heir.get("/api/v1/jobs").json()["jobs"]] == [job]


def test_a_name_that_nobody_drew_under_is_free_again(rig):
    rig.accounts.remove_user("ann")
    assert rig.accounts.add_user("ann", PASSWORD).name == "ann"
    with pytest.raises(InvalidRequest, match="already"):
        rig.accounts.add_user("ann", PASSWORD)
