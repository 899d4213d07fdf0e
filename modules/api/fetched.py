"""Pictures that a request names by an address, where an admin has allowed that.

One request may name a few, and has to wait for all of them within one span of time, so that nobody keeps the studio's
hands full with servers that answer slowly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from modules.api.images import PixelBudget, decode_base64, is_address, look_at, open_picture
from modules.contracts.errors import InvalidRequest
from modules.support.fetching import Fetcher, FetchFailed
from modules.support.studio import Studio

MOST = 16
"""Addresses of one request."""
SECONDS = 30.0
"""For all of them together."""
SETTING = "fetch_picture_urls"
Source = Callable[[Any, str], bytes]
"""From what stands in a field, and the field's name, to the bytes of a picture. Raises `InvalidRequest`."""


def fetches(studio: Studio) -> bool:
    """Whether the settings let addresses stand for pictures."""
    return bool(studio.settings[SETTING])


def source_for(studio: Studio, budget: PixelBudget | None = None) -> Source:
    """How one request's pictures are read: base64, and addresses where the settings say so.

    What is fetched is taken out of the `budget` before it is decoded.
    """
    if not fetches(studio):
        return decode_base64
    return _Fetched(studio.fetcher, budget or PixelBudget()).read


class _Fetched:
    """The pictures of one request."""

    def __init__(self, fetcher: Fetcher, budget: PixelBudget) -> None:
        self._fetcher = fetcher
        self._budget = budget
        self._left = MOST
        self._deadline = time.monotonic() + SECONDS

    def read(self, text: Any, name: str) -> bytes:
        """The picture in base64 or behind an address. What was fetched and is no picture fails like all the rest."""
        if not is_address(text):
            return decode_base64(text, name)
        address = text.strip()
        if not address.lower().startswith("https://"):
            raise InvalidRequest(f"{name} is an address that is not https; only https is fetched.")
        if not self._left:
            raise InvalidRequest(f"{name} is one address too many; at most {MOST} are fetched for a request.")
        self._left -= 1
        failed = FetchFailed(f"{name}: no picture could be fetched from that address.")
        try:
            data = self._fetcher.fetch(address, max(self._deadline - time.monotonic(), 0.0))
        except FetchFailed:
            raise failed from None
        try:
            self._budget.take(look_at(data, name), name)
            open_picture(data, name)
        except InvalidRequest as error:
            raise failed from error
        return data
