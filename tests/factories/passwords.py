"""Passwords that cost next to nothing: hashing one as the studio does takes longer than most tests."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from modules.accounts import secrets

REAL = secrets.hasher
"""As the studio hashes, for the test that looks at that."""
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords():
    """For every test that does not start a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "hasher", lambda: CHEAP)
        yield
