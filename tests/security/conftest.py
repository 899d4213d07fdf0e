"""The same studio of fakes as the API's tests."""

from __future__ import annotations

from tests.api.conftest import client, make_rig, people, rig

__all__ = ["client", "make_rig", "people", "rig"]
