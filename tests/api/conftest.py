"""A studio of fakes with the real queue, and a client that talks to its API."""

from __future__ import annotations

import contextlib

import pytest

from modules.bootstrap.options import NetworkOptions
from tests.api.fakes import PASSWORD, Rig


@pytest.fixture
def make_rig(tmp_path):
    """A function that builds studios; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(**changes):
            folder = tmp_path / f"studio-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            network = NetworkOptions(**changes.pop("network", {}))
            rig = Rig(folder, network=network, **changes)
            stack.callback(rig.close)
            return rig

        yield make


@pytest.fixture
def rig(make_rig):
    return make_rig()


@pytest.fixture
def client(rig):
    return rig.client()


@pytest.fixture
def call(client):
    """POST to a route below /sdapi/v1 that has to succeed; returns its JSON."""

    def post(path="txt2img", **body):
        answer = client.post(f"/sdapi/v1/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


@pytest.fixture
def people(make_rig):
    """A studio with an admin and two users, and a client for each."""
    rig = make_rig(lanes=1)
    app = rig.application()
    clients = {}
    for name, role in (("ada", "admin"), ("ann", "user"), ("bob", "user")):
        rig.accounts.add_user(name, PASSWORD, role=role)
        _, text = rig.accounts.add_token(name, "test")
        clients[name] = rig.client(app, headers={"authorization": f"Bearer {text}"})
    return rig, clients
