"""The gallery as the page shows it: rows of the picture store, the latest first, as plain data."""

from __future__ import annotations

from typing import Any

from modules.contracts.pictures import PictureStore, StoredPicture

LIMIT = 60
"""Pictures that one page shows."""


def card(picture: StoredPicture) -> dict[str, Any]:
    """One picture for the page: opaque id, size, words. Never a path."""
    recipe = picture.recipe
    return {
        "id": picture.id,
        "job": picture.job_id,
        "width": picture.width,
        "height": picture.height,
        "name": picture.name,
        "moves": picture.media_type.startswith("video/"),
        "created": picture.created.isoformat(),
        "infotext": picture.infotext,
        "seed": recipe.get("seed"),
        "prompt": recipe.get("prompt") or picture.infotext.split("\n", 1)[0],
    }


def shelf(store: PictureStore, owner: str, limit: int = LIMIT) -> dict[str, Any]:
    """The owner's latest pictures, newest first."""
    return {"pictures": [card(picture) for picture in store.list(owner=owner, limit=limit)]}
