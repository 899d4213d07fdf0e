"""What tiers may say, what they say at first, and how one is written down."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from modules.contracts.accounts import Role, Tier
from modules.contracts.errors import InvalidRequest

FREE = Tier("unlimited")
"""Of admins, and of owners that have no account."""

AT_FIRST = (
    FREE,
    Tier(
        "standard", credits_per_day=20_000, pictures_per_minute=60, max_pixels=4_194_304, max_steps=150, queue_depth=50
    ),
    Tier("guest", credits_per_day=1_000, pictures_per_minute=10, max_pixels=1_048_576, max_steps=50, queue_depth=4),
)
"""A megapixel-step is one step of a picture of 1000 by 1000; 20 steps of a picture of 512 by 512 are 5.2 of them."""

OF_ROLE: dict[Role, str] = {"admin": FREE.name, "user": "standard", "guest": "guest"}
"""Which tier a new account gets where nobody names one."""

LONGEST_NAME = 40


def check(tier: Tier) -> Tier:
    """The tier as given. Raises `InvalidRequest` naming the value that cannot be."""
    if not 0 < len(tier.name) <= LONGEST_NAME or not tier.name.isprintable():
        raise InvalidRequest(f"A tier's name has 1 to {LONGEST_NAME} printable characters, not {tier.name!r}.")
    for field in fields(tier):
        value = getattr(tier, field.name)
        if isinstance(value, int | float) and not 0 <= value < float("inf"):
            raise InvalidRequest(f"{field.name} of a tier is 0 or more, not {value}.")
    if tier.weight <= 0:
        raise InvalidRequest(f"weight of a tier is above 0, not {tier.weight}.")
    return tier


def to_json(tier: Tier) -> str:
    """All but the name."""
    limits = asdict(tier)
    del limits["name"]
    return json.dumps(limits)


def from_json(name: str, text: str) -> Tier:
    """The tier of that name; limits that this version does not know are left out."""
    known = {field.name for field in fields(Tier)} - {"name"}
    limits = {key: value for key, value in json.loads(text).items() if key in known}
    limits["models"] = tuple(limits.get("models", ()))
    return Tier(name, **limits)
