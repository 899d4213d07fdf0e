"""Fixtures that all tests share."""

from __future__ import annotations

pytest_plugins = [
    "tests.factories.fixtures",
    "tests.factories.passwords",
    "tests.factories.postgres",
    "tests.factories.redis_server",
]
