"""Zip files that admins give to the page: they come in pieces, and are kept for the open page until it is through."""

from __future__ import annotations

import base64
import binascii
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.ui.elements import NO_ARCHIVE
from modules.ui.given import Page

LARGEST = 36 << 20
"""Bytes of one, as over the API."""
HELD = 4
"""Open pages whose files are kept; the one that was used longest ago goes first."""


@dataclass(slots=True)
class _Coming:
    """A file of which some pieces are there."""

    token: str
    """By it the page knows its file again."""
    count: int
    pieces: list[bytes] = field(default_factory=list)


class Archives:
    """What open pages gave. Safe from any thread; nothing is kept for good."""

    def __init__(self) -> None:
        self._held: OrderedDict[Page, _Coming] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, page: Page, said: str) -> dict[str, Any]:
        """Keep one piece; what the page shows then. A first piece takes the place of whatever there was.

        Raises `InvalidRequest` for what is no piece, comes out of turn or is too much.
        """
        try:
            token, *numbers, packed = said.split(" ")
            number, count = map(int, numbers)
            data = base64.b64decode(packed, validate=True)
        except (ValueError, binascii.Error) as error:
            raise InvalidRequest("That is no piece of a zip file.") from error
        with self._lock:
            coming = _Coming(token[:64], count) if number == 0 else self._held.get(page)
            if coming is None or (coming.token, coming.count, len(coming.pieces)) != (token[:64], count, number):
                raise InvalidRequest("That piece of a zip file comes out of turn; choose the file again.")
            if sum(map(len, coming.pieces)) + len(data) > LARGEST or number >= count:
                self._held.pop(page, None)
                raise InvalidRequest(
                    f"A zip file may have {LARGEST >> 20} MiB; larger ones are installed at the terminal."
                )
            coming.pieces.append(data)
            self._held[page] = coming
            self._held.move_to_end(page)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
            return {"token": coming.token, "got": len(coming.pieces), "count": count}

    def get(self, page: Page) -> bytes:
        """The file, once it is whole; empty otherwise. Raises `InvalidRequest` while pieces are missing."""
        with self._lock:
            coming = self._held.get(page)
            if coming is None:
                return b""
            if len(coming.pieces) < coming.count:
                raise InvalidRequest("The zip file is not here yet; wait a moment.")
            return b"".join(coming.pieces)

    def drop(self, page: Page) -> dict[str, Any]:
        """Forget the file; what the page shows then."""
        with self._lock:
            self._held.pop(page, None)
        return dict(NO_ARCHIVE)
