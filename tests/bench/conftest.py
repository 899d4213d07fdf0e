"""The studio of fakes of the API's tests."""

from __future__ import annotations

from tests.api.conftest import client, make_rig, rig

__all__ = ["client", "make_rig", "rig"]
