"""People with accounts in a fresh data folder, for benchmarks where everybody has to say who they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

ADMIN = "root"
PASSWORD = "correct horse battery staple"
TIER: dict[str, Any] = {
    "name": "measured", "credits_per_day": 1_000_000.0, "credits_per_month": 30_000_000.0,
    "pictures_per_minute": 100_000, "queue_depth": 200,
}  # fmt: skip
"""Every limit is looked at and none is reached."""


def enlist(data: Path, owners: Sequence[str]) -> dict[str, str]:
    """Make an admin and the owners in a data folder that no server has used; tokens by name, the admin's included."""
    from modules.accounts.service import StoredAccounts
    from modules.call_queue.database import open_database
    from modules.contracts.accounts import Tier

    engine = open_database(data / "atelier.sqlite3")
    accounts = StoredAccounts(engine)
    accounts.add_user(ADMIN, PASSWORD, role="admin")
    accounts.set_tier(Tier(**TIER))
    for owner in owners:
        accounts.add_user(owner, PASSWORD, tier=TIER["name"])
    tokens = {name: accounts.add_token(name, "bench")[1] for name in (ADMIN, *owners)}
    engine.dispose()
    return tokens


def bearer(token: str) -> dict[str, str]:
    """The header that shows who a request is from."""
    return {"authorization": f"Bearer {token}"}
