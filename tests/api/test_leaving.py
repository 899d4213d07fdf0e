"""Ending the server over the API: with the flag only, for admins only, and a new start only where somebody does it."""

from __future__ import annotations

import pytest

from modules.bootstrap.supervision import RESTART
from modules.contracts.errors import NotReady
from modules.support.leaving import Leaving
from tests.api.fakes import PASSWORD

WORDS = ("stop", "kill", "restart")


@pytest.mark.parametrize("word", WORDS)
def test_without_the_flag_there_is_no_such_address(client, word):
    assert client.post(f"/sdapi/v1/server-{word}").status_code == 404


@pytest.mark.parametrize(
    ("word", "code", "said"), [("stop", 0, "Stopping."), ("kill", 0, "Stopping."), ("restart", RESTART, "Restarting.")]
)
def test_an_admin_ends_it(make_rig, word, code, said):
    rig, codes = make_rig(network={"api_server_stop": True}), []
    rig.studio.leaving.offer(codes.append, restarts=True)
    answer = rig.client().post(f"/sdapi/v1/server-{word}/")
    assert (answer.status_code, answer.text, codes) == (200, said, [code])


def test_a_server_that_nobody_would_start_again_goes_on(make_rig):
    rig, codes = make_rig(network={"api_server_stop": True}), []
    rig.studio.leaving.offer(codes.append, restarts=False)
    answer = rig.client().post("/sdapi/v1/server-restart")
    assert (answer.status_code, codes) == (501, [])
    assert "launch.py" in answer.json()["detail"]


def test_nobody_else_ends_it(make_rig):
    rig, codes = make_rig(network={"api_server_stop": True}), []
    rig.studio.leaving.offer(codes.append, restarts=True)
    for name, role in (("ada", "admin"), ("ann", "user")):
        rig.accounts.add_user(name, PASSWORD, role=role)
    client = rig.client()
    for word in WORDS:
        place = f"/sdapi/v1/server-{word}"
        assert client.post(place).status_code == 401
        assert client.post(place, auth=("ann", PASSWORD)).status_code == 403
        assert client.post(place, auth=("ada", PASSWORD), headers={"origin": "https://evil.example"}).status_code == 403
    assert codes == []
    assert client.post("/sdapi/v1/server-stop", auth=("ada", PASSWORD)).status_code == 200


def test_where_nobody_runs_a_server_there_is_none_to_end(make_rig):
    rig = make_rig(network={"api_server_stop": True})
    assert rig.client().post("/sdapi/v1/server-stop").status_code == 503
    with pytest.raises(NotReady):
        Leaving().leave(again=True)
