"""Fixtures that all tests share."""

from __future__ import annotations

import gc

import pytest

from modules.support.garbage import set_aside, without_passes

pytest_plugins = [
    "tests.factories.fixtures",
    "tests.factories.passwords",
    "tests.factories.postgres",
    "tests.factories.redis_server",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """The libraries that the tests import are gone through neither meanwhile nor in any test's passes."""
    with without_passes():
        found = yield
    set_aside()
    return found


def pytest_unconfigure(config):
    """Libraries that look for leaks at the end find none in what was set aside."""
    gc.unfreeze()
