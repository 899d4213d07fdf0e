"""Who is calling: HTTP Basic (RFC 7617) against the pairs of `--api-auth`, as one dependency of every API route."""

from __future__ import annotations

import base64
import binascii
import secrets

from fastapi import HTTPException, Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from modules.api.services import LOCAL


class BasicAuth(SecurityBase):
    """Callable as a dependency: returns the caller's name and keeps it in `request.state.owner`, or answers 401.

    Without pairs everybody is `local` and whatever stands in the Authorization header, even nothing, is ignored.
    """

    def __init__(self, pairs: tuple[tuple[str, str], ...]) -> None:
        self.model = HTTPBase(scheme="basic")
        self.scheme_name = "basic"
        self._pairs = tuple((user, user.encode("utf-8"), password.encode("utf-8")) for user, password in pairs)

    async def __call__(self, request: Request) -> str:
        """The caller's name. Raises 401 when it has to be known and is not."""
        request.state.owner = owner = self._owner(request.headers.get("authorization", ""))
        return owner

    def _owner(self, header: str) -> str:
        if not self._pairs:
            return LOCAL
        given = _credentials(header)
        found = None
        for name, user, password in self._pairs:
            # Every pair is compared to its end, so that the time taken tells nothing about which part was right.
            if secrets.compare_digest(given[0], user) & secrets.compare_digest(given[1], password):
                found = name
        if found is None:
            headers = {"WWW-Authenticate": 'Basic realm="Atelier", charset="UTF-8"'}
            raise HTTPException(401, "A name and password that the studio knows are needed.", headers)
        return found


def _credentials(header: str) -> tuple[bytes, bytes]:
    """User and password of a Basic header; a pair that fits nobody when the header is something else."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return b"", b""
        if colon:
            return user, password
    return b"", b""
